import { EVENT_COLUMNS } from '../../contract/columns.js';
import type { EventSource } from './eventSource.js';
import type { FileTally } from './fileTally.js';
import type { FileWriter } from './fileWriter.js';

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
