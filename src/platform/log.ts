import { Chalk, type ChalkInstance } from 'chalk';
import { printable } from './printable.js';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'text' | 'json';

/** Facts of one log line. Keys are stable: scripts read them. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines to stderr. `event` is a stable snake_case name, `message` is for people. */
export interface Logger {
  readonly debug: (event: string, message: string, fields?: LogFields) => void;
  readonly info: (event: string, message: string, fields?: LogFields) => void;
  readonly warn: (event: string, message: string, fields?: LogFields) => void;
  readonly error: (event: string, message: string, fields?: LogFields) => void;
}

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly color: boolean;
}

/** Creates a logger over `write`, which gets whole lines. */
export function createLogger(settings: LogSettings, write: (line: string) => void): Logger {
  const threshold = LOG_LEVELS.indexOf(settings.level);
  const paint = painter(settings.color);
  const at = (level: LogLevel) => {
    if (LOG_LEVELS.indexOf(level) < threshold) return () => undefined;
    return (event: string, message: string, fields: LogFields = {}) => {
      const time = new Date().toISOString();
      write(
        settings.format === 'json'
          ? // JSON escapes the controls of ASCII by itself; these escapes for the others are JSON too.
            `${printable(JSON.stringify({ time, level, event, message, ...fields }, jsonValue))}\n`
          : `${paint.dim(time.slice(11, 19))} ${paint[level](level.padEnd(5))} ${indented(printable(message))}\n`,
      );
    };
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A logger that says nothing: the default for library use. */
export const silentLogger: Logger = createLogger({ level: 'error', format: 'text', color: false }, () => undefined);

/** A log beside a bar or a panel, which shows the progress by itself: lines about it are left to debug level. */
export function demoteProgress(log: Logger): Logger {
  return {
    ...log,
    info: (event, message, fields) => (event.endsWith('_progress') ? log.debug : log.info)(event, message, fields),
  };
}

/** Further lines of a message are indented, so that only the logger begins a line. */
function indented(message: string): string {
  return message.replaceAll(/\n(?! {2})/g, '\n  ');
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Error ? value.message : value;
}

function painter(color: boolean): Record<LogLevel, ChalkInstance> & { dim: ChalkInstance } {
  const chalk = new Chalk({ level: color ? 1 : 0 });
  return { dim: chalk.dim, debug: chalk.dim, info: chalk.cyan, warn: chalk.yellow, error: chalk.red };
}
