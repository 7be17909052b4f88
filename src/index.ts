/**
 * ecompipe as a library: each command is a function with the settings of its flags, camel-cased, and the same defaults.
 * Where a flag names a file or directory, relative ones count from the working directory.
 */
export {
  embeddedStatus,
  embeddedUrl,
  startEmbedded,
  stopEmbedded,
  type EmbeddedConnection,
  type EmbeddedOptions,
  type EmbeddedStatus,
  type StopOptions,
  type UrlOptions,
} from './platform/db/embedded/index.js';
export type { Database } from './platform/db/target.js';
export {
  EcompipeError,
  EXIT,
  FileError,
  IntegrityError,
  InterruptedError,
  AlreadyRunningError,
  UsageError,
  type ErrorFacts,
  type ExitCode,
} from './platform/errors.js';
export { createLogger, type Logger } from './platform/log.js';
export * from './library/operations.js';
export { databaseFromEnvironment, withDatabase, type RunOptions } from './library/options.js';
export * from './library/pipeline.js';
export type { DashboardSettings } from './pipeline/dashboard/runDashboard.js';
export type { GenerateEvent, GenerateResult } from './pipeline/generate/generateEvents.js';
export type { GenerateSettings } from './pipeline/generate/settings.js';
export type { RestoreResult } from './pipeline/migrate/dump/restoreDump.js';
export type { DumpResult } from './pipeline/migrate/dump/writeDump.js';
export type { MigrateMode, MigrateResult } from './pipeline/migrate/runMigrate.js';
export type { MoveEvent, MoveResult, MoveSettings } from './pipeline/move/moveEvents.js';
export type { Reject, RejectFilter, RejectList } from './pipeline/rejects/list.js';
export type { ReplayResult } from './pipeline/rejects/replay.js';
export type { RejectedRow } from './pipeline/rejects/show.js';
export type { PipelineEvent } from './pipeline/pipelineEvents.js';
export type { RunAllResult } from './pipeline/runAll.js';
export type { Limits, Violation } from './pipeline/status/limits.js';
export type { Status, StatusPlaces } from './pipeline/status/runStatus.js';
export type { StreamEvent, StreamResult, StreamSettings } from './pipeline/stream/streamEvents.js';
export type { Trace } from './pipeline/trace/types.js';
export type { PrunedArchive, PrunedEvents, PrunedLedger, PruneResult, PruneSettings } from './pipeline/prune/types.js';
export type { UndoResult, UndoSettings } from './pipeline/undo/types.js';
export type { VerifyEvent, VerifyResult, VerifySettings } from './pipeline/verify/verifyEvents.js';
