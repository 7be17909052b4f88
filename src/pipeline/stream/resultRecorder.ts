import assert from 'node:assert/strict';
import type { UnreadableFile } from '../../contract/csv/header.js';
import { EcompipeError, EXIT, firstReasons } from '../../platform/errors.js';
import { failpoint } from '../../platform/failpoint.js';
import { addCounts, NO_ROWS } from './batch.js';
import type { CheckpointWriter } from './checkpoint.js';
import type { ConnectionPool } from './connectionPool.js';
import { writtenAtMs, type Content } from './content.js';
import type { StreamEvent, StreamResult } from './streamEvents.js';
import type { FileDisposal, ReadFile } from './fileDisposer.js';
import { hasFile, noteQuarantine, noteRedelivery, type LedgerFile } from './ledger.js';
import type { CommittedBatch } from './loadTransaction.js';
import { ledgerNotKept } from './notAccepted.js';
import { storedStamp } from './storedStamp.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

/** Some files could not be loaded or disposed of (exit 74, unless all of them call for the same other one, such as 77); each is where it was. */
export class FilesNotLoadedError extends EcompipeError {
  override readonly name = 'FilesNotLoadedError';
  constructor(failures: readonly { readonly error: EcompipeError }[], result: StreamResult) {
    const [first] = failures;
    const isShared = failures.every(({ error }) => error.exitCode === first?.error.exitCode);
    super(isShared && first !== undefined ? first.error.exitCode : EXIT.io, {
      what: `${countOf(failures.length, 'file')} could not be loaded or disposed of`,
      why: firstReasons(failures),
      outcome: `${failures.length === 1 ? 'it was left in place' : 'they were left in place'}; ${countOf(result.filesLoaded, 'other was', 'others were')} loaded`,
      cause: first?.error,
    });
  }
}

/**
 * So long a commit may be past when its file is disposed of without another look at the ledger. `undo` takes files out that
 * still wait to be disposed of, and looks where they are some time after; a stream that was stopped in between (SIGSTOP, a
 * suspended machine) would put a file away as loaded that is in no table any more.
 */
export const PUT_AWAY_WITHIN_MS = 250;

/** The result of a stream that was stopped before it began. */
export const NOTHING_LOADED: StreamResult = {
  filesLoaded: 0,
  filesRedelivered: 0,
  filesQuarantined: 0,
  batches: 0,
  rows: NO_ROWS,
};

/** What happens after a commit, in this order: checkpoint, the news, the file out of the way. */
export class ResultRecorder {
  private totals: StreamResult = NOTHING_LOADED;

  /** Commits of files that are loaded to their end and still to be disposed of. */
  private readonly ends = new Map<string, { readonly fileId: number; readonly atMs: number }>();

  constructor(
    private readonly pool: ConnectionPool,
    private readonly disposer: FileDisposal,
    private readonly checkpoint: CheckpointWriter,
    private readonly emit: (event: StreamEvent) => void,
  ) {}

  get result(): StreamResult {
    return this.totals;
  }

  isKept(name: string): boolean {
    return this.disposer.isKept(name);
  }

  /** Whether {@link forgetAllBut} would make a difference. */
  isRemembered(name: string): boolean {
    return this.ends.has(name) || this.disposer.isRemembered(name);
  }

  /** Told which of them are there now, so that nothing is remembered of the others. */
  forgetAllBut(present: ReadonlySet<string>): void {
    this.disposer.forgetAllBut(present);
    for (const name of this.ends.keys()) if (!present.has(name)) this.ends.delete(name);
  }

  batchCommitted({ batchId, token, loadPath, parts, counts, skipped, durationMs, isDurable }: CommittedBatch): void {
    const { recordsSkipped = 0 } = this.totals;
    this.totals = {
      ...this.totals,
      batches: this.totals.batches + 1,
      rows: addCounts(this.totals.rows, counts),
      ...(recordsSkipped + skipped > 0 ? { recordsSkipped: recordsSkipped + skipped } : {}),
    };
    // The checkpoint must never be ahead: a commit that a crash of the server could still take back is not in it.
    if (isDurable)
      this.checkpoint.committed(
        { batchId, token },
        parts.map(({ part }) => part),
      );
    assert(loadPath !== 'replay', 'a stream loads files');
    const bytes = parts.reduce((sum, { part }) => sum + part.endOffset - part.startOffset, 0);
    const rowsByFile = parts.map(({ part, counts: rows }) => ({ file: part.name, rows }));
    const batch = { batchId, loadPath, files: parts.length, bytes, rows: counts, rowsByFile, durationMs };
    this.emit({ type: 'batchCommitted', ...batch });
    const atMs = performance.now();
    for (const {
      part,
      fileId,
      counts: { rejected },
    } of parts) {
      if (part.isLast) this.ends.set(part.name, { fileId, atMs });
      if (rejected > 0) this.emit({ type: 'rowsRejected', file: part.name, batchId, rejected });
    }
  }

  /** @returns as those below: whether the file is out of the way; else another one has its name now. */
  async fileLoaded(file: ReadFile, bytes: number): Promise<boolean> {
    this.totals = { ...this.totals, filesLoaded: this.totals.filesLoaded + 1 };
    this.emit({ type: 'fileLoaded', file: file.name, bytes, writtenAtMs: writtenAtMs(file.fileStamp) });
    const end = this.ends.get(file.name);
    this.ends.delete(file.name);
    return await this.dispose(file, end);
  }

  /** A file whose content was loaded before we came. One that another process has only begun stays where it is. */
  async fileKnown(file: ReadFile, entry: LedgerFile): Promise<boolean> {
    if (entry.state === 'quarantined') return await this.fileStopped(file, entry);
    if (entry.state !== 'loaded') return false;
    const atMs = performance.now();
    // The very file it was loaded from was only not disposed of: whoever loaded it was killed, or could not.
    if (entry.storedStamp !== storedStamp(file.fileStamp)) {
      const isKnown = await this.pool.use(
        'urgent',
        `cannot note that ${printableLine(file.name)} came again`,
        async (connection) => {
          if (await noteRedelivery(connection, entry.fileId, file.name)) return true;
          if (await hasFile(connection, entry.fileId)) throw await ledgerNotKept(connection, file.name);
          return false;
        },
      );
      // Taken out of the ledger since we looked: the next listing finds a file that is to be loaded.
      if (!isKnown) return false;
      this.totals = { ...this.totals, filesRedelivered: this.totals.filesRedelivered + 1 };
      this.emit({ type: 'fileRedelivered', file: file.name, firstName: entry.name });
    } else if (entry.lastBatch !== null) {
      // Once it is disposed of, only the checkpoint would know that it was ever loaded.
      this.checkpoint.known(entry.lastBatch);
    }
    return await this.dispose(file, { fileId: entry.fileId, atMs });
  }

  /** @param seen when the ledger was known to have the file; undefined where other processes have loaded its end. */
  private async dispose(
    file: ReadFile,
    seen: { readonly fileId: number; readonly atMs: number } | undefined,
  ): Promise<boolean> {
    failpoint('before-archive');
    if (seen !== undefined && performance.now() - seen.atMs > PUT_AWAY_WITHIN_MS) {
      const isStill = await this.pool.use('urgent', `cannot dispose of ${file.name}`, (connection) =>
        hasFile(connection, seen.fileId),
      );
      // Taken out since: it is listed again, and loaded.
      if (!isStill) return false;
    }
    const isOut = await this.disposer.loaded(file);
    failpoint('after-archive');
    return isOut;
  }

  /** A file of which the ledger says that the rest is not worth loading. */
  async fileStopped(file: ReadFile, { reason }: Pick<LedgerFile, 'reason'>): Promise<boolean> {
    assert(reason !== null, 'a quarantined file has its reason');
    return await this.quarantine(file, reason);
  }

  async fileUnreadable(
    file: ReadFile,
    content: Pick<Content, 'sha256' | 'size'>,
    { message }: UnreadableFile,
  ): Promise<boolean> {
    const identity = { ...file, sha256: content.sha256, size: content.size };
    await this.pool.use('urgent', `cannot note ${printableLine(file.name)}`, (connection) =>
      noteQuarantine(connection, identity, message),
    );
    return await this.quarantine(file, message);
  }

  /** Reported and counted once the file is there. */
  private async quarantine(file: ReadFile, reason: string): Promise<boolean> {
    const isOut = await this.disposer.quarantined(file, reason);
    if (!isOut) return false;
    this.totals = { ...this.totals, filesQuarantined: this.totals.filesQuarantined + 1 };
    this.emit({ type: 'fileQuarantined', file: file.name, reason });
    return true;
  }
}
