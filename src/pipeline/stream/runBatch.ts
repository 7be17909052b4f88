import assert from 'node:assert/strict';
import type { Connection } from '../../platform/db/client.js';
import { classifyError } from '../../platform/db/sqlState.js';
import { addCounts, describeBatch, NO_ROWS, type Batch } from './batch.js';
import { Preempted, type CommitOrder } from './commitOrder.js';
import type { ConnectionPool, Priority } from './connectionPool.js';
import { CompareAndSetLost, findCommittedRange } from './ledger.js';
import { isContention, loadBatch, type LoadResult } from './loadBatch.js';
import type { DirectPathBreaker } from './directPathBreaker.js';
import type { RejectLimits } from './rejectLimit.js';
import { targetFor, type LoaderFeeds } from './feeds/loaderFeeds.js';
import type { Target } from './targetTable.js';

/** What all batches of a run share. */
export interface LoaderContext {
  readonly pool: ConnectionPool;
  /** The table of files that no feed is for. */
  readonly target: Target;
  readonly feeds: LoaderFeeds;
  readonly breaker: DirectPathBreaker;
  readonly limits: RejectLimits;
}

/** The place of a batch among the others of its file. */
export interface PositionInFile {
  readonly order: CommitOrder;
  readonly index: number;
}

/**
 * Brings a batch into the table: on any connection that becomes free, again and again while the database is away or in
 * the way. A commit whose reply was lost is settled by asking the ledger for the batch id; doing it again is harmless
 * because of the compare-and-set.
 * @throws CompareAndSetLost when another process has the range; a database error that no retry will mend.
 */
export async function runBatch(
  context: LoaderContext,
  batch: Batch,
  priority: Priority,
  place?: PositionInFile,
): Promise<LoadResult> {
  const attempted: Attempts = new Map();
  return await context.pool.use(priority, `cannot load ${describeBatch(batch)}`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      const result = await attempt(connection, context, batch, place, attempted);
      if (!('contention' in result)) return result;
      if (contentions >= MAX_CONTENTIONS && classifyError(result.contention) === 'retry') throw result.contention;
    }
  });
}

/** Tokens of the batches that were begun for one range or group of files, by id: their commits' outcome may be unknown. */
type Attempts = Map<number, string>;

/** How long a range waits for a row lock before it looks whether it is part of a deadlock (see CommitOrder). */
const LOCK_TIMEOUT_MS = 500;

/** So often in a row the batch is done again at once; then a lock from outside is in the way, and the retry waits, tells and ends. */
const MAX_CONTENTIONS = 20;

/** One attempt, or what it met that makes it worth repeating at once. */
async function attempt(
  connection: Connection,
  context: LoaderContext,
  batch: Batch,
  place: PositionInFile | undefined,
  attempted: Attempts,
): Promise<LoadResult | { readonly contention: unknown }> {
  try {
    const result = await loadBatch(connection, batch, {
      target: targetFor(context, batch.feed),
      breaker: context.breaker,
      lockTimeoutMs: place === undefined ? 0 : LOCK_TIMEOUT_MS,
      waitForTurn: async () => place?.order.waitForTurn(place.index),
      limits: context.limits,
      onAttempt: (batchId, token) => attempted.set(batchId, token),
    });
    return claimOwnCommit(result, attempted);
  } catch (error) {
    if (error instanceof CompareAndSetLost) return await resolveLostRace(connection, batch, attempted, error);
    if (error instanceof Preempted || isContention(error)) {
      if (place?.order.isHead(place.index) === true) place.order.preemptWaiters();
      else if (place !== undefined) await waitOutsideTransaction(place);
      return { contention: error };
    }
    throw error;
  }
}

/** Waits without a transaction open, so that there is nothing to give way with. */
async function waitOutsideTransaction(place: PositionInFile): Promise<void> {
  for (;;) {
    try {
      await place.order.waitForTurn(place.index);
      return;
    } catch (error) {
      if (!(error instanceof Preempted)) throw error;
    }
  }
}

/** Files that one of our own attempts has loaded are known because its commit went through after all. */
function claimOwnCommit(result: LoadResult, attempted: ReadonlyMap<number, string>): LoadResult {
  const ours = result.known.filter(({ file }) => file.lastBatchId !== null && attempted.has(file.lastBatchId));
  const [first] = ours;
  if (result.committed !== undefined || first === undefined) return result;
  assert(first.file.lastBatchId !== null, 'it was found by its batch');
  const token = attempted.get(first.file.lastBatchId);
  assert(token !== undefined, 'it is one of the attempts');
  const parts = ours.map(({ part, file }) => ({ part, fileId: file.fileId, counts: file.rows, skipped: 0 }));
  return {
    committed: {
      batchId: first.file.lastBatchId,
      token,
      loadPath: 'direct',
      parts,
      counts: parts.map(({ counts }) => counts).reduce(addCounts, NO_ROWS),
      skipped: 0,
      durationMs: 0,
      isDurable: false,
    },
    known: result.known.filter((known) => !ours.includes(known)),
  };
}

/** A range that is taken: by an attempt of ours after all, or by another process. Whole files are looked up afresh. */
async function resolveLostRace(
  connection: Connection,
  batch: Batch,
  attempted: ReadonlyMap<number, string>,
  lost: CompareAndSetLost,
): Promise<LoadResult | { readonly contention: unknown }> {
  const [part] = batch.parts;
  if (part?.fileId === undefined) return { contention: lost };
  const range = await findCommittedRange(connection, part.fileId, part);
  const token = range === undefined ? undefined : attempted.get(range.batchId);
  if (range === undefined || token === undefined) throw lost;
  return {
    committed: {
      batchId: range.batchId,
      token,
      loadPath: 'direct',
      parts: [{ part, fileId: part.fileId, counts: range.counts, skipped: 0 }],
      counts: range.counts,
      skipped: 0,
      durationMs: 0,
      isDurable: false,
    },
    known: [],
  };
}
