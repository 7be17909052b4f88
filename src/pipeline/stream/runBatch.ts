import type { Connection } from '../../core/db/client.js';
import { addCounts, describeBatch, NO_ROWS, type Batch, type BatchPart } from './batch.js';
import { GaveWay, type CommitOrder } from './commitOrder.js';
import type { ConnectionPool, Priority } from './connectionPool.js';
import { CompareAndSetLost, findCommittedRange, type FileTotals } from './ledger.js';
import { isContention, loadBatch, type LoadResult } from './loadBatch.js';
import type { LoadPathChoice } from './loadPath.js';
import type { EventRules } from './slow/rules.js';

/** What all batches of a run share. */
export interface LoaderContext {
  readonly pool: ConnectionPool;
  readonly rules: EventRules;
  readonly choice: LoadPathChoice;
  readonly assertLimit: (part: BatchPart, totals: FileTotals) => void;
}

/** The place of a batch among the others of its file. */
export interface Place {
  readonly order: CommitOrder;
  readonly index: number;
}

/**
 * Brings a batch into the table: on any connection that becomes free, again and again while the database is away or in
 * the way. A commit whose reply was lost is settled by asking the ledger for the batch id; doing it again is harmless
 * because of the compare-and-set.
 * @throws CompareAndSetLost when another process has the range; a database error that no retry will mend.
 */
export async function runBatch(context: LoaderContext, batch: Batch, priority: Priority, place?: Place): Promise<LoadResult> {
  const attempted = new Set<number>();
  return await context.pool.use(priority, `cannot load ${describeBatch(batch)}`, async (connection) => {
    for (;;) {
      const result = await attempt(connection, context, batch, place, attempted);
      if (result !== undefined) return result;
    }
  });
}

/** One attempt; undefined when it met other transactions and may be repeated at once. */
async function attempt(connection: Connection, context: LoaderContext, batch: Batch, place: Place | undefined, attempted: Set<number>): Promise<LoadResult | undefined> {
  try {
    const result = await loadBatch(connection, batch, {
      rules: context.rules,
      choice: context.choice,
      turn: async () => place?.order.turn(place.index),
      assertLimit: context.assertLimit,
      attempting: (batchId) => attempted.add(batchId),
    });
    return settleKnown(result, attempted);
  } catch (error) {
    if (error instanceof CompareAndSetLost) return await settleLost(connection, batch, attempted, error);
    if (error instanceof GaveWay || isContention(error)) {
      if (place?.order.isHead(place.index) === true) place.order.giveWay();
      else if (place !== undefined) await waitForTurn(place);
      return undefined;
    }
    throw error;
  }
}

/** Waits without a transaction open, so that there is nothing to give way with. */
async function waitForTurn(place: Place): Promise<void> {
  for (;;) {
    try {
      await place.order.turn(place.index);
      return;
    } catch (error) {
      if (!(error instanceof GaveWay)) throw error;
    }
  }
}

/** Files that one of our own attempts has loaded are known because its commit went through after all. */
function settleKnown(result: LoadResult, attempted: ReadonlySet<number>): LoadResult {
  const ours = result.known.filter(({ file }) => file.lastBatchId !== null && attempted.has(file.lastBatchId));
  const [first] = ours;
  if (result.committed !== undefined || first === undefined) return result;
  const parts = ours.map(({ part, file }) => ({ part, fileId: file.fileId, counts: file.rows }));
  return {
    committed: { batchId: first.file.lastBatchId ?? 0, loadPath: 'fast', parts, counts: parts.map(({ counts }) => counts).reduce(addCounts, NO_ROWS), durationMs: 0, isDurable: false },
    known: result.known.filter((known) => !ours.includes(known)),
  };
}

/** A range that is taken: by an attempt of ours after all, or by another process. Whole files are looked up afresh. */
async function settleLost(connection: Connection, batch: Batch, attempted: ReadonlySet<number>, lost: CompareAndSetLost): Promise<LoadResult | undefined> {
  const [part] = batch.parts;
  if (part?.fileId === undefined) return undefined;
  const range = await findCommittedRange(connection, part.fileId, part);
  if (range === undefined || !attempted.has(range.batchId)) throw lost;
  return { committed: { batchId: range.batchId, loadPath: 'fast', parts: [{ part, fileId: part.fileId, counts: range.counts }], counts: range.counts, durationMs: 0, isDurable: false }, known: [] };
}
