import type { Connection } from '../../platform/db/client.js';
import { withUserPath } from '../../platform/db/sessionSettings.js';
import { isRefusal, sqlStateOf } from '../../platform/db/sqlState.js';
import { NO_ROWS, type Batch, type BatchPart, type PartResult } from './batch.js';
import { copyDirect } from './copyDirect.js';
import type { DirectPathBreaker } from './directPathBreaker.js';
import { CompareAndSetLost, readLedger, registerFiles, type LedgerFile } from './ledger.js';
import { FilesKnown, isUsual, mayOpenWithRows, openWithRows, type OpenedWithRows } from './openWithRows.js';
import { runLoad, sumOfParts, type CommittedBatch, type Load } from './loadTransaction.js';
import { insertAll, mayInsertAll, MiscountedRows } from './feeds/insertAll.js';
import { loadStaged } from './staged/loadStaged.js';
import { haveOnlyIsoDates, temporalFields } from './isoDates.js';
import type { Target, TargetTable } from './targetTable.js';
import { fileColumns, unnamedFields } from '../../contract/csv/header.js';
import { printableLine } from '../../platform/printable.js';
import { elementAt } from '../../platform/elementAt.js';
import { countOf } from '../../platform/format.js';

export interface LoadContext extends Pick<Load, 'lockTimeoutMs' | 'limits' | 'onAttempt'> {
  readonly target: Target;
  readonly breaker: DirectPathBreaker;
  /** Called last before the commit: throws when one of the files was written to since it was read. */
  readonly assertUnchanged: (batch: Batch) => void;
  /** Called before the ledger is written; waits for the batches before this one. */
  readonly waitForTurn: () => Promise<void>;
}

export interface LoadResult {
  /** Undefined when no part was left to load. */
  readonly committed: CommittedBatch | undefined;
  /** Parts whose content the ledger knew already; nothing was loaded for them. */
  readonly known: readonly { readonly part: BatchPart; readonly file: LedgerFile }[];
}

/** The direct path can't take this batch; its transaction is rolled back and the staged path goes on. */
export class DirectPathFailed extends Error {}

/**
 * `opening`: COPY in the message that begins the transaction. `atOnce`: rows of a feed are staged like all others, and then
 * inserted by one statement, without verdicts.
 */
type Way = 'opening' | 'direct' | 'atOnce' | 'staged';

/**
 * Loads one batch in one transaction. A way that takes all rows or none comes first; where the server refuses the data, or
 * counts other rows than we did, the transaction rolls back, and each row gets a verdict of its own.
 * @throws CompareAndSetLost when another process committed one of the ranges; anything else that the database throws.
 */
export async function loadBatch(connection: Connection, batch: Batch, context: LoadContext): Promise<LoadResult> {
  for (const way of unjudgedWays(batch, context)) {
    try {
      const result = await loadBy(way, connection, batch, context);
      context.breaker.directSucceeded();
      return result;
    } catch (error) {
      if (error instanceof FilesKnown) continue;
      if (!(error instanceof DirectPathFailed)) throw error;
      context.breaker.directFailed();
      break;
    }
  }
  await context.target.refresh(connection);
  return await loadBy('staged', connection, batch, context);
}

/** Ways to load without verdicts, the fastest first; each is followed by the next one only where the ledger knows some of the files. */
function unjudgedWays(batch: Batch, context: LoadContext): Way[] {
  if (mayGoDirect(batch, context))
    return mayOpenWithRows(batch, context.target.table) ? ['opening', 'direct'] : ['direct'];
  if (batch.feed === undefined || batch.feed.direct !== undefined || !mayInsertAll(batch)) return [];
  const { table } = context.target;
  const isTrusted = batch.parts.every((part) => part.plain) && table.takesCopy;
  return isTrusted && !context.breaker.skipDirect() ? ['atOnce'] : [];
}

/** Whether COPY can be trusted with a batch, and is worth a try. */
export function mayGoDirect(batch: Batch, { target, breaker }: Pick<LoadContext, 'target' | 'breaker'>): boolean {
  if (batch.feed !== undefined && batch.feed.direct === undefined) return false;
  // COPY takes no field that goes nowhere.
  if (unnamedFields(batch) > 0) return false;
  if (!batch.parts.every((part) => part.plain) || !target.table.takesCopy || breaker.skipDirect()) return false;
  const temporal = temporalFields(batch.columns, target.table);
  return batch.parts.every(({ body }) => haveOnlyIsoDates(body, temporal, batch.dialect));
}

async function loadBy(way: Way, connection: Connection, batch: Batch, context: LoadContext): Promise<LoadResult> {
  const loadPath = way === 'opening' || way === 'direct' ? 'direct' : 'staged';
  let known: LoadResult['known'] = [];
  const { table: target } = context.target;
  let opened: OpenedWithRows | undefined;
  const openWith: Load['openWith'] = async (begin) => {
    opened = await directly(openWithRows(connection, batch, target.name, begin));
    return opened.batchId;
  };
  const committed = await runLoad(connection, {
    ...context,
    target,
    ...(way === 'opening' ? { openWith } : {}),
    engine: 'native',
    isDurable: batch.isDurable,
    beforeCommit: () => context.assertUnchanged(batch),
    putRows: async (batchId) => {
      const resolved = await resolveFiles(connection, batch, loadPath === 'direct' ? batchId : undefined, opened);
      ({ known } = resolved);
      if (resolved.parts.length === 0) return undefined;
      const remaining = { ...batch, parts: resolved.parts };
      const results =
        way !== 'staged'
          ? await loadUnjudged(connection, remaining, target, way, opened?.copied)
          : await loadStaged(connection, remaining, { ...context, target, fileIds: resolved.fileIds, batchId });
      const parts = resolved.parts.map((part, index) => ({
        part,
        fileId: elementAt(resolved.fileIds, index),
        ...elementAt(results, index),
      }));
      const { enteredLoaded } = resolved;
      return { loadPath, columns: fileColumns(batch), feed: batch.feed, parts, enteredLoaded, ...sumOfParts(parts) };
    },
  });
  return { committed, known };
}

/** What a batch has left to load, and with which entries of the ledger. */
interface Resolved extends Pick<LoadResult, 'known'> {
  readonly parts: readonly BatchPart[];
  readonly fileIds: readonly number[];
  readonly enteredLoaded: ReadonlySet<number>;
}

/**
 * Enters whole files into the ledger, in this transaction, and sets those aside that it knows already. On the direct path
 * they are entered as they will be: COPY takes all of their rows, or all of this is rolled back.
 * @param directBatchId undefined: on another path.
 * @param opened what was entered when the transaction began.
 */
async function resolveFiles(
  connection: Connection,
  batch: Batch,
  directBatchId: number | undefined,
  opened: OpenedWithRows | undefined,
): Promise<Resolved> {
  const keyed = batch.parts.map((part) => ({ part, key: part.sha256.toString('hex') }));
  const registered = new Map(opened?.entered);
  const isUnknown = ({ part, key }: (typeof keyed)[number]): boolean =>
    part.fileId === undefined && !registered.has(key);
  // A feed's range also says how many records it was made of.
  const usualBatchId = batch.feed === undefined ? directBatchId : undefined;
  const entries = keyed.filter(isUnknown).map(({ part }) => ({
    sha256: part.sha256,
    name: part.name,
    fileStamp: part.fileStamp,
    size: part.fileSize,
    usual: usualBatchId !== undefined && isUsual(part) ? { batchId: usualBatchId, rows: part.rows } : undefined,
  }));
  if (entries.length > 0)
    for (const [key, fileId] of await registerFiles(connection, entries)) registered.set(key, fileId);
  const rest = keyed.filter(isUnknown);
  const ledger =
    rest.length === 0
      ? new Map<string, LedgerFile>()
      : await readLedger(
          connection,
          rest.map(({ part }) => part.sha256),
        );
  const parts: BatchPart[] = [];
  const fileIds: number[] = [];
  const known: { part: BatchPart; file: LedgerFile }[] = [];
  const enteredLoaded = new Set<number>();
  for (const { part, key } of keyed) {
    const file = ledger.get(key);
    const entered = registered.get(key);
    const fileId =
      part.fileId ??
      entered ??
      (file?.state === 'loading' && file.committedOffset === part.startOffset ? file.fileId : undefined);
    if (fileId !== undefined) {
      parts.push(part);
      fileIds.push(fileId);
      if (entered !== undefined && usualBatchId !== undefined && isUsual(part)) enteredLoaded.add(entered);
    } else if (file !== undefined) known.push({ part, file });
    else throw new CompareAndSetLost(`the ledger entry of ${printableLine(part.name)} went away`);
  }
  return { parts, fileIds, enteredLoaded, known };
}

/**
 * Loads all rows or none. @throws DirectPathFailed when the server refused any, for whatever reason that is not its own.
 * @param copied rows that COPY took already, of all parts.
 */
export async function loadUnjudged(
  connection: Connection,
  batch: Batch,
  table: TargetTable,
  way: Exclude<Way, 'staged'>,
  copied?: number,
): Promise<PartResult[]> {
  return await directly(
    way === 'atOnce' ? insertAll(connection, batch, table) : copyRows(connection, batch, table, copied),
  );
}

/** Waits for what the direct path does. @throws DirectPathFailed where the staged path may get through. */
async function directly<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isRefusal(error)) throw new DirectPathFailed('the server refused the data', { cause: error });
    if (error instanceof MiscountedRows) throw new DirectPathFailed(error.message, { cause: error });
    throw error;
  }
}

async function copyRows(
  connection: Connection,
  batch: Batch,
  { name, runsUserCode }: TargetTable,
  copiedBefore: number | undefined,
): Promise<PartResult[]> {
  const hasRows = batch.parts.some((part) => part.body.length > 0);
  const copy = (): Promise<number> => copyDirect(connection, batch, name);
  const copied = copiedBefore ?? (!hasRows ? 0 : await (runsUserCode ? withUserPath(connection, copy) : copy()));
  const counted = batch.parts.reduce((sum, part) => sum + part.rows, 0);
  if (copied !== counted) throw new MiscountedRows(`COPY saw ${countOf(copied, 'row')}, we counted ${counted}`);
  return batch.parts.map((part) => ({ counts: { ...NO_ROWS, read: part.rows, inserted: part.rows }, skipped: 0 }));
}

/** The batch met another transaction, or its own file's next range: worth doing again at once, and no fault of anyone. */
export function isContention(error: unknown): boolean {
  return sqlStateOf(error) === '55P03' || sqlStateOf(error) === '40P01';
}
