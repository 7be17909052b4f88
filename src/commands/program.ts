import { Command as Commander, InvalidArgumentError, Option } from 'commander';
import { databaseSettings, globalSettings } from './settings.js';
import { UsageError } from '../platform/errors.js';
import { printable } from '../platform/printable.js';
import type { AnyCommand } from './command.js';
import type { Setting, SettingTable } from '../platform/settings.js';

/** Raw values that commander found for one invocation. */
export interface Invocation {
  readonly command: AnyCommand;
  readonly args: readonly string[];
  readonly flags: Readonly<Record<string, unknown>>;
}

/** Builds the commander program from the commands' setting tables; `onInvoke` gets what was called. */
export function createProgram(
  version: string,
  commands: readonly AnyCommand[],
  onInvoke: (invocation: Invocation) => Promise<void>,
): Commander {
  const program = new Commander('ecompipe')
    .description(
      'Real-time e-commerce event pipeline: generate CSV files, move them, load them into PostgreSQL exactly once.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .showHelpAfterError('(ecompipe --help shows all commands)')
    // Wrong words are repeated in its messages, and may come from a script's variables.
    .configureOutput({ writeErr: (text) => process.stderr.write(printable(text)) })
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .option('--env-file <path>', 'file with settings (default: .env, if there is one)')
    .option('--no-color', 'no colours (also: NO_COLOR)');
  addOptions(program, globalSettings);
  program.exitOverride();
  for (const command of commands) {
    const sub = program
      .command([command.name, command.args].filter(Boolean).join(' '), { hidden: command.hidden === true })
      .description(command.summary);
    sub.exitOverride().showHelpAfterError(`(${['ecompipe', command.name, '--help'].join(' ')} shows all flags)`);
    addOptions(sub, command.settings);
    sub.addHelpText('after', examplesText(command));
    sub.action(async () => {
      await onInvoke({ command, args: sub.args, flags: sub.optsWithGlobals() });
    });
  }
  addHelpCommand(program);
  return program;
}

/** Commander's own answers an unknown name with the help of everything and no word about the name. */
function addHelpCommand(program: Commander): void {
  program
    .command('help [command]')
    .description('print help of a command')
    .action((name: string | undefined) => {
      const named = name === undefined ? program : program.commands.find((command) => command.name() === name);
      if (named === undefined) program.error(`error: unknown command '${name ?? ''}'`);
      named.help();
    });
}

function addOptions(target: Commander, table: SettingTable): void {
  for (const setting of Object.values(table)) {
    if (setting.flag === undefined) continue;
    const short = setting.flag === '--quiet' ? '-q, ' : '';
    const flags = [`${short}${setting.flag}`, setting.placeholder].filter(Boolean).join(' ');
    const option = new Option(flags, setting.help + defaultNote(setting));
    if (setting.repeatable === true) option.argParser(all);
    else if (setting.placeholder?.startsWith('<') === true) option.argParser(once(setting.flag, setting.isSecret));
    target.addOption(option);
    if (setting.negatedHelp !== undefined)
      target.addOption(new Option(setting.flag.replace('--', '--no-'), setting.negatedHelp));
  }
}

/** A flag given twice is a mistake more often than a wish; say so instead of taking the last one silently. */
function once(flag: string, isSecret = false): (value: string, previous: string | undefined) => string {
  return (value, previous) => {
    // Commander would repeat the value.
    if (previous !== undefined && isSecret) throw new UsageError([`${flag} was given twice`]);
    if (previous !== undefined) throw new InvalidArgumentError(`${flag} was given twice`);
    return value;
  };
}

/** All values of a flag that may be given again. */
function all(value: string, previous: string | undefined): string {
  return previous === undefined ? value : `${previous},${value}`;
}

function defaultNote(setting: Setting<unknown>): string {
  if (setting.defaultText !== undefined) return ` (default: ${setting.defaultText})`;
  return ['string', 'number'].includes(typeof setting.default) ? ` (default: ${String(setting.default)})` : '';
}

const HELP_COLUMNS = 80;

/** In two columns where all fits, else each command line with what it does above it, as a comment of the shell. */
function examplesText({ examples }: AnyCommand): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  const fits = examples.every(([, does]) => '  $ '.length + width + 3 + does.length <= HELP_COLUMNS);
  const lines = examples.map(([line, does]) =>
    fits ? `  $ ${line.padEnd(width)}   ${does}` : `  # ${does}\n  $ ${foldCommand(line)}`,
  );
  return `\nExamples:\n${lines.join(fits ? '\n' : '\n\n')}\n`;
}

/** Breaks a long command line before a flag, so that it can still be copied. */
function foldCommand(line: string): string {
  const rows: string[] = [];
  for (const word of line.split(/ (?=--)/)) {
    const last = rows.at(-1);
    if (last !== undefined && last.length + word.length + 7 <= HELP_COLUMNS) rows[rows.length - 1] = `${last} ${word}`;
    else rows.push(word);
  }
  return rows.join(' \\\n      ');
}

/** Every environment variable that means something, in the order of `.env.example`. */
export function knownVariables(commands: readonly AnyCommand[]): Map<string, Setting<unknown>> {
  const tables = [databaseSettings, ...commands.map((command) => command.settings), globalSettings];
  return new Map(
    tables.flatMap((table) => Object.values(table as SettingTable).map((setting) => [setting.env, setting] as const)),
  );
}
