import { refreshAnalytics } from '../../contract/rollups.js';
import type { Connection } from '../../platform/db/client.js';
import { withConnection, type Database } from '../../platform/db/target.js';
import { InterruptedError } from '../../platform/errors.js';
import { pruneArchive } from './archivedFiles.js';
import { findOldEvents, removeOldEvents } from './eventRows.js';
import { compactLedger, countOldLedger } from './ledgerRows.js';
import type { PrunedEvents, PrunedLedger, PruneResult, PruneSettings } from './types.js';

/**
 * Removes what is older than a moment: events, archived files, and what the ledger knows of files without events.
 *
 * Each transaction is small and leaves ledger and table in agreement, so it may be killed, run again and run beside
 * streams. The rollups behind the analytics views get the old events first and keep their figures.
 * @throws InterruptedError when `stop` aborts: what is removed stays so. DatabaseError, FileError.
 */
export async function runPrune(settings: PruneSettings, database: Database, stop: AbortSignal): Promise<PruneResult> {
  const { before, dryRun } = settings;
  const checkStop = (): void => {
    if (stop.aborted)
      throw new InterruptedError({
        what: 'prune was interrupted',
        outcome: dryRun ? 'nothing was changed' : 'what was removed stays removed',
        hint: 'run it again to continue',
      });
  };
  // Outside of what is tried again when the connection breaks: what was removed before is not counted again.
  const events = { rows: 0, partitions: [] as string[] };
  const ledger = { files: 0, batches: 0, rejects: 0, openRejects: 0 };
  const addEvents = (more: PrunedEvents): void => {
    events.rows += more.rows;
    events.partitions.push(...more.partitions);
  };
  const addLedger = (more: PrunedLedger): void => {
    for (const key of ['files', 'batches', 'rejects', 'openRejects'] as const) ledger[key] += more[key];
  };
  const run = async (connection: Connection): Promise<void> => {
    if (!dryRun) await notePrune(connection, settings);
    if (settings.events) {
      const found = await findOldEvents(connection, before);
      if (dryRun) addEvents({ rows: found.reduce((sum, { rows }) => sum + rows, 0), partitions: [] });
      else if (found.length > 0) {
        // A stream that loads has batches pending all the time: they are another's work as long as they have no old events.
        if (found.some(({ arePending }) => arePending)) await refreshAnalytics(connection, stop);
        await removeOldEvents(connection, before, found, addEvents, checkStop);
      }
    }
    if (!settings.ledger) return;
    if (dryRun) addLedger(await countOldLedger(connection, before));
    else await compactLedger(connection, before, addLedger, checkStop);
  };
  if (settings.events || settings.ledger) await withConnection(database, 'cannot prune', run);
  const archive = settings.archive ? await pruneArchive(settings.archiveDir, before, dryRun, checkStop) : null;
  return {
    outcome: dryRun ? 'would-prune' : 'pruned',
    before,
    events: settings.events ? events : null,
    archive,
    ledger: settings.ledger ? ledger : null,
  };
}

/** Before anything goes, so that a proof after a kill knows about it. */
async function notePrune({ client }: Connection, { before, events, ledger }: PruneSettings): Promise<void> {
  await client.query('insert into ecompipe.prunes (events_before, ledger_before) values ($1, $2)', [
    events ? before : null,
    ledger ? before : null,
  ]);
}
