import { isUtf8 } from 'node:buffer';
import { CsvError, parse } from 'csv-parse/sync';
import { EventLoopYielder } from '../../../platform/wait.js';
import type { Dialect } from '../../../contract/csv/dialect.js';
import { unnamedFields, type RecordShape } from '../../../contract/csv/header.js';
import { UTF_8 } from '../../../contract/feeds/encodings.js';
import { COMMA, CR, DIGIT_0, LF, MAX_RECORD_BYTES, NUL, QUOTE } from '../../../contract/csv/bytes.js';
import { frameRecords } from '../../../contract/csv/frameRecords.js';
import type { Defect, RecordFrame, RecordFrames } from '../../../contract/csv/recordFrames.js';
import { countOf } from '../../../platform/format.js';
import type { Batch, BatchPart } from '../batch.js';
import { endOfIsoDates, haveOnlyIsoDates, type TemporalField } from '../isoDates.js';
import type { RejectReason } from '../../../contract/stageServices.js';

/** One source row of a batch. */
export interface SourceRecord {
  readonly part: BatchPart;
  readonly partIndex: number;
  readonly frame: RecordFrame;
}

/** The rows of one part. */
export interface Section {
  readonly part: BatchPart;
  readonly partIndex: number;
  readonly frames: RecordFrames;
  readonly firstOrdinal: number;
}

/** The rows of a batch, each known by its ordinal: its index in the batch. */
export class Records {
  private readonly sections: Section[] = [];
  /** The rows whose structure or encoding is broken, and why: all others can be staged. */
  readonly malformed = new Map<number, RejectReason>();
  length = 0;

  /** @param unnamed fields at the end of each record that have no name; see unnamedFields. */
  constructor(readonly unnamed = 0) {}

  /** Where the fields of a sound record that ends there end that have a name; undefined when another one has a value. */
  namedEnd(body: Buffer, recordEnd: number): number | undefined {
    let end = recordEnd;
    for (let field = 0; field < this.unnamed; field++) {
      if (body[end - 1] === QUOTE && body[end - 2] === QUOTE && body[end - 3] === COMMA) end -= 3;
      else if (body[end - 1] === COMMA) end -= 1;
      else return undefined;
    }
    return end;
  }

  addPart(part: BatchPart, frames: RecordFrames): void {
    this.sections.push({ part, partIndex: this.sections.length, frames, firstOrdinal: this.length });
    this.length += frames.length;
  }

  firstOrdinalOf(partIndex: number): number {
    return this.sections[partIndex]?.firstOrdinal ?? this.length;
  }

  /** How many rows a part has. */
  rowsOf(partIndex: number): number {
    return this.sections[partIndex]?.frames.length ?? 0;
  }

  /** The part that has this row. @throws RangeError when there is no such row. */
  sectionOf(ordinal: number): Section {
    let [low, high] = [0, this.sections.length];
    // The last section that begins at or before the ordinal; empty parts begin where the next one does.
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.sections[middle]?.firstOrdinal ?? Infinity) <= ordinal) low = middle;
      else high = middle;
    }
    const section = this.sections[low];
    if (section === undefined) throw new RangeError(`no row ${ordinal}`);
    return section;
  }

  /** @throws RangeError when there is no such row. */
  at(ordinal: number): SourceRecord {
    const { part, partIndex, frames, firstOrdinal } = this.sectionOf(ordinal);
    return { part, partIndex, frame: frames.at(ordinal - firstOrdinal) };
  }
}

/** PostgreSQL's SQLSTATEs for the same faults in COPY. */
const BAD_COPY_FILE_FORMAT = '22P04';
const CHARACTER_NOT_IN_REPERTOIRE = '22021';

const DEFECTS: Readonly<Record<Defect, string>> = {
  'stray-quote': 'a quote inside an unquoted field, or text after a closing quote',
  'unclosed-quote': 'a quoted field is never closed',
  'bare-carriage-return': 'a carriage return outside quotes',
  'too-long': 'the record is longer than 1 MiB',
  'field-count': 'wrong number of fields',
};

export const UNNAMED_VALUE: RejectReason = {
  kind: 'malformed',
  sqlState: BAD_COPY_FILE_FORMAT,
  message: 'a value after the last column that the header names',
};

/**
 * Splits a batch into its records and finds those whose structure or encoding is broken. To name the faults of fifty thousand
 * records takes a second, in which metrics, heartbeats and signals must have their turn.
 */
export async function splitRecords(batch: Batch): Promise<Records> {
  const records = new Records(unnamedFields(batch));
  const yielder = new EventLoopYielder();
  for (const part of batch.parts) {
    const { records: frames } = frameRecords(part.body, true, batch.fieldCount, Infinity, batch.dialect);
    // Other encodings than UTF-8 are the server's to check.
    const isOther = batch.feed !== undefined && batch.feed.feed.format.encoding !== UTF_8;
    const clean = (isOther || isUtf8(part.body)) && !part.body.includes(NUL);
    const firstOrdinal = records.length;
    for (const index of clean && records.unnamed === 0 ? frames.defective() : indexesOf(frames)) {
      if (yielder.shouldYield) await yielder.yield();
      const frame = frames.at(index);
      const defect = frame.defect === 'unclosed-quote' ? defectInContent(part, frame, batch) : frame.defect;
      const reason =
        explainDefect(part.body, { ...frame, defect }, batch, clean, isOther) ??
        (records.namedEnd(part.body, frames.endOf(index)) === undefined ? UNNAMED_VALUE : undefined);
      if (reason !== undefined) records.malformed.set(firstOrdinal + index, reason);
    }
    records.addPart(part, frames);
  }
  return records;
}

/** Where a quote closes in the bytes behind the part, it is not one that never closes: whatever the batches, the reason must be the same. */
function defectInContent(
  { body, following, isLast }: BatchPart,
  { start }: RecordFrame,
  { fieldCount, dialect }: RecordShape,
): Defect | undefined {
  if (following === undefined) return 'unclosed-quote';
  const content = Buffer.concat([body.subarray(start), following.subarray(0, MAX_RECORD_BYTES)]);
  const { records } = frameRecords(content, isLast, fieldCount, 1, dialect);
  return records.length === 0 ? 'unclosed-quote' : records.at(0).defect;
}

function* indexesOf({ length }: RecordFrames): Generator<number> {
  for (let index = 0; index < length; index++) yield index;
}

/** The record's own bytes, without its line break. */
export function recordBytes({ part, frame }: SourceRecord): Buffer {
  return part.body.subarray(frame.start, frame.end);
}

/** What is wrong with a record by structure or encoding, if anything is. `clean`: the body is known to be text. */
export function explainDefect(
  body: Buffer,
  frame: Pick<RecordFrame, 'start' | 'end' | 'defect'>,
  shape: Pick<RecordShape, 'fieldCount' | 'dialect'>,
  clean: boolean,
  isOtherEncoding = false,
): RejectReason | undefined {
  if (frame.defect !== undefined) {
    const message = describeDefect(body.subarray(frame.start, frame.end), frame.defect, shape);
    return { kind: 'malformed', sqlState: BAD_COPY_FILE_FORMAT, message };
  }
  if (clean) return undefined;
  const bytes = body.subarray(frame.start, frame.end);
  if (bytes.includes(NUL))
    return { kind: 'malformed', sqlState: CHARACTER_NOT_IN_REPERTOIRE, message: 'a NUL byte, which text cannot hold' };
  if (!isOtherEncoding && !isUtf8(bytes))
    return { kind: 'malformed', sqlState: CHARACTER_NOT_IN_REPERTOIRE, message: 'bytes that are not UTF-8' };
  return undefined;
}

/** Of a longer record csv-parse would take its time to name the place of a fault. */
const MAX_EXPLAINED_BYTES = 64 * 1024;

/** csv-parse names the place within the record better than our defect does, where it sees the same fault. */
function describeDefect(
  bytes: Buffer,
  defect: Defect,
  { fieldCount, dialect }: Pick<RecordShape, 'fieldCount' | 'dialect'>,
): string {
  if (defect === 'field-count')
    return `${countOf(countFields(bytes, dialect), 'field')} where the header has ${fieldCount}`;
  if (defect === 'too-long' || bytes.length > MAX_EXPLAINED_BYTES) return DEFECTS[defect];
  const delimiter = String.fromCharCode(dialect.delimiter);
  const quote = String.fromCharCode(dialect.quote ?? QUOTE);
  try {
    parse(bytes, { delimiter, quote, relax_column_count: true, record_delimiter: '\n' });
    return DEFECTS[defect];
  } catch (error) {
    return error instanceof CsvError ? `${DEFECTS[defect]}: ${error.message}` : DEFECTS[defect];
  }
}

/** Of a record that is sound but for their number: commas within quotes separate nothing. */
function countFields(bytes: Buffer, { delimiter, quote }: Dialect): number {
  let fields = 1;
  let isQuoted = false;
  for (const byte of bytes) {
    if (byte === quote) isQuoted = !isQuoted;
    else if (byte === delimiter && !isQuoted) fields++;
  }
  return fields;
}

/** So many rows at most are looked at together for their dates: one that is not plain has the others looked at alone. */
const MAX_RUN = 1000;

/** Tells rows whose dates COPY can be trusted with; see haveOnlyIsoDates. Cheap when asked in order: rows that follow each other are looked at together. */
export function hasIsoDates(records: Records, temporal: readonly TemporalField[]): (ordinal: number) => boolean {
  if (temporal.length === 0) return () => true;
  let run = { from: 0, to: 0, isPlain: false };
  return (ordinal) => {
    const section = records.sectionOf(ordinal);
    if (ordinal < run.from || ordinal >= run.to) {
      const to = endOfRun(records, section, ordinal);
      const rows = bytesOf(section, ordinal, to);
      run = { from: ordinal, to, isPlain: haveOnlyIsoDates(rows, temporal) };
    }
    if (run.isPlain) return true;
    const row = bytesOf(section, ordinal, ordinal + 1);
    return endOfIsoDates(row, 0, row.length, temporal) !== -1;
  };
}

/** Where the sound rows end that follow each other from this one on, with nothing between them but line breaks. */
function endOfRun({ malformed }: Records, { part, frames, firstOrdinal }: Section, from: number): number {
  const stop = Math.min(firstOrdinal + frames.length, from + MAX_RUN);
  for (let ordinal = from + 1; ordinal < stop; ordinal++) {
    const end = frames.endOf(ordinal - 1 - firstOrdinal);
    const lineBreak = part.body[end] === CR ? 2 : 1;
    if (malformed.has(ordinal) || frames.startOf(ordinal - firstOrdinal) !== end + lineBreak) return ordinal;
  }
  return stop;
}

function bytesOf({ part, frames, firstOrdinal }: Section, from: number, to: number): Buffer {
  return part.body.subarray(frames.startOf(from - firstOrdinal), frames.endOf(to - 1 - firstOrdinal));
}

/** Whether COPY can bring this row into a stage. */
export function isCopyable(records: Records, ordinal: number): boolean {
  if (records.malformed.has(ordinal)) return false;
  const { frames, firstOrdinal } = records.sectionOf(ordinal);
  return !frames.hasEndMarker(ordinal - firstOrdinal);
}

export function* copyableOrdinals(records: Records): Generator<number> {
  for (let ordinal = 0; ordinal < records.length; ordinal++) if (isCopyable(records, ordinal)) yield ordinal;
}

/** Digits of the largest ordinal. */
const MAX_DIGITS = 10;

/** These rows, each behind its ordinal and a comma, in chunks of about so many bytes; line ends become LF. */
export function* stageChunks(records: Records, ordinals: Iterable<number>, chunkBytes: number): Generator<Buffer> {
  let chunk = Buffer.allocUnsafe(chunkBytes);
  let at = 0;
  for (const ordinal of ordinals) {
    const { part, frames, firstOrdinal } = records.sectionOf(ordinal);
    const start = frames.startOf(ordinal - firstOrdinal);
    const recordEnd = frames.endOf(ordinal - firstOrdinal);
    const end = records.namedEnd(part.body, recordEnd) ?? recordEnd;
    const length = MAX_DIGITS + 2 + end - start;
    if (at + length > chunk.length) {
      if (at > 0) yield chunk.subarray(0, at);
      chunk = Buffer.allocUnsafe(Math.max(chunkBytes, length));
      at = 0;
    }
    at = writeDigits(chunk, at, ordinal);
    chunk[at++] = COMMA;
    at += part.body.copy(chunk, at, start, end);
    chunk[at++] = LF;
  }
  if (at > 0) yield chunk.subarray(0, at);
}

/** A call into native code for each number would take as long as to copy its row. @returns where the digits end. */
function writeDigits(chunk: Buffer, start: number, value: number): number {
  let digits = 1;
  for (let power = 10; value >= power; power *= 10) digits++;
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    chunk[at] = DIGIT_0 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return start + digits;
}

/** Rows that COPY before PostgreSQL 18 cannot carry: `\.` alone on a line of a quoted field would end the data. */
export function* endMarkerRows(
  records: Records,
): Generator<{ readonly ordinal: number; readonly fields: readonly (string | null)[] }> {
  for (let ordinal = 0; ordinal < records.length; ordinal++) {
    const record = records.at(ordinal);
    if (!record.frame.endMarker || records.malformed.has(ordinal)) continue;
    const { part, frame } = record;
    const [fields = []] = parse(part.body.subarray(frame.start, records.namedEnd(part.body, frame.end)), {
      record_delimiter: '\n',
      // As in COPY: an empty field without quotes is NULL.
      cast: (value, { quoting }) => (value === '' && !quoting ? null : value),
    }) as (string | null)[][];
    yield { ordinal, fields };
  }
}
