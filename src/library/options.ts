import { databaseSettings } from '../commands/settings.js';
import { withDatabase as withTarget, type Database, type TargetSettings } from '../platform/db/target.js';
import { silentLogger, type Logger } from '../platform/log.js';
import { parseSettings, type Setting } from '../platform/settings.js';
import type { StageContext } from '../platform/stage.js';

/** How a function is run; all of it may be left out. */
export interface RunOptions<Event = never> {
  /** Ends it early and tidily: what is open is finished or rolled back. @default never aborted */
  readonly stop?: AbortSignal;
  /** Ends a stage as soon as nothing is left to do. @default never aborted, or at once with the setting `once` */
  readonly drain?: AbortSignal;
  /** `createLogger` creates one. @default silent */
  readonly log?: Logger;
  /** Hears everything that is done. Called synchronously; must not throw. @default nobody listens */
  readonly emit?: (event: Event) => void;
}

/** Where PostgreSQL is, as the commands find it: DATABASE_URL, else POSTGRES_*; nothing means the embedded server. */
export function databaseFromEnvironment(environment: NodeJS.ProcessEnv = process.env): TargetSettings {
  return parseSettings(databaseSettings, { flags: {}, environment, envFile: {} });
}

/**
 * Runs `action` with the database: the one of the settings, or the embedded server, which is started when need be and
 * stopped by its last user. Settings that are left out come from nowhere else; see {@link databaseFromEnvironment}.
 */
export async function withDatabase<T>(
  settings: Partial<TargetSettings>,
  action: (database: Database) => Promise<T>,
  options: RunOptions = {},
): Promise<T> {
  return await withTarget({ ...defaults(databaseSettings), ...settings }, contextOf(options), action);
}

/** The defaults of flags. */
export function defaults<Table extends Record<string, Setting<unknown>>>(
  table: Table,
): { [Key in keyof Table]: Table[Key]['default'] } {
  return Object.fromEntries(Object.entries(table).map(([key, { default: value }]) => [key, value])) as {
    [Key in keyof Table]: Table[Key]['default'];
  };
}

export function contextOf<Event>(
  { stop, drain, log = silentLogger, emit = () => undefined }: RunOptions<Event>,
  once = false,
): StageContext<Event> {
  const never = new AbortController().signal;
  return { stop: stop ?? never, drain: drain ?? (once ? AbortSignal.abort() : never), log, emit };
}
