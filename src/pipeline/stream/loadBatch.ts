import type { Connection } from '../../platform/db/client.js';
import { classifyError, TransientError } from '../../platform/db/sqlState.js';
import { failpoint } from '../../platform/failpoint.js';
import { addCounts, NO_ROWS, type Batch, type BatchPart, type RowCounts } from './batch.js';
import { copyFast } from './copyFast.js';
import {
  CompareAndSetLost,
  explainLedgerError,
  readLedger,
  registerFiles,
  writeLedger,
  type CommittedPart,
  type CommittedTotals,
  type LedgerFile,
} from './ledger.js';
import type { FastPathBreaker } from './fastPathBreaker.js';
import { isRace, loadSlow } from './slow/loadSlow.js';
import type { EventRules } from './slow/rules.js';

export interface LoadContext {
  readonly rules: EventRules;
  readonly breaker: FastPathBreaker;
  /** How long it waits for a row lock, in milliseconds; 0 for as long as it takes. */
  readonly lockTimeoutMs: number;
  /** Called before the ledger is written; waits for the batches before this one. */
  readonly waitForTurn: () => Promise<void>;
  /** Called with a file's totals before the commit; throws when there are too many rejects. */
  readonly assertLimit: (part: BatchPart, totals: CommittedTotals) => void;
  /** Called with each batch id before anything is sent under it: an unknown commit outcome is settled by it. */
  readonly onAttempt: (batchId: number) => void;
}

/** A batch that is in the table now. */
export interface CommittedBatch {
  readonly batchId: number;
  readonly loadPath: 'fast' | 'slow';
  readonly parts: readonly CommittedPart[];
  readonly counts: RowCounts;
  readonly durationMs: number;
  /** It, and all before it, are on disk. */
  readonly isDurable: boolean;
}

export interface LoadResult {
  /** Undefined when no part was left to load. */
  readonly committed: CommittedBatch | undefined;
  /** Parts whose content the ledger knew already; nothing was loaded for them. */
  readonly known: readonly { readonly part: BatchPart; readonly file: LedgerFile }[];
}

/** The fast path can't take this batch; its transaction is rolled back and the slow path goes on. */
export class FastPathFailed extends Error {}

/**
 * Loads one batch in one transaction: enter the files, COPY, ledger, commit. The fast path comes first; where COPY
 * refuses the data, or counts other rows than we did, the transaction rolls back and the slow path does it again.
 * @throws CompareAndSetLost when another process committed one of the ranges; anything else that the database throws.
 */
export async function loadBatch(connection: Connection, batch: Batch, context: LoadContext): Promise<LoadResult> {
  const plain = batch.parts.every((part) => part.plain);
  if (plain && !context.breaker.skipFast()) {
    try {
      const result = await loadInTransaction(connection, batch, context, 'fast');
      context.breaker.fastSucceeded();
      return result;
    } catch (error) {
      if (!(error instanceof FastPathFailed)) throw error;
      context.breaker.fastFailed();
    }
  }
  return await loadInTransaction(connection, batch, context, 'slow');
}

async function loadInTransaction(
  connection: Connection,
  batch: Batch,
  context: LoadContext,
  loadPath: 'fast' | 'slow',
): Promise<LoadResult> {
  const startedAt = new Date();
  try {
    const batchId = await beginBatch(connection, { ...context, isDurable: batch.isDurable });
    context.onAttempt(batchId);
    failpoint('batch-begun');
    const { parts, fileIds, enteredLoaded, known } = await resolveFiles(connection, batch, loadPath);
    if (parts.length === 0) {
      await connection.client.query('rollback');
      return { committed: undefined, known };
    }
    const remaining = { ...batch, parts };
    const counts =
      loadPath === 'fast'
        ? await loadFast(connection, remaining)
        : await loadSlow(connection, remaining, { ...context, fileIds, batchId });
    failpoint('copied');
    await context.waitForTurn();
    const entries = parts.map((part, index) => ({
      part,
      fileId: fileIds[index] ?? 0,
      counts: counts[index] ?? NO_ROWS,
    }));
    const totals = await writeLedger(connection, {
      batchId,
      loadPath,
      startedAt,
      columns: batch.columns,
      parts: entries,
      enteredLoaded,
    });
    for (const total of totals) {
      const entry = entries.find(({ fileId }) => total.rejected > 0 && fileId === total.fileId);
      if (entry !== undefined) context.assertLimit(entry.part, total);
    }
    await commit(connection);
    return {
      committed: {
        batchId,
        loadPath,
        parts: entries,
        counts: counts.reduce(addCounts, NO_ROWS),
        durationMs: Date.now() - startedAt.getTime(),
        isDurable: batch.isDurable,
      },
      known,
    };
  } catch (error) {
    await connection.client.query('rollback').catch(() => undefined);
    throw explainLedgerError(error);
  }
}

/** Commits a batch. Whatever it throws, the outcome may be unknown: the server may have committed, and only its reply be lost. */
export async function commit({ client }: Connection): Promise<void> {
  failpoint('ledger-written');
  const reply = client.query('commit');
  failpoint('commit-sent');
  const { command } = await reply;
  // A transaction that failed before is rolled back by COMMIT without an error.
  if (command !== 'COMMIT') throw new TransientError(`the server answered COMMIT with ${command}`);
  failpoint('committed');
}

/** How a batch's transaction begins. */
export interface BatchOptions extends Pick<LoadContext, 'rules' | 'lockTimeoutMs'> {
  readonly isDurable: boolean;
}

/**
 * Begins a batch's transaction and gives it its id. Every row is judged when it is inserted: a constraint that waited for
 * the commit could not tell which row broke it.
 */
export async function beginBatch(
  { client }: Connection,
  { rules: { deferrable }, lockTimeoutMs, isDurable }: BatchOptions,
): Promise<number> {
  const results = (await client.query(`
    begin;
    set local lock_timeout = ${lockTimeoutMs};
    ${isDurable ? '' : 'set local synchronous_commit = off;'}
    ${deferrable.length === 0 ? '' : `set constraints ${deferrable.join(', ')} immediate;`}
    select set_config('ecompipe.batch_id', nextval('ecompipe.batches_batch_id_seq')::text, true) as id`)) as unknown as {
    rows: { id: string }[];
  }[];
  return Number(results.at(-1)?.rows[0]?.id);
}

/** What a batch has left to load, and with which entries of the ledger. */
interface Resolved extends Pick<LoadResult, 'known'> {
  readonly parts: readonly BatchPart[];
  readonly fileIds: readonly number[];
  readonly enteredLoaded: ReadonlySet<number>;
}

/**
 * Enters whole files into the ledger, in this transaction, and sets those aside that it knows already. On the fast path
 * they are entered as they will be: COPY takes all of their rows, or all of this is rolled back.
 */
async function resolveFiles(connection: Connection, batch: Batch, loadPath: 'fast' | 'slow'): Promise<Resolved> {
  const unregistered = batch.parts.filter((part) => part.fileId === undefined);
  const entries = unregistered.map(({ sha256, name, fileStamp, fileSize, endOffset, lines, rows }) => ({
    sha256,
    name,
    fileStamp,
    size: fileSize,
    loaded: loadPath === 'fast' ? { endOffset, lines, rows } : undefined,
  }));
  const registered = entries.length === 0 ? new Map<string, number>() : await registerFiles(connection, entries);
  const rest = unregistered.filter((part) => !registered.has(part.sha256.toString('hex')));
  const ledger =
    rest.length === 0
      ? new Map<string, LedgerFile>()
      : await readLedger(
          connection,
          rest.map((part) => part.sha256),
        );
  const parts: BatchPart[] = [];
  const fileIds: number[] = [];
  const known: { part: BatchPart; file: LedgerFile }[] = [];
  for (const part of batch.parts) {
    const key = part.sha256.toString('hex');
    const file = ledger.get(key);
    const fileId =
      part.fileId ??
      registered.get(key) ??
      (file?.state === 'loading' && file.committedOffset === part.startOffset ? file.fileId : undefined);
    if (fileId !== undefined) {
      parts.push(part);
      fileIds.push(fileId);
    } else if (file !== undefined) known.push({ part, file });
    else throw new CompareAndSetLost(`the ledger entry of ${part.name} went away`);
  }
  return { parts, fileIds, enteredLoaded: new Set(loadPath === 'fast' ? registered.values() : []), known };
}

export async function loadFast(connection: Connection, batch: Batch): Promise<RowCounts[]> {
  try {
    const hasRows = batch.parts.some((part) => part.body.length > 0);
    const copied = hasRows ? await copyFast(connection, batch) : 0;
    const counted = batch.parts.reduce((sum, part) => sum + part.rows, 0);
    if (copied !== counted) throw new FastPathFailed(`COPY saw ${copied} rows, we counted ${counted}`);
    return batch.parts.map((part) => ({ ...NO_ROWS, read: part.rows, inserted: part.rows }));
  } catch (error) {
    if (classifyError(error) === 'row') throw new FastPathFailed('COPY refused the data', { cause: error });
    throw error;
  }
}

/** The batch met another transaction, or its own file's next range: worth doing again at once, and no fault of anyone. */
export function isContention(error: unknown): boolean {
  return (
    isRace(error) || (error as { code?: string }).code === '55P03' || (error as { code?: string }).code === '40P01'
  );
}
