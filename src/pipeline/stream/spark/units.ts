import { sourceColumn } from '../../../contract/feeds/compile.js';
import { UTF_8 } from '../../../contract/feeds/encodings.js';
import type { Header, RecordShape } from '../../../contract/csv/header.js';
import type { BatchPart } from '../batch.js';
import type { LedgerFile } from '../ledger.js';
import type { ReadFile } from '../fileDisposer.js';
import type { ResumePoint } from '../ranges.js';
import type { Inspection, Piece } from './messages.js';

/** A file that can be loaded: by name, content, and where it can be cut. */
export interface InspectedFile extends ReadFile {
  readonly inspection: Inspection;
  readonly sha256: Buffer;
  /** Undefined for an empty file. */
  readonly header: Header | undefined;
}

/** Rows of one file that one transaction loads. */
export interface UnitPart {
  readonly file: InspectedFile;
  readonly part: BatchPart & { readonly fileId: number };
  readonly pieces: readonly Piece[];
}

/** What one transaction loads: parts whose records have the same shape, of about so many bytes together. */
export interface Unit {
  /** Undefined where there are only empty files. */
  readonly shape: RecordShape | undefined;
  readonly parts: readonly UnitPart[];
  readonly rows: number;
  readonly plain: boolean;
}

export interface UnitLimits {
  readonly bytes: number;
  readonly files: number;
  /** Of a file with more bytes, as delivered, so many are loaded now. */
  readonly largeBytes: number;
  /** Each file in one unit, whatever its size. */
  readonly wholeFiles: boolean;
}

/** Groups what is left of these files into units, in order: a file's ranges are committed one after the other. */
export function planUnits(
  files: readonly { readonly file: InspectedFile; readonly entry: LedgerFile }[],
  limits: UnitLimits,
): Unit[] {
  const units: Unit[] = [];
  const most = unitBytes(files, limits);
  let parts: UnitPart[] = [];
  let bytes = 0;
  const close = (): void => {
    if (parts.length > 0) units.push(unitOf(parts));
    parts = [];
    bytes = 0;
  };
  for (const { file, entry } of files) {
    const last = entry.committedOffset + (isLarge(file, limits) ? limits.largeBytes : Infinity);
    for (const [index, part] of cutFile(file, entry, limits).entries()) {
      if (index > 0 && part.part.endOffset > last) break;
      const size = part.part.endOffset - part.part.startOffset;
      if (bytes + size > most || parts.length >= limits.files || !fits(parts, file)) close();
      parts.push(part);
      bytes += size;
    }
  }
  close();
  return units;
}

/** Several units even of few bytes, so that they are staged and merged at the same time. */
function unitBytes(
  files: readonly { readonly file: InspectedFile; readonly entry: LedgerFile }[],
  { bytes }: UnitLimits,
): number {
  const left = files.reduce((sum, { file, entry }) => sum + file.inspection.size - entry.committedOffset, 0);
  return Math.min(bytes, Math.max(MIN_UNIT_BYTES, (1.1 * left) / UNITS_OF_A_BATCH));
}

/** One is staged while two are merged. Files don't divide evenly, hence a tenth more for each. */
const UNITS_OF_A_BATCH = 3;

/** Below this, what a unit costs by itself is more than what is gained. */
const MIN_UNIT_BYTES = 4 * 2 ** 20;

function isLarge({ inspection }: InspectedFile, { largeBytes, wholeFiles }: UnitLimits): boolean {
  return inspection.file.size > largeBytes && !wholeFiles;
}

function unitOf(parts: readonly UnitPart[]): Unit {
  return {
    shape: parts[0]?.file.header,
    parts,
    rows: parts.reduce((sum, { part }) => sum + part.rows, 0),
    plain: parts.every(({ part }) => part.plain),
  };
}

/** Whether a file's next part may come into a unit: one part of each file, and all of one shape, so that the first tells. */
function fits(parts: readonly UnitPart[], file: InspectedFile): boolean {
  const [first, last] = [parts[0], parts.at(-1)];
  return first === undefined || (last?.file !== file && haveSameShape(first.file, file));
}

function haveSameShape({ header: one }: InspectedFile, { header: other }: InspectedFile): boolean {
  const isAlike = one?.feed === other?.feed && one?.fieldCount === other?.fieldCount;
  return isAlike && one?.columns.join() === other?.columns.join();
}

/** Columns of the table that the rows of a unit fill. */
export function columnsOf({ shape }: Unit): readonly string[] {
  return shape?.columns ?? [];
}

/** Columns of the stage that executors fill: those of the table, or the fields that a feed makes them of. */
export function stagedColumns({ shape }: Unit): readonly string[] {
  return shape?.feed === undefined ? (shape?.columns ?? []) : shape.feed.fields.map((_, index) => sourceColumn(index));
}

/** Whether a record's own bytes are text to the server as they are; those in another encoding are staged as bytes. */
export function isUtf8({ shape }: Unit): boolean {
  return shape?.feed === undefined || shape.feed.feed.format.encoding === UTF_8;
}

/** The rest of a file in parts of at most so many bytes; one without pieces when there are no rows left. */
function cutFile(file: InspectedFile, entry: LedgerFile, limits: UnitLimits): UnitPart[] {
  const rest = file.inspection.pieces.filter(({ start }) => start >= entry.committedOffset);
  const groups: Piece[][] = [[]];
  let bytes = 0;
  for (const piece of rest) {
    const size = piece.end - piece.start;
    if (bytes > 0 && bytes + size > limits.bytes && !limits.wholeFiles) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(piece);
    bytes += size;
  }
  let from: ResumePoint = {
    offset: entry.committedOffset,
    lines: entry.committedLines,
    records: entry.committedRecords,
  };
  return groups.map((pieces, index) => {
    const part = partOf(file, entry, pieces, from, index === groups.length - 1);
    from = { offset: part.endOffset, lines: from.lines + part.lines, records: from.records + part.rows };
    return { file, part, pieces };
  });
}

function partOf(
  file: InspectedFile,
  entry: LedgerFile,
  pieces: readonly Piece[],
  from: ResumePoint,
  isLast: boolean,
): UnitPart['part'] {
  const { inspection, header, name, fileStamp, sha256 } = file;
  const headerLines = header !== undefined && from.offset < header.length ? header.lines : 0;
  const firstLine = from.lines + headerLines + 1;
  return {
    name,
    fileStamp,
    sha256,
    fileId: entry.fileId,
    fileSize: inspection.size,
    startOffset: from.offset,
    endOffset: isLast ? inspection.size : (pieces.at(-1)?.end ?? inspection.size),
    firstLine,
    lines: pieces.reduce((sum, { lines }) => sum + lines, 0) + headerLines,
    // The bytes stay where the executors are.
    body: Buffer.alloc(0),
    bodyOffset: pieces[0]?.start ?? inspection.size,
    isLast,
    firstRecord: from.records + 1,
    rows: pieces.reduce((sum, { rows }) => sum + rows, 0),
    plain: pieces.every(({ plain }) => plain),
  };
}

/** Whether the ledger's offset is one at which the file was cut; if not, it has to be cut anew from there. */
export function canResumeAt({ inspection, header }: InspectedFile, offset: number): boolean {
  return (
    offset === 0 ||
    offset === (header?.length ?? 0) ||
    offset === inspection.size ||
    inspection.pieces.some(({ start }) => start === offset)
  );
}
