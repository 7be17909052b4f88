import { withTransaction } from '../../platform/db/transaction.js';
import { shapeOf } from '../../contract/csv/header.js';
import { CommitOrder } from './commitOrder.js';
import { CompareAndSetLost, readLedger, registerFiles, type LedgerFile } from './ledger.js';
import type { CommittedBatch } from './loadTransaction.js';
import { loadAtomically, StoppedHalfway } from './atomicFile.js';
import { ledgerNotKept, pauseBeforeRepeat } from './notAccepted.js';
import { readRanges, type RangeSource, type ReadRange } from './ranges.js';
import { runBatch, type LoaderContext } from './runBatch.js';
import { printableLine } from '../../platform/printable.js';

/**
 * Of the ranges of a file, the last one and every so many before it wait until they are on disk; the others only until
 * they are committed (synchronous_commit = off). WAL is written in order, so each durable commit makes all before it
 * durable, and a file is disposed of only after its last one. Should the server crash in between, it loses rows together
 * with their ledger entries, and they are loaded again.
 */
const DURABLE_EVERY = 16;

export interface LargeFileSettings {
  readonly batchBytes: number;
  /** Ranges of one file that load at the same time. */
  readonly parallel: number;
  readonly atomicFile: boolean;
  readonly stop: AbortSignal;
  readonly onCommit: (batch: CommittedBatch) => void;
}

/** How a file that was opened ended up: all of it is in the ledger now, it was known or given up, or we were stopped. */
export type LargeFileOutcome =
  { readonly kind: 'loaded' | 'stopped' } | { readonly kind: 'known'; readonly file: LedgerFile };

/**
 * Loads a large file range by range: several connections COPY at the same time, commits come in order. Goes on where the
 * ledger says; if another process takes a range first, reads the ledger again and goes on behind it.
 */
export async function loadLargeFile(
  context: LoaderContext,
  source: Omit<RangeSource, 'fileId'>,
  settings: LargeFileSettings,
): Promise<LargeFileOutcome> {
  let lost: { readonly offset: number; readonly times: number } = { offset: -1, times: 0 };
  for (let isFirstLook = true; ; isFirstLook = false) {
    const file = await enterFile(context, source);
    if (file.state !== 'loading')
      return isFirstLook || file.state === 'quarantined' ? { kind: 'known', file } : { kind: 'loaded' };
    if (settings.stop.aborted) return { kind: 'stopped' };
    const full: RangeSource = { ...source, fileId: file.fileId };
    try {
      if (settings.atomicFile) settings.onCommit(await loadAtomically(context, full, file, settings));
      else await loadRanges(context, full, file, settings);
    } catch (error) {
      if (error instanceof StoppedHalfway) return { kind: 'stopped' };
      if (!(error instanceof CompareAndSetLost)) throw error;
      // Who else takes a range leaves the file further on than it was.
      lost = { offset: file.committedOffset, times: lost.offset === file.committedOffset ? lost.times + 1 : 0 };
      if (lost.times >= MAX_LOST) throw await explainLost(context, source.name, error);
      await pauseBeforeRepeat(lost.times);
    }
  }
}

/** So often a file may lose its ranges to another process that does not get on with it. */
const MAX_LOST = 5;

async function explainLost({ pool }: LoaderContext, name: string, lost: unknown): Promise<unknown> {
  return await pool.use('bulk', `cannot load ${printableLine(name)}`, (connection) =>
    ledgerNotKept(connection, name, lost),
  );
}

/** The file's ledger entry, made if need be. */
async function enterFile(
  context: LoaderContext,
  { name, fileStamp, content }: Omit<RangeSource, 'fileId'>,
): Promise<LedgerFile> {
  return await context.pool.use('bulk', `cannot enter ${printableLine(name)} into the ledger`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      const file = await withTransaction(connection, async () => {
        await registerFiles(connection, [
          { name, fileStamp, sha256: content.sha256, size: content.size, usual: undefined },
        ]);
        return (await readLedger(connection, [content.sha256])).get(content.sha256.toString('hex'));
      });
      if (file !== undefined) return file;
      // Taken out again between the two statements (`ecompipe undo`), or never kept.
      if (contentions >= MAX_LOST) throw await ledgerNotKept(connection, name);
      await pauseBeforeRepeat(contentions);
    }
  });
}

async function loadRanges(
  context: LoaderContext,
  source: RangeSource,
  file: LedgerFile,
  settings: LargeFileSettings,
): Promise<void> {
  const order = new CommitOrder();
  const running = new Set<Promise<void>>();
  const load = async ({ part, release }: ReadRange, index: number): Promise<void> => {
    try {
      const batch = {
        ...shapeOf(source.header),
        parts: [part],
        isDurable: part.isLast || index % DURABLE_EVERY === 0,
      };
      const { committed } = await runBatch(context, batch, 'bulk', { order, index });
      if (committed !== undefined) settings.onCommit(committed);
      order.committed();
    } catch (error) {
      order.fail(error);
    } finally {
      release();
    }
  };
  let index = 0;
  for await (const range of readRanges(
    source,
    { offset: file.committedOffset, lines: file.committedLines, records: file.committedRecords },
    settings.batchBytes,
    settings.parallel,
  )) {
    const task = load(range, index++).finally(() => running.delete(task));
    running.add(task);
    // One range more than load at once is read and counted ahead, so that no connection waits for bytes.
    if (running.size > settings.parallel) await Promise.race(running);
    if (settings.stop.aborted || order.failed) break;
  }
  await Promise.all(running);
  order.throwIfFailed();
}
