import { readFileSync } from 'node:fs';
import path from 'node:path';
import { CommanderError } from 'commander';
import type { AnyCommand, CommandResult } from './commands/command.js';
import { commands } from './commands/index.js';
import { createProgram, knownVariables, type Invocation } from './commands/program.js';
import { globalSettings } from './commands/settings.js';
import { EcompipeError, errnoOf, EXIT, UsageError, type ExitCode } from './platform/errors.js';
import { readEnvFile, type EnvFile } from './platform/envFile.js';
import { createLogger, type Logger } from './platform/log.js';
import { printable } from './platform/printable.js';
import { keepTerminalSize, terminalSize, wrapFor } from './platform/terminal.js';
import { parseSettings, unknownVariables, type RawSettings, type SettingsOf } from './platform/settings.js';

/** The program: declares the commands, turns signals into an AbortSignal and errors into exit codes. The only exit. */
async function main(): Promise<void> {
  // Deprecation notices of libraries are for those who maintain this program, not for those who use it.
  // (Read-only where an option has set it.)
  if (!process.noDeprecation) process.noDeprecation = true;
  pretendNavigator();
  const version = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
    .version;
  for (const stream of [process.stdout, process.stderr]) if (stream.isTTY) keepTerminalSize(stream);
  const stopping = stopOnSignals();
  let exitCode: number = EXIT.done;
  const program = createProgram(version, commands, async (invocation) => {
    exitCode = await invoke(invocation, stopping);
  });
  try {
    await program.parseAsync();
  } catch (error) {
    exitCode = reportEarly(error);
  }
  await flush();
  process.exit(exitCode);
}

/**
 * As Node.js has it from version 21 on. Without it, pg asks `Response` whether this is a worker of Cloudflare's, and that loads all of
 * fetch and HTTP/2.
 */
function pretendNavigator(): void {
  if (!('navigator' in globalThis))
    Object.defineProperty(globalThis, 'navigator', {
      value: { userAgent: `Node.js/${process.versions.node.split('.')[0]}` },
      configurable: true,
    });
}

/** Runs one command under its parsed settings and prints its result. */
async function invoke({ command, args, flags }: Invocation, stopping: Stopping): Promise<number> {
  const { stop } = stopping;
  const asked = flags['envFile'];
  const envFile = await readEnvFile(typeof asked === 'string' ? asked : undefined, stop);
  // Ended while the file was waited for: nothing is begun.
  if (stop.aborted) return EXIT.interrupted;
  adoptLibpqVariables(envFile);
  const raw: RawSettings = { flags, environment: process.env, envFile };
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
  const color = flags['color'] !== false && !process.env['NO_COLOR'] && terminalSize(process.stderr) !== undefined;
  const log = createLogger(
    { level: settings.quiet ? 'warn' : settings.logLevel, format: settings.logFormat, color },
    settings.logFormat === 'json'
      ? (line) => process.stderr.write(line)
      : (text) => process.stderr.write(wrapFor(process.stderr, text)),
  );
  const interactive =
    terminalSize(process.stderr) !== undefined &&
    !settings.quiet &&
    settings.logFormat === 'text' &&
    process.env['TERM'] !== 'dumb';
  const { whenStopped } = command;
  if (whenStopped !== undefined)
    stopping.onFirst = () => log.info('stopping', `${whenStopped}; Ctrl-C again stops at once`);
  try {
    const result = await command.run(settings, {
      log,
      stop,
      interactive,
      color,
      quiet: settings.quiet,
      json: settings.json,
      args,
      yieldInterrupts: () => (stopping.ignoresInterrupts = true),
      onProgress: (share) => (stopping.share = share),
    });
    print(result, settings);
    return result.exitCode ?? EXIT.done;
  } catch (error) {
    return report(error, command, log);
  }
}

/** libpq's variables work from the env file too: here, because pg and its password file read them for themselves. */
function adoptLibpqVariables(envFile: EnvFile): void {
  for (const [name, value] of Object.entries(envFile)) if (name.startsWith('PG')) process.env[name] ||= value;
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
function print(result: CommandResult, { json, quiet }: { readonly json: boolean; readonly quiet: boolean }): void {
  // cron mails what is printed: that all went well is no news.
  if (quiet && !json && result.isReport === true && (result.exitCode ?? EXIT.done) === EXIT.done) return;
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

/** What the signals and the command that they end know of each other. */
interface Stopping {
  readonly stop: AbortSignal;
  /** Says what is still being done. */
  onFirst: (() => void) | undefined;
  /** Of the work that is done, from 0 to 1. */
  share: number | undefined;
  /** Ctrl-C is another program's, which has the terminal. */
  ignoresInterrupts: boolean;
}

function stopOnSignals(): Stopping {
  const controller = new AbortController();
  const stopping: Stopping = {
    stop: controller.signal,
    onFirst: undefined,
    share: undefined,
    ignoresInterrupts: false,
  };
  const onSignal = (): void => {
    // Safe at any moment: being killed loses nothing, by design.
    if (controller.signal.aborted) {
      const at = stopping.share === undefined ? '' : ` at ${Math.floor(stopping.share * 100)} %`;
      process.stderr.write(`stopped${at}; run it again to continue\n`);
      process.exit(EXIT.interrupted);
    }
    stopping.onFirst?.();
    controller.abort();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', () => {
    if (!stopping.ignoresInterrupts) onSignal();
  });
  // A terminal that is closed asks to stop; `nohup` asks to stay, by starting us with the signal ignored.
  process.on('SIGHUP', hangupIsIgnored() ? () => undefined : onSignal);
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: Error) => {
      // The reader of a pipe may leave early (`ecompipe … | head`): its good right, and the end of what is worth doing.
      if (errnoOf(error) === 'EPIPE') {
        controller.abort();
        return;
      }
      // A log that can't be written (its disk is full) is no reason to stop loading: what counts is in the ledger.
      if (stream === process.stderr) return;
      process.stderr.write(`error: cannot write the result: ${error.message}\n`);
      process.exit(EXIT.io);
    });
  }
  return stopping;
}

/**
 * Whether SIGHUP was ignored when we were started. Node has taken that back by now: `bin/ecompipe.js` tells it, or, when
 * Node was started directly, the shell's note of what it ran.
 */
function hangupIsIgnored(): boolean {
  const noted = process.env['ECOMPIPE_SIGHUP'] === 'ignored' || path.basename(process.env['_'] ?? '') === 'nohup';
  delete process.env['ECOMPIPE_SIGHUP'];
  return noted;
}

async function flush(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))),
  );
}

await main();
