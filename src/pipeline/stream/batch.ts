import type { RecordShape } from '../../contract/csv/header.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

/** A place in a file's (decompressed) content, as ledger, logs and errors name it. */
export interface ByteRange {
  readonly startOffset: number;
  readonly endOffset: number;
  /** 1-based physical line of the first data byte. */
  readonly firstLine: number;
  /** Physical lines from startOffset to endOffset. */
  readonly lines: number;
}

/** The rows of one file in a batch: a range of a large file, or a small file whole. */
export interface BatchPart extends ByteRange {
  readonly name: string;
  /** Tells the file from another one under the same name. */
  readonly fileStamp: string;
  readonly sha256: Buffer;
  /** Known for ranges of a file that is in the ledger already; a whole small file is entered by its own batch. */
  readonly fileId: number | undefined;
  /** Bytes of the whole content; the part that ends there finishes the file. */
  readonly fileSize: number;
  /** Data rows only: without byte order mark and header. */
  readonly body: Buffer;
  /** What was read of the content behind `body`: a quote may close there. Valid as long as `body` is; undefined where nothing follows. */
  readonly following?: Buffer;
  /** Offset of `body` in the content. */
  readonly bodyOffset: number;
  /** No row follows this part in its file. */
  readonly isLast: boolean;
  /** Number of its first record in the content, from 1. */
  readonly firstRecord: number;
  /** Records as our own splitter counted them. */
  readonly rows: number;
  /** COPY can be trusted to see the same rows as we do. */
  readonly plain: boolean;
}

/**
 * So many rows at most in one batch, whatever few bytes they have: what a row costs in memory and in locks, and how long
 * a transaction takes, depends on rows.
 */
export const MAX_BATCH_ROWS = 50_000;

/** What one transaction loads: parts whose records have the same shape. */
export interface Batch extends RecordShape {
  readonly parts: readonly BatchPart[];
  /** Its commit waits until it is on disk. */
  readonly isDurable: boolean;
}

/** Rows of a part by what became of them. `read` is our own count, the others are the server's: they must add up. */
export interface RowCounts {
  readonly read: number;
  readonly inserted: number;
  readonly duplicate: number;
  readonly rejected: number;
}

/** What became of a part: its rows, and records that a feed left out before any became a row. */
export interface PartResult {
  readonly counts: RowCounts;
  readonly skipped: number;
}

export const NO_ROWS: RowCounts = { read: 0, inserted: 0, duplicate: 0, rejected: 0 };

export function addCounts(a: RowCounts, b: RowCounts): RowCounts {
  return {
    read: a.read + b.read,
    inserted: a.inserted + b.inserted,
    duplicate: a.duplicate + b.duplicate,
    rejected: a.rejected + b.rejected,
  };
}

/** `orders.csv:120` style label of where a batch is, for messages. */
export function describeBatch(batch: Batch): string {
  const [first] = batch.parts;
  if (first === undefined) return 'an empty batch';
  return batch.parts.length === 1
    ? `${printableLine(first.name)} bytes ${first.startOffset}–${first.endOffset}`
    : `${printableLine(first.name)} and ${countOf(batch.parts.length - 1, 'more file')}`;
}
