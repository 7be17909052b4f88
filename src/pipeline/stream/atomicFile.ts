import assert from 'node:assert/strict';
import type { Connection } from '../../platform/db/client.js';
import { fileColumns, shapeOf, UnreadableFile } from '../../contract/csv/header.js';
import { addCounts, NO_ROWS, type BatchPart, type PartResult, type RowCounts } from './batch.js';
import type { LedgerFile } from './ledger.js';
import { DirectPathFailed, loadUnjudged, mayGoDirect } from './loadBatch.js';
import { runLoad, sumOfParts, type CommittedBatch, type PutRows } from './loadTransaction.js';
import { readRanges, type RangeSource } from './ranges.js';
import { targetFor } from './feeds/loaderFeeds.js';
import { assertUnchanged, type LoaderContext } from './runBatch.js';
import { useFor } from './notAccepted.js';
import { loadStaged } from './staged/loadStaged.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

/** Most rows of a file that is loaded whole or not at all are rejected. Not for a retry. */
class MostlyRejected extends Error {}

/** Asked to stop between two ranges of a file: nothing of it is kept. */
export class StoppedHalfway extends Error {}

interface AtomicLoad {
  readonly batchBytes: number;
  readonly stop: AbortSignal;
}

/**
 * Loads all that is left of a file in one transaction (`--atomic-file`): range after range, each behind a savepoint to
 * which the direct path falls back, and one entry in the ledger for all.
 * @throws CompareAndSetLost when another process was at the file meanwhile, or when an earlier attempt's lost commit
 *   turns out to have gone through; the ledger tells which. UnreadableFile when most of its rows are rejected.
 *   StoppedHalfway.
 */
export async function loadAtomically(
  context: LoaderContext,
  source: RangeSource,
  file: LedgerFile,
  settings: AtomicLoad,
): Promise<CommittedBatch> {
  const committed = useFor(
    context.pool,
    'bulk',
    [source.name],
    `cannot load ${printableLine(source.name)}`,
    async (connection) => {
      const target = targetFor(context, source.header.feed);
      await target.refresh(connection);
      const committed = await runLoad(connection, {
        target: target.table,
        engine: 'native',
        isDurable: true,
        lockTimeoutMs: 0,
        limits: context.limits,
        onAttempt: () => undefined,
        beforeCommit: () => assertUnchanged(context, [source]),
        putRows: (batchId) => putRanges(connection, context, source, file, settings, batchId),
      });
      assert(committed !== undefined, `${source.name} has a range left`);
      return committed;
    },
  );
  return await committed.catch((error: unknown) => {
    throw error instanceof MostlyRejected ? new UnreadableFile(error.message, { cause: error }) : error;
  });
}

async function putRanges(
  connection: Connection,
  context: LoaderContext,
  source: RangeSource,
  file: LedgerFile,
  { batchBytes, stop }: AtomicLoad,
  batchId: number,
): Promise<PutRows> {
  let counts: RowCounts = NO_ROWS;
  let skipped = 0;
  let whole: BatchPart | undefined;
  let loadPath: PutRows['loadPath'] = 'direct';
  const from = { offset: file.committedOffset, lines: file.committedLines, records: file.committedRecords };
  for await (const { part, release } of readRanges(source, from, batchBytes, 1)) {
    if (stop.aborted) throw new StoppedHalfway(source.name);
    const range = await putRange(connection, context, source, part, batchId);
    counts = addCounts(counts, range.counts);
    skipped += range.skipped;
    if (range.loadPath === 'staged') loadPath = 'staged';
    release();
    whole = {
      ...(whole ?? part),
      endOffset: part.endOffset,
      lines: (whole?.lines ?? 0) + part.lines,
      rows: (whole?.rows ?? 0) + part.rows,
      isLast: part.isLast,
    };
    const reason = part.isLast ? undefined : context.limits.reasonToStop({ fileId: source.fileId, ...counts });
    // Whole or not at all: what is read of it must not stay.
    if (reason !== undefined)
      throw new MostlyRejected(`${counts.rejected} of the first ${countOf(counts.read, 'row')} were rejected`);
  }
  assert(whole !== undefined, `${source.name} has a range left`);
  const parts = [{ part: whole, fileId: source.fileId, counts, skipped }];
  const { header } = source;
  return {
    loadPath,
    columns: fileColumns(header),
    feed: header.feed,
    parts,
    enteredLoaded: new Set(),
    ...sumOfParts(parts),
  };
}

async function putRange(
  connection: Connection,
  context: LoaderContext,
  source: RangeSource,
  part: BatchPart,
  batchId: number,
): Promise<PartResult & { loadPath: PutRows['loadPath'] }> {
  const batch = { ...shapeOf(source.header), parts: [part], isDurable: true };
  const { table } = targetFor(context, batch.feed);
  if (mayGoDirect(batch, context)) {
    await connection.client.query('savepoint ecompipe_range');
    try {
      const [result] = await loadUnjudged(connection, batch, table, 'direct');
      assert(result !== undefined, 'one part has one result');
      await connection.client.query('release savepoint ecompipe_range');
      context.breaker.directSucceeded();
      return { ...result, loadPath: 'direct' };
    } catch (error) {
      if (!(error instanceof DirectPathFailed)) throw error;
      await connection.client.query('rollback to savepoint ecompipe_range; release savepoint ecompipe_range');
      context.breaker.directFailed();
    }
  }
  const [result] = await loadStaged(connection, batch, {
    fileIds: [source.fileId],
    batchId,
    target: table,
    waitForTurn: () => Promise.resolve(),
  });
  assert(result !== undefined, 'one part has one result');
  return { ...result, loadPath: 'staged' };
}
