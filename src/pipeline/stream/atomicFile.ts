import type { Connection } from '../../platform/db/client.js';
import { addCounts, NO_ROWS, type BatchPart, type RowCounts } from './batch.js';
import { CompareAndSetLost, explainLedgerError, writeLedger, type LedgerFile } from './ledger.js';
import { beginBatch, commit, FastPathFailed, loadFast, type CommittedBatch } from './loadBatch.js';
import { readRanges, type RangeSource } from './ranges.js';
import type { LoaderContext } from './runBatch.js';
import { isRace, loadSlow } from './slow/loadSlow.js';

/**
 * Loads all that is left of a file in one transaction (`--atomic-file`): range after range, each behind a savepoint to
 * which the fast path falls back, and one entry in the ledger for all.
 * @throws CompareAndSetLost when another process was at the file meanwhile, or when an earlier attempt's lost commit
 *   turns out to have gone through; the ledger tells which.
 */
export async function loadAtomically(
  context: LoaderContext,
  source: RangeSource,
  file: LedgerFile,
  batchBytes: number,
): Promise<CommittedBatch> {
  return await context.pool.use('bulk', `cannot load ${source.name}`, async (connection) => {
    try {
      return await loadInOneTransaction(connection, context, source, file, batchBytes);
    } catch (error) {
      await connection.client.query('rollback').catch(() => undefined);
      // Somebody inserted one of the events between our look and our insert: another look will find it.
      throw isRace(error) ? new CompareAndSetLost('an event was inserted meanwhile', error) : explainLedgerError(error);
    }
  });
}

async function loadInOneTransaction(
  connection: Connection,
  context: LoaderContext,
  source: RangeSource,
  file: LedgerFile,
  batchBytes: number,
): Promise<CommittedBatch> {
  const startedAt = new Date();
  const batchId = await beginBatch(connection, { isDurable: true, lockTimeoutMs: 0, rules: context.rules });
  let counts: RowCounts = NO_ROWS;
  let whole: BatchPart | undefined;
  let loadPath: 'fast' | 'slow' = 'fast';
  for await (const { part, release } of readRanges(
    source,
    { offset: file.committedOffset, lines: file.committedLines },
    batchBytes,
    1,
  )) {
    const range = await loadRange(connection, context, source, part, batchId);
    counts = addCounts(counts, range.counts);
    if (range.loadPath === 'slow') loadPath = 'slow';
    release();
    whole = {
      ...(whole ?? part),
      endOffset: part.endOffset,
      lines: (whole?.lines ?? 0) + part.lines,
      isLast: part.isLast,
    };
  }
  if (whole === undefined) throw new RangeError(`${source.name} has no range left`);
  const entry = { part: whole, fileId: source.fileId, counts };
  const [totals] = await writeLedger(connection, {
    batchId,
    loadPath,
    startedAt,
    columns: source.header.columns,
    parts: [entry],
    enteredLoaded: new Set(),
  });
  if (totals !== undefined) context.assertLimit(whole, totals);
  await commit(connection);
  return { batchId, loadPath, parts: [entry], counts, durationMs: Date.now() - startedAt.getTime(), isDurable: true };
}

async function loadRange(
  connection: Connection,
  context: LoaderContext,
  source: RangeSource,
  part: BatchPart,
  batchId: number,
): Promise<{ counts: RowCounts; loadPath: 'fast' | 'slow' }> {
  const batch = { columns: source.header.columns, parts: [part], isDurable: true };
  if (part.plain && !context.breaker.skipFast()) {
    await connection.client.query('savepoint ecompipe_range');
    try {
      const [counts = NO_ROWS] = await loadFast(connection, batch);
      await connection.client.query('release savepoint ecompipe_range');
      context.breaker.fastSucceeded();
      return { counts, loadPath: 'fast' };
    } catch (error) {
      if (!(error instanceof FastPathFailed)) throw error;
      await connection.client.query('rollback to savepoint ecompipe_range');
      context.breaker.fastFailed();
    }
  }
  const [counts = NO_ROWS] = await loadSlow(connection, batch, {
    ...context,
    fileIds: [source.fileId],
    batchId,
    waitForTurn: () => Promise.resolve(),
  });
  return { counts, loadPath: 'slow' };
}
