/**
 * ecompipe as a library: each command is a function with the settings of its flags, camel-cased, and the same defaults.
 * Where a flag names a file or directory, relative ones count from the working directory.
 */
import path from 'node:path';
import { databaseSettings, loadSettings, moveSettings, streamSettings } from './commands/settings.js';
import { withDatabase as withTarget, type Database, type TargetSettings } from './core/db/target.js';
import { ensureDirectory } from './core/files/ensureDirectory.js';
import { silentLogger, type Logger } from './core/runtime/log.js';
import { parseSettings, type Setting } from './core/runtime/settings.js';
import type { StageContext } from './core/runtime/stage.js';
import { runGenerate as generate, type GenerateEvent, type GenerateResult, type GenerateSettings } from './pipeline/generate/index.js';
import { runMigrate as migrate, type MigrateMode, type MigrateResult } from './pipeline/migrate/migrate.js';
import { ensureSchema } from './pipeline/migrate/schema.js';
import type { MoveEvent, MoveResult, MoveSettings } from './pipeline/move/events.js';
import { runMove as move } from './pipeline/move/runMove.js';
import { runAll as all, type PipelineEvent, type RunAllResult } from './pipeline/runAll.js';
import type { StreamEvent, StreamResult, StreamSettings } from './pipeline/stream/events.js';
import { runStream as stream } from './pipeline/stream/stream.js';
import { runVerify as verify, type VerifyEvent, type VerifyResult, type VerifySettings } from './pipeline/verify/index.js';

export { EcompipeError, EXIT, FileError, IntegrityError, InterruptedError, OwnedError, UsageError, type ErrorFacts, type ExitCode } from './core/runtime/errors.js';
export { createLogger } from './core/runtime/log.js';
export type { Database, GenerateEvent, GenerateResult, GenerateSettings, Logger, MigrateMode, MigrateResult, MoveEvent, MoveResult, MoveSettings, PipelineEvent, RunAllResult, StreamEvent, StreamResult, StreamSettings, VerifyEvent, VerifyResult, VerifySettings };

/** How a function is run; all of it may be left out. */
export interface RunOptions<Event = never> {
  /** Ends it early and tidily: what is open is finished or rolled back. */
  readonly stop?: AbortSignal;
  /** Ends a stage as soon as nothing is left to do. Default: never, or at once with the setting `once`. */
  readonly drain?: AbortSignal;
  /** Default: silent. `createLogger` makes one. */
  readonly log?: Logger;
  /** Hears everything that is done. Called synchronously; must not throw. */
  readonly emit?: (event: Event) => void;
}

/** The settings of a command that moves or loads: those of its stage, and whether it ends when all is done. */
export type Once<Settings> = Partial<Settings> & { readonly once?: boolean };

/** What `run-all` is made of. `generate.outputDir` and `stream.inputDir` are also where the mover works. */
export interface RunAllSettings {
  readonly generate?: Partial<GenerateSettings>;
  readonly move?: Partial<Pick<MoveSettings, 'settleMs' | 'maxBacklog' | 'pollIntervalMs'>>;
  readonly stream?: Partial<StreamSettings>;
  /** Stop generating after so many milliseconds. */
  readonly durationMs?: number;
  /** End when all that was generated is loaded. Default: go on until `stop`. */
  readonly untilDrained?: boolean;
}

const POLL_INTERVAL_MS = 1000;

/** Where PostgreSQL is, as the commands find it: DATABASE_URL, else POSTGRES_*; nothing means the embedded server. */
export function databaseFromEnvironment(environment: NodeJS.ProcessEnv = process.env): TargetSettings {
  return parseSettings(databaseSettings, { flags: {}, environment, envFile: {} });
}

/**
 * Runs `action` with the database: the one of the settings, or the embedded server, which is started when need be and
 * stopped by its last user. Settings that are left out come from nowhere else; see {@link databaseFromEnvironment}.
 */
export async function withDatabase<T>(settings: Partial<TargetSettings>, action: (database: Database) => Promise<T>, options: RunOptions = {}): Promise<T> {
  return await withTarget({ ...defaults(databaseSettings), ...settings }, contextOf(options), action);
}

/** Creates or upgrades the schema. Several at once are fine. @throws IntegrityError when the schema is newer. */
export async function runMigrate(database: Database, mode: MigrateMode = 'apply', options: RunOptions = {}): Promise<MigrateResult> {
  return await migrate(database, mode, contextOf(options));
}

/** Writes CSV files until the wanted number is reached, or `stop`. @throws UsageError, FileError. */
export async function runGenerate(settings: Partial<GenerateSettings> = {}, options: RunOptions<GenerateEvent> = {}): Promise<GenerateResult> {
  return await generate({ outputDir: moveSettings.from.default, ...settings }, contextOf(options));
}

/** Publishes finished files from one directory to another. @throws FileError, FilesNotMovedError. */
export async function runMove({ once = false, ...settings }: Once<MoveSettings> = {}, options: RunOptions<MoveEvent> = {}): Promise<MoveResult> {
  const wanted = { pollIntervalMs: POLL_INTERVAL_MS, ...defaults(moveSettings), ...settings };
  if (wanted.from === moveSettings.from.default) await ensureDirectory(wanted.from);
  return await move(wanted, contextOf(options, once));
}

/** Loads a directory into PostgreSQL, exactly once. @throws FileError, OwnedError, IntegrityError, EcompipeError. */
export async function runStream({ once = false, ...settings }: Once<StreamSettings>, database: Database, options: RunOptions<StreamEvent> = {}): Promise<StreamResult> {
  const context = contextOf(options, once);
  const wanted = { ...streamDefaults(), ...settings };
  if (wanted.inputDir === streamSettings.inputDir.default) await ensureDirectory(wanted.inputDir);
  await ensureSchema(database, context);
  return await stream(wanted, database, context);
}

/** Migrates, then generates, moves and loads side by side. @throws what made the first of them fail; the others are stopped then. */
export async function runAll({ generate: made = {}, move: moved = {}, stream: loaded = {}, durationMs, untilDrained = false }: RunAllSettings, database: Database, options: RunOptions<PipelineEvent> = {}): Promise<RunAllResult> {
  const from = made.outputDir ?? moveSettings.from.default;
  const to = loaded.inputDir ?? streamSettings.inputDir.default;
  const stages = {
    generate: { ...made, outputDir: from },
    move: { settleMs: moveSettings.settleMs.default, pollIntervalMs: POLL_INTERVAL_MS, ...moved, from, to },
    stream: { ...streamDefaults(), ...loaded },
  };
  return await all({ ...stages, durationMs, untilDrained }, database, contextOf(options));
}

/** Proves the tables against the generator's manifests. That something is off is no error but a result: see `ok`. */
export async function runVerify(settings: Partial<VerifySettings>, database: Database, options: RunOptions<VerifyEvent> = {}): Promise<VerifyResult> {
  const [incoming, processing] = [moveSettings.from.default, streamSettings.inputDir.default];
  const { archiveDir, quarantineDir } = defaults(loadSettings);
  const places = { waitingDirs: [incoming, processing], loadedDirs: [archiveDir, processing, quarantineDir] };
  return await verify({ manifestDir: path.join(incoming, '.manifest'), ...places, ...settings }, database, contextOf(options));
}

function streamDefaults(): StreamSettings {
  return { inputDir: streamSettings.inputDir.default, pollIntervalMs: POLL_INTERVAL_MS, ...defaults(loadSettings) };
}

function defaults<Table extends Record<string, Setting<unknown>>>(table: Table): { [Key in keyof Table]: Table[Key]['default'] } {
  return Object.fromEntries(Object.entries(table).map(([key, { default: value }]) => [key, value])) as { [Key in keyof Table]: Table[Key]['default'] };
}

function contextOf<Event>({ stop, drain, log = silentLogger, emit = () => undefined }: RunOptions<Event>, once = false): StageContext<Event> {
  const never = new AbortController().signal;
  return { stop: stop ?? never, drain: drain ?? (once ? AbortSignal.abort() : never), log, emit };
}
