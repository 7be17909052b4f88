import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { CommanderError } from 'commander';
import type { AnyCommand, CommandResult } from './commands/command.js';
import { commands } from './commands/index.js';
import { createProgram, knownVariables, type Invocation } from './commands/program.js';
import { globalSettings } from './commands/settings.js';
import { EcompipeError, errnoOf, EXIT, UsageError, type ExitCode } from './platform/errors.js';
import { createLogger, printable, type Logger } from './platform/log.js';
import { parseSettings, unknownVariables, type RawSettings, type SettingsOf } from './platform/settings.js';

/** The program: declares the commands, turns signals into an AbortSignal and errors into exit codes. The only exit. */
async function main(): Promise<void> {
  // Deprecation notices of libraries are for those who maintain this program, not for those who use it.
  process.noDeprecation = true;
  const version = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
    .version;
  const stop = stopOnSignals();
  let exitCode: ExitCode = EXIT.done;
  const program = createProgram(version, commands, async (invocation) => {
    exitCode = await invoke(invocation, stop);
  });
  try {
    await program.parseAsync();
  } catch (error) {
    exitCode = reportEarly(error);
  }
  await flush();
  process.exit(exitCode);
}

/** Runs one command under its parsed settings and prints its result. */
async function invoke({ command, args, flags }: Invocation, stop: AbortSignal): Promise<ExitCode> {
  const raw: RawSettings = { flags, environment: process.env, envFile: readEnvFile(flags['envFile']) };
  const table = { ...globalSettings, ...command.settings };
  let settings: SettingsOf<typeof table>;
  try {
    settings = parseSettings<typeof table>(table, raw, unknownVariables(raw, new Set(knownVariables(commands).keys())));
  } catch (error) {
    if (!(error instanceof UsageError) || !wantsJsonLog(raw)) throw error;
    return report(
      error,
      command,
      createLogger({ level: 'error', format: 'json', color: false }, (line) => process.stderr.write(line)),
    );
  }
  const color = flags['color'] !== false && !process.env['NO_COLOR'] && process.stderr.isTTY;
  const log = createLogger(
    { level: settings.quiet ? 'warn' : settings.logLevel, format: settings.logFormat, color },
    (line) => process.stderr.write(line),
  );
  const interactive =
    process.stderr.isTTY && !settings.quiet && settings.logFormat === 'text' && process.env['TERM'] !== 'dumb';
  try {
    const result = await command.run(settings, {
      log,
      stop,
      interactive,
      color,
      quiet: settings.quiet,
      json: settings.json,
      args,
    });
    print(result, settings.json);
    return result.exitCode ?? EXIT.done;
  } catch (error) {
    return report(error, command, log);
  }
}

/** Whether errors are to be JSON lines, as far as can be known while the settings themselves are wrong. */
function wantsJsonLog(raw: RawSettings): boolean {
  try {
    return parseSettings({ logFormat: globalSettings.logFormat }, raw).logFormat === 'json';
  } catch {
    return false;
  }
}

/** What a result holds of files and tables may come from anybody: nothing of it moves the cursor of a terminal. */
function print(result: CommandResult, json: boolean): void {
  if (json && result.json === undefined) return;
  if (json)
    process.stdout.write(
      `${printable(JSON.stringify(result.json, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)))}\n`,
    );
  else if (result.text !== undefined) process.stdout.write(`${printable(result.text).trimEnd()}\n`);
}

function report(error: unknown, command: AnyCommand, log: Logger): ExitCode {
  if (error instanceof EcompipeError) {
    log.error('failed', error.message, {
      command: command.name,
      exitCode: error.exitCode,
      ...error.facts,
      cause: undefined,
    });
    return error.exitCode;
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  log.error('bug', `this is a bug in ecompipe, please report it: ${message}\n  hint: --log-level debug shows where`, {
    command: command.name,
    exitCode: EXIT.bug,
  });
  if (error instanceof Error && error.stack !== undefined) log.debug('bug_stack', error.stack);
  return EXIT.bug;
}

/** Errors from before there are settings: commander has printed its own, ours are printed here. */
function reportEarly(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof EcompipeError) {
    process.stderr.write(`error: ${printable(error.message)}\n`);
    return error.exitCode;
  }
  process.stderr.write(
    `this is a bug in ecompipe, please report it:\n${error instanceof Error ? (error.stack ?? '') : String(error)}\n`,
  );
  return EXIT.bug;
}

/** An env file that was asked for must exist; the default one may be missing. */
function readEnvFile(asked: unknown): Record<string, string | undefined> {
  const file = typeof asked === 'string' ? asked : '.env';
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && asked === undefined) return {};
    throw new UsageError([
      `cannot read the env file ${file}: ${error instanceof Error ? error.message : String(error)}`,
    ]);
  }
}

function stopOnSignals(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    // Safe at any moment: being killed loses nothing, by design.
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: Error) => {
      // The reader of a pipe may leave early (`ecompipe … | head`): its good right, and the end of what is worth doing.
      if (errnoOf(error) === 'EPIPE') {
        controller.abort();
        return;
      }
      if (stream === process.stdout) process.stderr.write(`error: cannot write the result: ${error.message}\n`);
      process.exit(EXIT.io);
    });
  }
  return controller.signal;
}

async function flush(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))),
  );
}

await main();
