import assert from 'node:assert/strict';
import {
  parseHeader,
  unnamedFields,
  UnreadableFile,
  type ExpectedColumns,
  type Header,
} from '../../../contract/csv/header.js';
import { TransientError } from '../../../platform/db/sqlState.js';
import { withTransaction } from '../../../platform/db/transaction.js';
import type { Failures } from '../../../platform/files/failures.js';
import { EcompipeError, FileError } from '../../../platform/errors.js';
import { FileChanged, tooInflated, tooLong } from '../content.js';
import type { StreamEvent, StreamSettings } from '../streamEvents.js';
import type { ReadFile } from '../fileDisposer.js';
import { CompareAndSetLost, readLedger, registerFiles, type LedgerFile } from '../ledger.js';
import { hintOfShipped } from '../feeds/shippedFeeds.js';
import type { CommittedBatch } from '../loadTransaction.js';
import { ledgerNotKept, pauseBeforeRepeat } from '../notAccepted.js';
import type { ResultRecorder } from '../resultRecorder.js';
import { isUri } from '../../../platform/files/uri.js';
import { loadUnits, type UnitContext } from './loadUnits.js';
import type { Inspection, LeftFile, SparkFile } from './messages.js';
import { SourceGone } from './stage.js';
import { canResumeAt, planUnits, type InspectedFile, type Unit } from './units.js';
import { printableLine } from '../../../platform/printable.js';
import { countOf } from '../../../platform/format.js';

export interface MicroBatchSettings extends Pick<
  StreamSettings,
  'inputDir' | 'maxFileBytes' | 'maxRejected' | 'atomicFile'
> {
  /** Bytes of CSV that one transaction merges. */
  readonly stageBytes: number;
  /** Of a file with more bytes, one micro-batch loads so many. */
  readonly largeBytes: number;
}

/** Files in one transaction: beyond some hundreds the commit is no longer what costs. */
const MAX_FILES = 500;

/** So many rounds in a row may lose every file to another process. */
const MAX_LOST = 5;

/** When a file is looked at again that another process is loading at this moment, in milliseconds. */
const LOOK_AGAIN_MS = 1000;

/** Sees the files of a micro-batch to their end, as FileLoader does for the native engine. */
export class MicroBatch {
  private readonly leave: LeftFile[] = [];

  constructor(
    private readonly context: UnitContext,
    private readonly outcomes: ResultRecorder,
    private readonly failures: Failures,
    private readonly settings: MicroBatchSettings,
    private readonly emit: (event: StreamEvent) => void,
    private readonly isDraining: boolean,
  ) {}

  /** @returns the files that stay where they are. */
  async load(inspections: readonly Inspection[]): Promise<readonly LeftFile[]> {
    let pending: InspectedFile[] = [];
    for (const inspection of inspections) {
      const file = await this.admit(inspection);
      if (file !== undefined) pending.push(file);
    }
    for (let lost = 0; pending.length > 0 && !this.context.stop.aborted;) {
      const { batches } = this.outcomes.result;
      const rest = await this.loadOnce(pending);
      // Whoever else loads them gets on with it, too; then the ledger has fewer of them left, or we have committed some.
      lost = rest.length < pending.length || this.outcomes.result.batches > batches ? 0 : lost + 1;
      if (lost >= MAX_LOST) {
        await this.giveUp(rest);
        break;
      }
      await pauseBeforeRepeat(lost);
      pending = rest;
    }
    return this.leave;
  }

  /** A readable file, or undefined for one that has found its end here. */
  private async admit(inspection: Inspection): Promise<InspectedFile | undefined> {
    const { file } = inspection;
    const read: ReadFile = { name: file.name, fileStamp: file.fileStamp };
    const sha256 = Buffer.from(inspection.sha256, 'hex');
    try {
      if (!isReadable(inspection, this.settings.maxFileBytes)) {
        this.failures.forget(read.name);
        return undefined;
      }
      return { ...read, inspection, sha256, header: await this.readHeader(inspection) };
    } catch (error) {
      await this.settle(file, () => {
        if (error instanceof UnreadableFile)
          return this.outcomes.fileUnreadable(read, { sha256, size: inspection.size }, error);
        throw error;
      });
      return undefined;
    }
  }

  /** As FileLoader: a column may have come since the table was looked at, and a shipped feed may be for the file. */
  private async readHeader({ head, file }: Inspection): Promise<Header | undefined> {
    const { pool, target, feeds } = this.context.loader;
    const start = Buffer.from(head, 'base64');
    const { table } = target;
    const feed = feeds.find(file.name);
    if (feed !== undefined) return feeds.parseHeader(start, feed);
    try {
      return this.parseNamedHeader(file, start, table.header);
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      await pool.use('urgent', `cannot look at ${table.name} for ${file.name}`, (connection) =>
        target.refresh(connection),
      );
    }
    try {
      return this.parseNamedHeader(file, start, target.table.header);
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      throw new UnreadableFile(`${error.message}${await hintOfShipped(start)}`);
    }
  }

  private parseNamedHeader({ name }: SparkFile, start: Buffer, expected: ExpectedColumns): Header | undefined {
    const header = parseHeader(start, expected);
    const columns = header === undefined ? 0 : unnamedFields(header);
    if (columns > 0) this.emit({ type: 'columnsIgnored', file: name, columns });
    return header;
  }

  private async giveUp(files: readonly InspectedFile[]): Promise<void> {
    for (const { name, inspection } of files)
      await this.settle(inspection.file, () =>
        this.context.loader.pool.use('bulk', `cannot load ${name}`, async (connection) => {
          throw await ledgerNotKept(connection, name);
        }),
      );
  }

  /** One round: what the ledger does not have is loaded as far as nobody comes in between. @returns what is left. */
  private async loadOnce(pending: readonly InspectedFile[]): Promise<InspectedFile[]> {
    const ledger = await this.enter(pending);
    const rest = new Set<InspectedFile>();
    const toLoad = new Map<string, { file: InspectedFile; entry: LedgerFile }>();
    for (const file of pending) {
      const key = file.inspection.sha256;
      const entry = ledger.get(key);
      if (entry === undefined) await this.giveUp([file]);
      else if (entry.state !== 'loading')
        await this.settle(file.inspection.file, () => this.outcomes.fileKnown(file, entry));
      // The same content twice: the second is a redelivery when the first is loaded.
      else if (toLoad.has(key)) rest.add(file);
      else {
        const resumed = await this.resumable(file, entry);
        if (resumed !== undefined) toLoad.set(key, { file: resumed, entry });
      }
    }
    for (const { file } of toLoad.values()) rest.add(file);
    const { maxRejected, stageBytes, largeBytes, atomicFile } = this.settings;
    // A limit of rejects rolls back the file that exceeds it, and not its neighbours.
    const units = planUnits([...toLoad.values()], {
      bytes: stageBytes,
      files: maxRejected === undefined || maxRejected === 'none' ? MAX_FILES : 1,
      largeBytes,
      wholeFiles: atomicFile,
    });
    const committed = async (unit: Unit, batch: CommittedBatch): Promise<void> => {
      this.outcomes.batchCommitted(batch);
      const loaded = unit.parts.filter(({ part }) => part.isLast);
      for (const { file } of loaded) rest.delete(file);
      const putAway = loaded.map(
        ({ file, part }) =>
          () =>
            this.settle(file.inspection.file, () => this.outcomes.fileLoaded(file, part.fileSize)),
      );
      if (isUri(this.settings.inputDir)) await allAtOnce(putAway);
      else for (const each of putAway) await each();
    };
    try {
      await loadUnits(this.context, units, committed);
    } catch (error) {
      if (error instanceof SourceGone) {
        for (const index of error.parts) await this.dropFile(error.unit, index, rest, error.unseen.has(index));
      } else if (!(error instanceof CompareAndSetLost)) throw error;
      return [...rest];
    }
    this.leaveUnfinished(units, rest);
    return [...rest];
  }

  /** Large files of which this micro-batch has loaded its part. */
  private leaveUnfinished(units: readonly Unit[], rest: Set<InspectedFile>): void {
    const parts = units.flatMap((unit) => unit.parts);
    const finished = new Set(parts.filter(({ part }) => part.isLast).map(({ file }) => file));
    for (const { file } of parts)
      if (!finished.has(file) && rest.delete(file))
        this.leave.push({ ...file.inspection.file, forMs: 0, isUnfinished: true });
  }

  /** Taken by another process, or exchanged: if there is one of that name, the next look finds it. */
  private async dropFile(unit: Unit, index: number, rest: Set<InspectedFile>, isUnseen: boolean): Promise<void> {
    const file = unit.parts[index]?.file;
    if (file === undefined) return;
    rest.delete(file);
    if (isUnseen) await this.settle(file.inspection.file, () => Promise.reject(new UnseenFile(file.inspection.file)));
    else this.leave.push({ ...file.inspection.file, forMs: LOOK_AGAIN_MS });
  }

  private async enter(files: readonly InspectedFile[]): Promise<Map<string, LedgerFile>> {
    const firsts = new Map<string, InspectedFile>();
    for (const file of files) if (!firsts.has(file.inspection.sha256)) firsts.set(file.inspection.sha256, file);
    // In one order in all processes, so that two that enter the same files do not wait for each other.
    const sorted = [...firsts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
    const identities = sorted.map(({ name, fileStamp, sha256, inspection: { size } }) => ({
      name,
      fileStamp,
      sha256,
      size,
      usual: undefined,
    }));
    return await this.context.loader.pool.use(
      'bulk',
      `cannot enter ${countOf(files.length, 'file')} into the ledger`,
      (connection) =>
        withTransaction(connection, async () => {
          await registerFiles(connection, identities);
          return await readLedger(
            connection,
            identities.map(({ sha256 }) => sha256),
          );
        }),
    );
  }

  /** The file with cuts from where the ledger stands, also when another engine cut it elsewhere; undefined when it is gone. */
  private async resumable(
    file: InspectedFile,
    { committedOffset, committedLines }: LedgerFile,
  ): Promise<InspectedFile | undefined> {
    if (canResumeAt(file, committedOffset)) return file;
    const cut = await cutAgain(this.context, file.inspection.file, committedOffset, committedLines);
    try {
      if (!isReadable(cut, this.settings.maxFileBytes)) return undefined;
      return { ...file, inspection: { ...file.inspection, pieces: cut.pieces } };
    } catch (error) {
      await this.settle(file.inspection.file, () => {
        throw error;
      });
      return undefined;
    }
  }

  /** The end of one file: its failure is its own, and it is tried again later. */
  private async settle(file: SparkFile, end: () => Promise<unknown>): Promise<void> {
    const { name } = file;
    try {
      await end();
      this.failures.forget(name);
      if (this.outcomes.isKept(name)) this.leave.push({ ...file, forMs: -1 });
    } catch (error) {
      if (!(error instanceof EcompipeError) || !('path' in error)) throw error;
      if ('errno' in error && error.errno === 'ENOENT') return;
      const { attempt, retryInMs } = this.failures.record(name, error, performance.now());
      this.leave.push({ ...file, forMs: retryInMs });
      this.emit({
        type: 'fileFailed',
        file: name,
        error,
        attempt,
        retryInMs: this.isDraining ? undefined : retryInMs,
      });
    }
  }
}

/** A file that the executors don't find, or find changed, while the driver sees it as it was listed. */
class UnseenFile extends FileError {
  constructor({ path }: SparkFile) {
    super(path, undefined, {
      what: `cannot load ${printableLine(path)}`,
      why: 'it exists, but the executors do not see it, or see another file under its name',
      hint: 'mount this directory under the same path on every executor, or give a URI that all of them can reach',
    });
  }
}

/** @returns false for a file that is gone: taken by another process. @throws FileError, UnreadableFile. */
function isReadable({ file, fault }: Inspection, maxFileBytes: number | undefined): boolean {
  switch (fault) {
    case null:
      return true;
    case 'gone':
      return false;
    case 'unseen':
      throw new UnseenFile(file);
    case 'changed':
      throw new FileChanged(file.path);
    case 'gzip':
      throw new UnreadableFile('the gzip data is cut short or damaged');
    case 'long':
      throw tooLong(maxFileBytes ?? file.size);
    case 'inflated':
      throw tooInflated();
    default:
      throw new FileError(file.path, undefined, { what: `cannot read ${printableLine(file.path)}`, why: fault });
  }
}

async function cutAgain(
  { database, driver }: UnitContext,
  file: SparkFile,
  offset: number,
  lines: number,
): Promise<Inspection> {
  return await database.retry(`the executors cannot read ${printableLine(file.path)}`, async () => {
    const answer = await driver.ask({ type: 'cut', file, offset, lines });
    if (answer.type === 'failed') throw new TransientError(answer.message);
    const cut = answer.type === 'cut' ? answer.files[0] : undefined;
    assert(cut !== undefined, 'what was asked about is answered');
    return cut;
  });
}

/** Each of them is requests to an object store that are waited for. Ends when all have; throws what the first one did. */
async function allAtOnce(actions: readonly (() => Promise<void>)[]): Promise<void> {
  const ends = await Promise.allSettled(actions.map((action) => action()));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
