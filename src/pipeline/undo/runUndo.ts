import type { RemakeRows } from '../../contract/stageServices.js';
import type { Connection } from '../../platform/db/client.js';
import { withConnection, type Database } from '../../platform/db/target.js';
import { locate } from '../../platform/files/dayFolders.js';
import { failpoint } from '../../platform/failpoint.js';
import { pause } from '../../platform/wait.js';
import type { UndoneFile, UndoResult, UndoSettings } from './types.js';
import { findStrandedDuplicates, invalidateRollups, recountReplays, removeFiles, reopenRejects } from './ledger.js';
import { prepareRemoval, REMOVED, removeBatches, removeEventsOf } from './removeEvents.js';
import { findTarget, type TargetFile, type UndoTarget } from './target.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { integer, queryRows, text } from '../../platform/db/decodeRows.js';

/**
 * Takes a file, or a batch with its files, out again: its events, rejects, duplicates and ledger entries, in one
 * transaction; as if it had never been loaded. What is out already stays so: doing it again is harmless.
 *
 * Safe beside running streams: nobody can write events between the first look and the commit, and a stream in the middle
 * of the file then loses its compare-and-set, reads the ledger again, and loads the file from its start.
 * @param remakeRows of stream: tells which rows of a batch are of a file that a feed made them of.
 * @throws UsageError when nothing, several things or a part of a file is meant; EcompipeError (74) when a file's bytes are
 *   needed and gone.
 */
export async function runUndo(settings: UndoSettings, database: Database, remakeRows: RemakeRows): Promise<UndoResult> {
  return await withConnection(database, 'cannot undo', async (connection) => {
    const { client } = connection;
    await client.query('begin');
    try {
      // In the order of whoever else takes both: a refresh of the rollups reads events.
      await client.query(`select pg_advisory_xact_lock(hashtext('analytics.refresh'))`);
      await client.query('lock table public.events in share row exclusive mode');
      const target = await findTarget(connection, settings);
      const result =
        target.kind === 'already-undone'
          ? nothingLeft(target.label)
          : await takeOut(connection, target, settings, remakeRows);
      failpoint('ledger-written');
      if (settings.dryRun || target.kind === 'already-undone') {
        await client.query('rollback');
        return result;
      }
      await client.query('commit');
      return { ...result, files: await lookAgain(connection, result.files, settings) };
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      throw error;
    }
  });
}

async function takeOut(
  connection: Connection,
  target: Exclude<UndoTarget, { kind: 'already-undone' }>,
  settings: UndoSettings,
  remakeRows: RemakeRows,
): Promise<UndoResult> {
  const files = target.kind === 'files' ? target.files : [];
  const fileIds = files.map(({ fileId }) => fileId);
  const found = await locateFiles(files, settings);
  const paths = new Map(found.flatMap(({ fileId, path }) => (path === undefined ? [] : [[fileId, path] as const])));
  await prepareRemoval(connection);
  if (target.kind === 'files') await removeEventsOf(connection, files, paths, remakeRows);
  else await removeBatches(connection, [target.batchId]);
  const eventsRemoved = await countRemoved(connection);
  const strandedDuplicates = await findStrandedDuplicates(connection, fileIds);
  const reopened = await reopenRejects(connection, fileIds);
  const change = await removeFiles(connection, fileIds);
  const replays = [...new Set([...reopened, ...change.replays, ...(target.kind === 'replay' ? [target.batchId] : [])])];
  const eventsExpected =
    change.eventsExpected + (target.kind === 'replay' ? await countOfBatch(connection, target.batchId) : 0);
  await recountReplays(connection, replays);
  const batchIds = [...change.batchIds, ...replays].sort((a, b) => a - b);
  return {
    outcome: settings.dryRun ? 'would-undo' : 'undone',
    target: target.label,
    files: found.map(({ name, sha256, path, isWaiting }) => ({ name, sha256, path, isWaiting })),
    batchIds,
    eventsRemoved,
    eventsMissing: Math.max(0, eventsExpected - eventsRemoved),
    rejectsRemoved: change.rejectsRemoved,
    duplicatesRemoved: change.duplicatesRemoved,
    redeliveriesRemoved: change.redeliveriesRemoved,
    strandedDuplicates,
    rejectsReopened: reopened.length,
    rollupsRebuilt: await invalidateRollups(connection, batchIds, settings),
  };
}

async function locateFiles(
  files: readonly TargetFile[],
  { loadedDirs, waitingDirs }: UndoSettings,
): Promise<(UndoneFile & { readonly fileId: number })[]> {
  return await Promise.all(
    files.map(async ({ fileId, name, sha256 }) => {
      const waiting = await locate(name, { sha256 }, waitingDirs);
      return {
        fileId,
        name,
        sha256: sha256.toString('hex'),
        path: waiting ?? (await locate(name, { sha256 }, loadedDirs)),
        isWaiting: waiting !== undefined,
      };
    }),
  );
}

/** Twice as long as a stream puts a file away without another look at the ledger, from its commit on. */
const PUT_AWAY_MS = 500;

/**
 * A stream may have been about to put a file away, as loaded, when it was taken out: where it is in the end is what decides
 * whether a stream loads it again.
 */
async function lookAgain(
  { client }: Connection,
  files: readonly UndoneFile[],
  { waitingDirs, loadedDirs }: UndoSettings,
): Promise<readonly UndoneFile[]> {
  if (!files.some(({ isWaiting }) => isWaiting)) return files;
  await pause(PUT_AWAY_MS);
  const rows = await queryRows(
    client,
    { sha256: text },
    `select encode(sha256, 'hex') as sha256 from ecompipe.files
     where ecompipe.content_key(sha256) = any (array(select ecompipe.content_key(decode(h, 'hex')) from unnest ($1::text[]) as h))`,
    [files.map(({ sha256 }) => sha256)],
  );
  const loadedAgain = new Set(rows.map(({ sha256 }) => sha256));
  return await Promise.all(
    files.map(async (file) => {
      if (!file.isWaiting || loadedAgain.has(file.sha256)) return file;
      const content = { sha256: Buffer.from(file.sha256, 'hex') };
      const waiting = await locate(file.name, content, waitingDirs);
      if (waiting !== undefined) return { ...file, path: waiting };
      return { ...file, path: await locate(file.name, content, loadedDirs), isWaiting: false };
    }),
  );
}

async function countRemoved({ client }: Connection): Promise<number> {
  const rows = await queryRows(client, { rows: integer }, `select count(*) as rows from ${REMOVED}`);
  return soleRow(rows).rows;
}

async function countOfBatch({ client }: Connection, batchId: number): Promise<number> {
  const rows = await queryRows(
    client,
    { rows: integer },
    'select rows_inserted as rows from ecompipe.batches where batch_id = $1',
    [batchId],
  );
  return soleRow(rows).rows;
}

function nothingLeft(target: string): UndoResult {
  return {
    outcome: 'already-undone',
    target,
    files: [],
    batchIds: [],
    eventsRemoved: 0,
    eventsMissing: 0,
    rejectsRemoved: 0,
    duplicatesRemoved: 0,
    redeliveriesRemoved: 0,
    strandedDuplicates: [],
    rejectsReopened: 0,
    rollupsRebuilt: false,
  };
}
