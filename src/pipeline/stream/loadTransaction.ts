import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Connection } from '../../platform/db/client.js';
import { TransientError } from '../../platform/db/sqlState.js';
import { failpoint } from '../../platform/failpoint.js';
import type { BoundFeed } from '../../contract/feeds/bindFeed.js';
import { addCounts, NO_ROWS, type BatchPart, type RowCounts } from './batch.js';
import {
  explainLedgerError,
  writeLedger,
  type BatchEntry,
  type CommittedPart,
  type CommittedTotals,
  type LoadEngine,
  type LoadPath,
} from './ledger.js';
import { ledgerOfEntered } from './ledgerTexts.js';
import { stopRejectedFiles, type RejectLimits } from './rejectLimit.js';
import type { TargetTable } from './targetTable.js';
import { decodeRows, queryAll, text } from '../../platform/db/decodeRows.js';
import { soleRow } from '../../platform/db/soleRow.js';

/** A batch that is in the table now. */
export interface CommittedBatch {
  readonly batchId: number;
  /** With the id, what tells it from a batch of a database that was restored. */
  readonly token: string;
  readonly loadPath: LoadPath;
  readonly parts: readonly CommittedPart[];
  readonly counts: RowCounts;
  /** Records that a feed left out. */
  readonly skipped: number;
  readonly durationMs: number;
  /** It, and all before it, are on disk. */
  readonly isDurable: boolean;
}

/** What a load put into the table, in its open transaction: what the ledger is going to say. */
export interface PutRows {
  readonly loadPath: LoadPath;
  readonly columns: readonly string[];
  /** By which the columns were made of the files' fields. */
  readonly feed: BoundFeed | undefined;
  /** None: a replay, whose rows are those of rejects and not of a file. */
  readonly parts: readonly CommittedPart[];
  readonly counts: RowCounts;
  /** Records that a feed left out. */
  readonly skipped: number;
  readonly bytes: number;
  /** Files that were entered as loaded (see registerFiles) in this transaction: there is nothing to advance. */
  readonly enteredLoaded: ReadonlySet<number>;
}

/** One way to load. All of them are this transaction; they differ in how rows are put in. */
export interface Load {
  readonly target: TargetTable;
  readonly engine: LoadEngine;
  readonly isDurable: boolean;
  /** How long it waits for a row lock, in milliseconds; 0 for as long as it takes. */
  readonly lockTimeoutMs: number;
  readonly limits: RejectLimits;
  /**
   * Called with the batch id before COMMIT is sent. An unknown outcome is settled by it, and only COMMIT has one: whatever
   * breaks off before is rolled back.
   */
  readonly onAttempt: (batchId: number, token: string) => void;
  /**
   * Sends the statements that begin the transaction, the last of which answers with the batch id, together with others.
   * Default: they are sent alone.
   */
  readonly openWith?: (begin: string) => Promise<number>;
  /** Waits for the batches before this one, whose ledger entries come first. */
  readonly waitForTurn?: () => Promise<void>;
  /** Enters the files that the ledger does not have, and puts the rows in. Undefined: nothing is left to load. */
  readonly putRows: (batchId: number) => Promise<PutRows | undefined>;
  /** What else must commit with the rows. */
  readonly beforeCommit?: (batchId: number) => Promise<void> | void;
}

/**
 * The one skeleton of every load: begin, enter files and put rows in, ledger, limits, commit; or nothing of it.
 * @returns undefined when nothing was left to load.
 * @throws CompareAndSetLost when another process committed one of the ranges; anything else that the database throws.
 */
export async function runLoad(connection: Connection, load: Load): Promise<CommittedBatch | undefined> {
  const startedAt = performance.now();
  const token = randomUUID();
  try {
    const batchId = await beginBatch(connection, load);
    load.onAttempt(batchId, token);
    failpoint('batch-begun');
    const put = await load.putRows(batchId);
    if (put === undefined) {
      await connection.client.query('rollback');
      return undefined;
    }
    failpoint('copied');
    await load.waitForTurn?.();
    const entry = { batchId, token, engine: load.engine, target: load.target.name, ...put };
    const ledger = ledgerOfEntered(entry);
    if (ledger === undefined) await advanceFiles(connection, load, entry);
    await load.beforeCommit?.(batchId);
    await commit(connection, ledger);
    return {
      batchId,
      token,
      loadPath: put.loadPath,
      parts: put.parts,
      counts: put.counts,
      skipped: put.skipped,
      durationMs: performance.now() - startedAt,
      isDurable: load.isDurable,
    };
  } catch (error) {
    await connection.client.query('rollback').catch(() => undefined);
    throw explainLedgerError(error);
  }
}

/** Writes the ledger where files advance, and stops those that have too many rejects. */
async function advanceFiles(connection: Connection, { limits }: Load, entry: BatchEntry): Promise<void> {
  const totals = await writeLedger(connection, entry);
  for (const total of totals) limits.assertAllowed(partOf(entry.parts, total), total);
  await stopRejectedFiles(connection, limits, entry.parts, totals);
}

function partOf(parts: readonly CommittedPart[], { fileId }: CommittedTotals): BatchPart {
  const found = parts.find((part) => part.fileId === fileId);
  assert(found !== undefined, 'the ledger advances only files of the batch');
  return found.part;
}

/** The sum of the parts' counts and bytes. */
export function sumOfParts(parts: readonly CommittedPart[]): Pick<PutRows, 'counts' | 'skipped' | 'bytes'> {
  return {
    counts: parts.map(({ counts }) => counts).reduce(addCounts, NO_ROWS),
    skipped: parts.reduce((sum, part) => sum + part.skipped, 0),
    bytes: parts.reduce((sum, { part }) => sum + part.endOffset - part.startOffset, 0),
  };
}

/**
 * Begins a batch's transaction and gives it its id. Every row is judged when it is inserted: a constraint that waited for
 * the commit could not tell which row broke it.
 */
async function beginBatch(
  { client }: Connection,
  { target: { deferrable }, lockTimeoutMs, isDurable, openWith }: Load,
): Promise<number> {
  const begin = `
    begin;
    set local lock_timeout = ${lockTimeoutMs};
    ${isDurable ? '' : 'set local synchronous_commit = off;'}
    ${deferrable.length === 0 ? '' : `set constraints ${deferrable.join(', ')} immediate;`}
    select set_config('ecompipe.batch_id', nextval('ecompipe.batches_batch_id_seq')::text, true) as id`;
  if (openWith !== undefined) return await openWith(begin);
  const results = await queryAll(client, begin);
  return batchIdOf(results.at(-1)?.rows ?? []);
}

/** The id in the answer to the last of the statements that begin a batch. */
export function batchIdOf(answer: readonly Record<string, unknown>[]): number {
  return Number(soleRow(decodeRows({ id: text }, answer)).id);
}

/**
 * Commits a batch. Whatever it throws, the outcome may be unknown: the server may have committed, and only its reply be lost.
 * @param ledger sent with it, where it is not written yet; if it fails, nothing is committed.
 */
async function commit({ client }: Connection, ledger = ''): Promise<void> {
  failpoint('ledger-written');
  const reply = queryAll(client, `${ledger}commit`);
  failpoint('commit-sent');
  const command = (await reply).at(-1)?.command;
  // A transaction that failed before is rolled back by COMMIT without an error.
  if (command !== 'COMMIT') throw new TransientError(`the server answered COMMIT with ${command}`);
  failpoint('committed');
}
