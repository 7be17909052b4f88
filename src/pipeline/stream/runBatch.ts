import assert from 'node:assert/strict';
import path from 'node:path';
import type { Connection } from '../../platform/db/client.js';
import { classifyError, TransientError } from '../../platform/db/sqlState.js';
import { addCounts, describeBatch, NO_ROWS, type Batch, type BatchPart } from './batch.js';
import { wasWrittenTo } from './content.js';
import { Preempted, type CommitOrder } from './commitOrder.js';
import type { ConnectionPool, Priority } from './connectionPool.js';
import { CompareAndSetLost, findCommittedRange } from './ledger.js';
import { isContention, loadBatch, type LoadResult } from './loadBatch.js';
import type { DirectPathBreaker } from './directPathBreaker.js';
import type { RejectLimits } from './rejectLimit.js';
import { ledgerNotKept, MAX_CONTENTIONS, pauseBeforeRepeat, useFor } from './notAccepted.js';
import { targetFor, type LoaderFeeds } from './feeds/loaderFeeds.js';
import type { Target } from './targetTable.js';
import { printableLine } from '../../platform/printable.js';

/** What all batches of a run share. */
export interface LoaderContext {
  /** Where the files are that are loaded: looked at once more before a commit. Undefined where only others can. */
  readonly inputDir: string | undefined;
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
 * @throws CompareAndSetLost when another process has the range; NotAcceptedError when the database's own rules keep it
 *   out; a database error that no retry will mend.
 */
export async function runBatch(
  context: LoaderContext,
  batch: Batch,
  priority: Priority,
  place?: PositionInFile,
): Promise<LoadResult> {
  const attempted: Attempts = new Map();
  const names = batch.parts.map(({ name }) => name);
  return await useFor(context.pool, priority, names, `cannot load ${describeBatch(batch)}`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      const result = await attempt(connection, context, batch, place, attempted, contentions);
      if (!('contention' in result)) return result;
      if (contentions >= MAX_CONTENTIONS)
        throw await explainContention(connection, describeBatch(batch), result.contention);
      await pauseBeforeRepeat(contentions);
    }
  });
}

/** Tokens of the batches that were begun for one range or group of files, by id: their commits' outcome may be unknown. */
type Attempts = Map<number, string>;

/** What has been in the way again and again: a lock, which the retries bear longer, or what the ledger's tables do. */
async function explainContention(connection: Connection, what: string, contention: unknown): Promise<unknown> {
  if (contention instanceof Preempted)
    return new TransientError('earlier rows of the file meet a lock again and again');
  return classifyError(contention) === 'retry' ? contention : await ledgerNotKept(connection, what, contention);
}

/** How long a range waits for a row lock before it looks whether it is part of a deadlock (see CommitOrder). */
const LOCK_TIMEOUT_MS = 500;

/** After so many attempts it is somebody else's lock that is in the way: waited for long enough to be reported. */
const PATIENT_AFTER = 3;
const PATIENT_LOCK_TIMEOUT_MS = 5000;

/** One attempt, or what it met that makes it worth repeating at once. */
async function attempt(
  connection: Connection,
  context: LoaderContext,
  batch: Batch,
  place: PositionInFile | undefined,
  attempted: Attempts,
  contentions: number,
): Promise<LoadResult | { readonly contention: unknown }> {
  try {
    const result = await loadBatch(connection, batch, {
      target: targetFor(context, batch.feed),
      breaker: context.breaker,
      lockTimeoutMs: place === undefined ? 0 : contentions < PATIENT_AFTER ? LOCK_TIMEOUT_MS : PATIENT_LOCK_TIMEOUT_MS,
      assertUnchanged: ({ parts }) => assertUnchanged(context, parts),
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

/** Some files of a batch were written to after they were read: the others are to be loaded without them. */
export class FilesChanged extends Error {
  constructor(readonly names: ReadonlySet<string>) {
    super(`changed while they were loaded: ${[...names].map(printableLine).join(', ')}`);
  }
}

/**
 * Against the contract of processing/, a file may still be written to. Found before the commit, nothing of it is loaded;
 * found only afterwards, all of its rows would come again as duplicates with each of its states.
 * @throws FilesChanged
 */
export function assertUnchanged(
  { inputDir }: LoaderContext,
  parts: readonly Pick<BatchPart, 'name' | 'fileStamp'>[],
): void {
  if (inputDir === undefined) return;
  const changed = parts.filter(({ name, fileStamp }) => wasWrittenTo(path.join(inputDir, name), fileStamp));
  if (changed.length > 0) throw new FilesChanged(new Set(changed.map(({ name }) => name)));
}

/** Waits without a transaction open, so that there is nothing to give way with. Each round is one of the first in line, which counts its own. */
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
  const ours = result.known.filter(({ file: { lastBatch } }) => lastBatch !== null && attempted.has(lastBatch.batchId));
  const [first] = ours;
  if (result.committed !== undefined || first === undefined) return result;
  const batchId = first.file.lastBatch?.batchId;
  assert(batchId !== undefined, 'it was found by its batch');
  const token = attempted.get(batchId);
  assert(token !== undefined, 'it is one of the attempts');
  const parts = ours.map(({ part, file }) => ({ part, fileId: file.fileId, counts: file.rows, skipped: 0 }));
  return {
    committed: {
      batchId,
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
