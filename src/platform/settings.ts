import { readFile } from 'node:fs/promises';
import { UsageError, withFileErrors } from './errors.js';
import { didYouMean } from './didYouMean.js';

/** Thrown by a parser: what is wrong with a raw value, as the end of a sentence that starts with its name and value. */
export class InvalidValueError extends Error {}

/** One configurable value: how it is named on the command line and in the environment, and how text becomes trusted. */
export interface Setting<T> {
  /** Command-line name, such as `--batch-size`; undefined for what must not stand in a process list. */
  readonly flag?: string;
  /** Placeholder of the flag's value in `--help`; without one the flag is a switch. */
  readonly placeholder?: string;
  /** There is a flag `--no-…` too, with this help; it comes as the text `false`. */
  readonly negatedHelp?: string;
  /** The flag may be given again; the values come as one text, with commas. Default false. */
  readonly repeatable?: boolean;
  /** No message repeats its value. Default false. */
  readonly isSecret?: boolean;
  /** Name in the environment and in `.env`. */
  readonly env: string;
  readonly help: string;
  readonly default: T;
  /** The default as `--help` shows it, where it isn't simply its value. */
  readonly defaultText?: string;
  readonly parse: (raw: string) => T;
}

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;
export type SettingsOf<Table extends SettingTable> = {
  readonly [K in keyof Table]: Table[K] extends Setting<infer T> ? T : never;
};

/** Gives the entries of a table their precise types without repeating them. */
export function setting<T>(definition: Setting<T>): Setting<T> {
  return definition;
}

/** Where raw values come from, strongest first. */
export interface RawSettings {
  /** Values of flags by camel-cased flag name; a switch is `true`. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: NodeJS.ProcessEnv;
  readonly envFile: Readonly<Record<string, string | undefined>>;
}

/**
 * Parses every setting of a table: flag > environment > `.env` > default. An empty variable counts as not set.
 * @throws UsageError with all problems at once, not the first.
 */
export function parseSettings<Table extends SettingTable>(
  table: Table,
  raw: RawSettings,
  otherProblems: readonly string[] = [],
): SettingsOf<Table> {
  const problems = [...otherProblems];
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(table)) {
    const found = lookUp(setting, raw);
    if (found === undefined) {
      values[key] = setting.default;
      continue;
    }
    try {
      values[key] = setting.parse(found.text);
    } catch (error) {
      if (!(error instanceof InvalidValueError)) throw error;
      const shown = setting.isSecret === true ? '' : ` ${JSON.stringify(found.text)}`;
      problems.push(`${found.name}${shown}: ${error.message}`);
    }
  }
  if (problems.length > 0) throw new UsageError(problems);
  return values as SettingsOf<Table>;
}

function lookUp(setting: Setting<unknown>, raw: RawSettings): { name: string; text: string } | undefined {
  if (setting.flag !== undefined) {
    const value = raw.flags[flagKey(setting.flag)];
    if (typeof value === 'string' || typeof value === 'boolean') return { name: setting.flag, text: String(value) };
  }
  const text = raw.environment[setting.env] || raw.envFile[setting.env];
  return text === undefined || text === '' ? undefined : { name: setting.env, text };
}

/** `--batch-size` → `batchSize`, as commander names it. */
export function flagKey(flag: string): string {
  return flag.replace(/^--/, '').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Names that begin with our prefix but mean nothing: most likely typing errors. */
export function unknownVariables(raw: RawSettings, known: ReadonlySet<string>): string[] {
  const names = new Set([...Object.keys(raw.environment), ...Object.keys(raw.envFile)]);
  const prefixed = [...known].filter((name) => name.startsWith('ECOMPIPE_'));
  return [...names]
    .filter(
      (name) =>
        name.startsWith('ECOMPIPE_') &&
        !name.startsWith('ECOMPIPE_TEST_') &&
        name !== 'ECOMPIPE_FAILPOINT' &&
        name !== 'ECOMPIPE_SPARK_SOCKET' &&
        !known.has(name),
    )
    .map((name) => `${name}: no such setting${didYouMean(name, prefixed, 2)}`);
}

/**
 * A secret from its variable, or from a file, as orchestrators mount them; a newline at the end of the file is not part of it.
 * @throws UsageError when both are given, or the file is empty; FileError when it can't be read.
 */
export async function readSecret(
  [value, ofValue]: readonly [string | undefined, Setting<string | undefined>],
  [file, ofFile]: readonly [string | undefined, Setting<string | undefined>],
): Promise<string | undefined> {
  if (file === undefined) return value;
  const name = ofFile.flag ?? ofFile.env;
  if (value !== undefined) throw new UsageError([`${ofValue.env} and ${name}: give one of the two`]);
  const text = (await withFileErrors('read', file, () => readFile(file, 'utf8'))).replace(/\r?\n$/, '');
  if (text === '') throw new UsageError([`${name} ${JSON.stringify(file)}: the file is empty`]);
  return text;
}
