/** The stages of the pipeline, as functions. */
import path from 'node:path';
import { loadSettings, streamSettings } from '../pipeline/stream/settingsTable.js';
import { moveSettings } from '../pipeline/move/settingsTable.js';
import type { Database } from '../platform/db/target.js';
import { ensureDirectory } from '../platform/files/ensureDirectory.js';
import { runGenerate as generate } from '../pipeline/generate/runGenerate.js';
import type { GenerateEvent, GenerateResult } from '../pipeline/generate/generateEvents.js';
import type { GenerateSettings } from '../pipeline/generate/settings.js';
import {
  runMigrate as migrate,
  type MigrateContext,
  type MigrateMode,
  type MigrateResult,
} from '../pipeline/migrate/runMigrate.js';
import { ensureSchema } from '../pipeline/migrate/schema.js';
import type { MoveEvent, MoveResult, MoveSettings } from '../pipeline/move/moveEvents.js';
import { runMove as move } from '../pipeline/move/runMove.js';
import type { PipelineEvent } from '../pipeline/pipelineEvents.js';
import { runAll as all, type RunAllResult } from '../pipeline/runAll.js';
import type { StreamEvent, StreamResult, StreamSettings } from '../pipeline/stream/streamEvents.js';
import { runStream as stream } from '../pipeline/stream/runStream.js';
import { runVerify as verify } from '../pipeline/verify/runVerify.js';
import type { VerifyEvent, VerifyResult, VerifySettings } from '../pipeline/verify/verifyEvents.js';
import { contextOf, defaults, type RunOptions } from './options.js';

/** The settings of a command that moves or loads: those of its stage, and whether it ends when all is done. */
export type Once<Settings> = Partial<Settings> & {
  /** Do what there is to do, and end. @default false */
  readonly once?: boolean;
};

/** What `run-all` is made of. `generate.outputDir` and `stream.inputDir` are also where the mover works. */
export interface RunAllSettings {
  /** What is generated, and where. @default the defaults of `runGenerate` */
  readonly generate?: Partial<GenerateSettings>;
  /** When files are moved. @default the defaults of `runMove` */
  readonly move?: Partial<Pick<MoveSettings, 'settleMs' | 'maxBacklog' | 'pollIntervalMs'>>;
  /** How files are loaded. @default the defaults of `runStream` */
  readonly stream?: Partial<StreamSettings>;
  /** Stop generating after so many milliseconds. @default no limit */
  readonly durationMs?: number;
  /** End when all that was generated is loaded, instead of at `stop`. @default false */
  readonly untilDrained?: boolean;
}

const POLL_INTERVAL_MS = 1000;

/** Creates or upgrades the schema. Several at once are fine. @throws IntegrityError when the schema is newer. */
export async function runMigrate(
  database: Database,
  mode: MigrateMode = 'apply',
  { adopt = false, roles = false, ...options }: RunOptions & Pick<MigrateContext, 'adopt' | 'roles'> = {},
): Promise<MigrateResult> {
  return await migrate(database, mode, { ...contextOf(options), adopt, roles });
}

/** Writes CSV files until the wanted number is reached, or `stop`. @throws UsageError, FileError. */
export async function runGenerate(
  settings: Partial<GenerateSettings> = {},
  options: RunOptions<GenerateEvent> = {},
): Promise<GenerateResult> {
  return await generate({ outputDir: moveSettings.from.default, ...settings }, contextOf(options));
}

/** Publishes finished files from one directory to another. @throws FileError, FilesNotMovedError. */
export async function runMove(
  { once = false, ...settings }: Once<MoveSettings> = {},
  options: RunOptions<MoveEvent> = {},
): Promise<MoveResult> {
  const { archiveDir, quarantineDir, checkpointDir } = defaults(loadSettings);
  const wanted = {
    pollIntervalMs: POLL_INTERVAL_MS,
    ...defaults(moveSettings),
    ownDirs: [archiveDir, quarantineDir, checkpointDir],
    ...settings,
  };
  if (wanted.from === moveSettings.from.default) await ensureDirectory(wanted.from);
  return await move(wanted, contextOf(options, once));
}

/** Loads a directory into PostgreSQL, exactly once. @throws FileError, AlreadyRunningError, IntegrityError, EcompipeError. */
export async function runStream(
  { once = false, ...settings }: Once<StreamSettings>,
  database: Database,
  options: RunOptions<StreamEvent> = {},
): Promise<StreamResult> {
  const context = contextOf(options, once);
  const wanted = { ...streamDefaults(), ...settings };
  if (wanted.inputDir === streamSettings.inputDir.default) await ensureDirectory(wanted.inputDir);
  await ensureSchema(database, context);
  return await stream(wanted, database, context);
}

/** Migrates, then generates, moves and loads side by side. @throws what made the first of them fail; the others are stopped then. */
export async function runAll(
  { generate: made = {}, move: moved = {}, stream: loaded = {}, durationMs, untilDrained = false }: RunAllSettings,
  database: Database,
  options: RunOptions<PipelineEvent> = {},
): Promise<RunAllResult> {
  const from = made.outputDir ?? moveSettings.from.default;
  const to = loaded.inputDir ?? streamSettings.inputDir.default;
  const stages = {
    generate: { ...made, outputDir: from },
    move: { settleMs: moveSettings.settleMs.default, pollIntervalMs: POLL_INTERVAL_MS, ...moved, from, to },
    stream: { ...streamDefaults(), ...loaded },
  };
  return await all({ ...stages, durationMs, untilDrained }, database, contextOf(options));
}

/** Proves the tables against the generator's manifests. A difference is a result, not an error: see `ok`. */
export async function runVerify(
  settings: Partial<VerifySettings>,
  database: Database,
  options: RunOptions<VerifyEvent> = {},
): Promise<VerifyResult> {
  const [incoming, processing] = [moveSettings.from.default, streamSettings.inputDir.default];
  const { archiveDir, quarantineDir } = defaults(loadSettings);
  const places = { waitingDirs: [incoming, processing], loadedDirs: [archiveDir, processing, quarantineDir] };
  return await verify(
    { manifestDir: path.join(incoming, '.manifest'), ...places, ...settings },
    database,
    contextOf(options),
  );
}

function streamDefaults(): StreamSettings {
  return { inputDir: streamSettings.inputDir.default, pollIntervalMs: POLL_INTERVAL_MS, ...defaults(loadSettings) };
}
