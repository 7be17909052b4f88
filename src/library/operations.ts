/** What operates the pipeline, as functions. */
import { DEFAULT_PORT } from '../commands/dashboard.js';
import { rejectsSettings } from '../commands/rejects.js';
import { incomingDir, processingDir } from '../contract/directorySettings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';
import { ReadOnlyClient } from '../platform/db/readOnlyClient.js';
import { withConnection, type Database } from '../platform/db/target.js';
import { untilAborted } from '../platform/wait.js';
import { dashboardUrl, withDashboard, type DashboardSettings } from '../pipeline/dashboard/runDashboard.js';
import { restoreDump, type RestoreResult } from '../pipeline/migrate/dump/restoreDump.js';
import { writeDump, type DumpResult } from '../pipeline/migrate/dump/writeDump.js';
import { ensureSchema } from '../pipeline/migrate/schema.js';
import { exportRejects as rejectsAsCsv, type ExportOptions, writeNewFile } from '../pipeline/rejects/export.js';
import { type RejectFilter, listRejects as list, type RejectList } from '../pipeline/rejects/list.js';
import { runReplay, type ReplayResult } from '../pipeline/rejects/replay.js';
import { showReject as show, type RejectedRow } from '../pipeline/rejects/show.js';
import { findViolations, type Limits, type Violation } from '../pipeline/status/limits.js';
import { readStatus, type Status, type StatusPlaces } from '../pipeline/status/runStatus.js';
import { replayRows } from '../pipeline/stream/replay.js';
import type { Trace } from '../pipeline/trace/types.js';
import { traceEvent as trace } from '../pipeline/trace/runTrace.js';
import type { PruneResult, PruneSettings } from '../pipeline/prune/types.js';
import { runPrune as prune } from '../pipeline/prune/runPrune.js';
import type { UndoResult, UndoSettings } from '../pipeline/undo/types.js';
import { remakeRows } from '../pipeline/stream/feeds/remakeRows.js';
import { runUndo as undo } from '../pipeline/undo/runUndo.js';
import { contextOf, type RunOptions } from './options.js';

/** Looks at directories and ledger. An unreachable database is a result, not an error: see `unavailable`. */
export async function runStatus(places: Partial<StatusPlaces>, database: Database): Promise<Status> {
  const observer = new ReadOnlyClient(database);
  try {
    return await readStatus(
      {
        incomingDir: incomingDir.default,
        processingDir: processingDir.default,
        archiveDir: loadSettings.archiveDir.default,
        quarantineDir: loadSettings.quarantineDir.default,
        checkpointDir: loadSettings.checkpointDir.default,
        ...places,
      },
      database.label,
      observer,
    );
  } finally {
    await observer.close();
  }
}

/** What of a status exceeds these limits; those that are left out do not hold. */
export function checkStatus(status: Status, limits: Partial<Limits>): readonly Violation[] {
  return findViolations(status, {
    maxPending: undefined,
    maxPendingMs: undefined,
    maxFreshnessMs: undefined,
    maxIdleMs: undefined,
    maxRejectShare: undefined,
    maxQuarantined: undefined,
    ...limits,
  });
}

/** Rejected rows: all that the filter finds by reason, and the newest `limit` (default 20) of them. */
export async function listRejects(
  filter: Partial<RejectFilter>,
  database: Database,
  limit: number = rejectsSettings.limit.default,
  options: RunOptions = {},
): Promise<RejectList> {
  return await onConnection(database, options, 'cannot read the rejects', (connection) =>
    list(connection, wholeFilter(filter), limit),
  );
}

/** One rejected row. @throws UsageError when there is none with this number. */
export async function showReject(rejectId: number, database: Database, options: RunOptions = {}): Promise<RejectedRow> {
  return await onConnection(database, options, 'cannot read the reject', (connection) => show(connection, rejectId));
}

/** Writes rejected rows into a new CSV file, whole or not at all. @returns how many. @throws UsageError when there is such a file. */
export async function exportRejects(
  file: string,
  filter: Partial<RejectFilter> & ExportOptions,
  database: Database,
  options: RunOptions = {},
): Promise<number> {
  const { stop } = contextOf(options);
  return await onConnection(database, options, 'cannot export the rejects', (connection) =>
    writeNewFile(file, rejectsAsCsv(connection, wholeFilter(filter), filter), stop),
  );
}

/**
 * Loads a file of corrected rejects, exactly once however often.
 * @param directories where loaded files may lie; they are read where the number of a record in its file counts.
 * @throws UsageError when the file as such is wrong: nothing is loaded then.
 */
export async function replayRejects(
  file: string,
  database: Database,
  options: RunOptions = {},
  directories: readonly string[] = [
    loadSettings.archiveDir.default,
    loadSettings.quarantineDir.default,
    processingDir.default,
  ],
): Promise<ReplayResult> {
  const context = contextOf(options);
  await ensureSchema(database, context);
  return await runReplay(file, database, replayRows, directories, context.stop);
}

/** Where an event came from. @param directories where files may lie; they are read for the line. */
export async function traceEvent(
  eventId: string,
  database: Database,
  directories: readonly string[] = [loadSettings.archiveDir.default, processingDir.default],
  options: RunOptions = {},
): Promise<Trace> {
  return await onConnection(database, options, 'cannot trace the event', (connection) =>
    trace(connection, eventId, directories),
  );
}

/** Takes a loaded file or batch out again, in one transaction. Nobody is asked. @throws UsageError when it can't be taken out. */
export async function runUndo(
  settings: Partial<UndoSettings>,
  database: Database,
  options: RunOptions = {},
): Promise<UndoResult> {
  await ensureSchema(database, contextOf(options));
  return await undo(
    {
      file: undefined,
      batchId: undefined,
      dryRun: false,
      loadedDirs: [loadSettings.archiveDir.default],
      waitingDirs: [processingDir.default],
      ...settings,
    },
    database,
    remakeRows,
  );
}

/** Removes what is older than `settings.before`; without `events`, `archive` and `ledger` all three. Nobody is asked. */
export async function runPrune(
  settings: Partial<PruneSettings> & Pick<PruneSettings, 'before'>,
  database: Database,
  options: RunOptions = {},
): Promise<PruneResult> {
  const context = contextOf(options);
  await ensureSchema(database, context);
  const { events, archive, ledger } = settings;
  const isAll = events !== true && archive !== true && ledger !== true;
  const kinds = isAll
    ? { events: true, archive: true, ledger: true }
    : { events: false, archive: false, ledger: false };
  return await prune(
    { archiveDir: loadSettings.archiveDir.default, dryRun: false, ...kinds, ...settings },
    database,
    context.stop,
  );
}

export interface DumpOptions {
  /** Also when there is something that a dump does not carry. @default false */
  readonly force?: boolean;
}

/** Writes all tables into a new file. */
export async function runDump(
  file: string,
  { force = false }: DumpOptions,
  database: Database,
  options: RunOptions = {},
): Promise<DumpResult> {
  return await writeDump(database, file, { force, ...contextOf(options) });
}

/** Restores a dump into an empty database, all of it or nothing, and migrates it. */
export async function runRestore(file: string, database: Database, options: RunOptions = {}): Promise<RestoreResult> {
  return await restoreDump(database, file, contextOf(options));
}

/** Serves the live page until `stop`. @param onServed hears its address. @throws EcompipeError when the port can't be had. */
export async function runDashboard(
  settings: Partial<DashboardSettings>,
  database: Database,
  onServed: (url: string) => void,
  options: RunOptions = {},
): Promise<void> {
  const context = contextOf(options);
  const wanted = {
    host: '127.0.0.1',
    port: DEFAULT_PORT,
    incomingDir: incomingDir.default,
    processingDir: processingDir.default,
    ...settings,
  };
  await withDashboard(wanted, database, context, async (server, { failed }) => {
    onServed(dashboardUrl(server));
    await untilAborted(context.stop, failed);
    failed.throwIfAborted();
  });
}

function wholeFilter(filter: Partial<RejectFilter>): RejectFilter {
  return {
    file: undefined,
    sqlState: undefined,
    reason: undefined,
    feed: undefined,
    withoutFeed: false,
    all: false,
    ...filter,
  };
}

async function onConnection<T>(
  database: Database,
  options: RunOptions,
  what: string,
  action: Parameters<typeof withConnection<T>>[2],
): Promise<T> {
  await ensureSchema(database, contextOf(options));
  return await withConnection(database, what, action);
}
