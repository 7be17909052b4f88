import { EVENT_COLUMNS } from '../../contract/columns.js';
import type { EventSource } from './eventSource.js';
import { MAX_ROW, type RowFacts } from './rowWriter.js';
import type { StagedFile } from './stagedFile.js';
import type { FileLine } from '../../contract/manifest/format.js';
import { Tally } from '../../contract/manifest/checksum.js';
import { EVENT_TYPE_NAMES } from './visit.js';

/** What one file is going to be. */
export interface FilePlan {
  readonly events: number;
  /** Ending of its name. */
  readonly ending: '.csv' | '.csv.gz';
  /** The same bytes are published a second time, under the next name. */
  readonly twice: boolean;
  readonly header: Buffer;
  readonly encode: (bytes: Buffer, isLast: boolean) => Buffer;
  /** Nothing can be held back any more: no file follows. */
  readonly isFinal: boolean;
}

/** What a file turned out to be. */
export interface FileFindings {
  readonly quarantined: string | null;
  readonly fileFaults: readonly string[];
}

/** What stands between the clean rows and the files: nothing, or dirt. */
export interface RowTransform {
  /** Rows held back for later files. */
  readonly pending: number;
  /** The files to make for the next batch of events; most often one. */
  outlines(events: number, isFinal: boolean): readonly FilePlan[];
  begin(
    outline: FilePlan,
    file: { readonly name: string; readonly sequence: number },
    writer: FileWriter,
    account: FileTally,
  ): void;
  /** Takes over the row that `source` wrote from `start` to the writer's position. */
  row(source: EventSource, start: number, writer: FileWriter, account: FileTally): void;
  /** Writes what was kept for the end of the file. */
  finish(writer: FileWriter): FileFindings;
}

export const HEADER = Buffer.from(`${EVENT_COLUMNS.join(',')}\n`);

/** Rows as they are. */
export class CleanPass implements RowTransform {
  readonly pending = 0;

  outlines(events: number, isFinal: boolean): readonly FilePlan[] {
    return [{ events, ending: '.csv', twice: false, header: HEADER, encode: (bytes) => bytes, isFinal }];
  }

  begin(): void {
    // Every file is like the one before.
  }

  row(source: EventSource, _start: number, _writer: FileWriter, account: FileTally): void {
    account.loaded(source.writer);
  }

  finish(): FileFindings {
    return { quarantined: null, fileFaults: [] };
  }
}

const CHUNK_BYTES = 256 * 1024;

/** Collects a file's bytes, and hands them on in chunks that end where a row ends. */
export class FileWriter {
  /** Always has room for one more row at `position`. */
  readonly buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES + 2 * MAX_ROW);
  position = 0;
  private files: readonly StagedFile[] = [];
  private encode: (bytes: Buffer, isLast: boolean) => Buffer = (bytes) => bytes;

  /** @param files get the same bytes each. */
  begin(files: readonly StagedFile[], encode: (bytes: Buffer, isLast: boolean) => Buffer): void {
    this.files = files;
    this.encode = encode;
    this.position = 0;
  }

  /** Hands a full chunk on. To be called before a row and not behind it: the end of the last row may have to go. */
  makeRoom(): boolean {
    if (this.position < CHUNK_BYTES) return false;
    this.handOn(false);
    return true;
  }

  write(bytes: Buffer): void {
    this.makeRoom();
    this.position += bytes.copy(this.buffer, this.position);
  }

  end(): void {
    this.handOn(true);
  }

  private handOn(isLast: boolean): void {
    const bytes = this.encode(this.buffer.subarray(0, this.position), isLast);
    for (const file of this.files) file.write(bytes);
    this.position = 0;
  }
}

/** Counts what the rows of one file must become. */
export class FileTally {
  private readonly tally = new Tally(EVENT_TYPE_NAMES);
  private duplicates: Record<string, number> = {};
  private rejects: Record<string, number> = {};
  private notLoaded = 0;
  private otherIds = 0;

  reset(): void {
    this.tally.reset();
    this.duplicates = {};
    this.rejects = {};
    this.notLoaded = this.otherIds = 0;
  }

  loaded({ type, moneyCents, idHigh16, idLow32, content }: RowFacts): void {
    this.tally.add(type, moneyCents, idHigh16, idLow32, content);
  }

  /** @param isNewId the file has no other row with this id. */
  duplicate(kind: string, isNewId: boolean): void {
    this.count(this.duplicates, kind, isNewId);
  }

  /** @param isNewId the row has an id that no other row of the file has. */
  rejected(kind: string, isNewId: boolean): void {
    this.count(this.rejects, kind, isNewId);
  }

  private count(kinds: Record<string, number>, kind: string, isNewId: boolean): void {
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    this.notLoaded++;
    if (isNewId) this.otherIds++;
  }

  sums(): Pick<
    FileLine,
    'rows' | 'distinctIds' | 'loaded' | 'loadedByType' | 'idSum' | 'contentSum' | 'duplicates' | 'rejects'
  > {
    const { tally, duplicates, rejects } = this;
    return {
      rows: tally.rows + this.notLoaded,
      distinctIds: tally.rows + this.otherIds,
      loaded: tally.rows,
      loadedByType: tally.byType(),
      ...tally.fingerprint(),
      duplicates,
      rejects,
    };
  }
}
