import { isUtf8 } from 'node:buffer';
import { CsvError, parse } from 'csv-parse/sync';
import { EventLoopYielder } from '../../../platform/eventLoopYielder.js';
import type { Dialect } from '../../../contract/csv/dialect.js';
import { unnamedFields, type RecordShape } from '../../../contract/csv/header.js';
import { UTF_8 } from '../../../contract/feeds/encodings.js';
import { COMMA, LF, NUL, QUOTE } from '../../../contract/csv/bytes.js';
import { frameRecords } from '../../../contract/csv/frameRecords.js';
import type { Defect, RecordFrame, RecordFrames } from '../../../contract/csv/recordFrames.js';
import { countOf } from '../../../platform/format.js';
import type { Batch, BatchPart } from '../batch.js';
import { endOfIsoDates, type TemporalField } from '../isoDates.js';
import type { Reason } from './reject.js';

/** One source row of a batch. */
export interface SourceRecord {
  readonly part: BatchPart;
  readonly partIndex: number;
  readonly frame: RecordFrame;
}

/** The rows of a batch, each known by its ordinal: its index in the batch. */
export class Records {
  private readonly sections: {
    readonly part: BatchPart;
    readonly frames: RecordFrames;
    readonly firstOrdinal: number;
  }[] = [];
  /** The rows whose structure or encoding is broken, and why: all others can be staged. */
  readonly malformed = new Map<number, Reason>();
  length = 0;

  /** @param unnamed fields at the end of each record that have no name; see unnamedFields. */
  constructor(private readonly unnamed = 0) {}

  /** Where the fields of a sound record end that have a name; undefined when another one has a value. */
  namedEnd({ part, frame }: Pick<SourceRecord, 'part' | 'frame'>): number | undefined {
    let { end } = frame;
    for (let field = 0; field < this.unnamed; field++) {
      if (part.body[end - 1] === QUOTE && part.body[end - 2] === QUOTE && part.body[end - 3] === COMMA) end -= 3;
      else if (part.body[end - 1] === COMMA) end -= 1;
      else return undefined;
    }
    return end;
  }

  addPart(part: BatchPart, frames: RecordFrames): void {
    this.sections.push({ part, frames, firstOrdinal: this.length });
    this.length += frames.length;
  }

  firstOrdinalOf(partIndex: number): number {
    return this.sections[partIndex]?.firstOrdinal ?? this.length;
  }

  /** How many rows a part has. */
  rowsOf(partIndex: number): number {
    return this.sections[partIndex]?.frames.length ?? 0;
  }

  /** @throws RangeError when there is no such row. */
  at(ordinal: number): SourceRecord {
    let [low, high] = [0, this.sections.length];
    // The last section that begins at or before the ordinal; empty parts begin where the next one does.
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.sections[middle]?.firstOrdinal ?? Infinity) <= ordinal) low = middle;
      else high = middle;
    }
    const section = this.sections[low];
    if (section === undefined) throw new RangeError(`no row ${ordinal}`);
    return { part: section.part, partIndex: low, frame: section.frames.at(ordinal - section.firstOrdinal) };
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

const UNNAMED_VALUE: Reason = {
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
    let ordinal = records.length;
    for (const frame of frames) {
      if (yielder.shouldYield) await yielder.yield();
      const reason =
        explainDefect(part.body, frame, batch, clean, isOther) ??
        (records.namedEnd({ part, frame }) === undefined ? UNNAMED_VALUE : undefined);
      if (reason !== undefined) records.malformed.set(ordinal, reason);
      ordinal++;
    }
    records.addPart(part, frames);
  }
  return records;
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
): Reason | undefined {
  if (frame.defect !== undefined) {
    const message = describeDefect(body.subarray(frame.start, frame.end), frame.defect, shape);
    return { kind: 'malformed', sqlState: BAD_COPY_FILE_FORMAT, message };
  }
  if (clean) return undefined;
  const bytes = body.subarray(frame.start, frame.end);
  if (bytes.includes(NUL))
    return { kind: 'malformed', sqlState: CHARACTER_NOT_IN_REPERTOIRE, message: 'a NUL byte, which text can not hold' };
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

/** Tells rows whose dates COPY can be trusted with; see haveOnlyIsoDates. */
export function hasIsoDates(records: Records, temporal: readonly TemporalField[]): (ordinal: number) => boolean {
  if (temporal.length === 0) return () => true;
  return (ordinal) => {
    const { part, frame } = records.at(ordinal);
    return endOfIsoDates(part.body, frame.start, frame.end, temporal) !== -1;
  };
}

/** Whether COPY can bring this row into a stage. */
export function isCopyable(records: Records, ordinal: number): boolean {
  return !records.malformed.has(ordinal) && !records.at(ordinal).frame.endMarker;
}

export function* copyableOrdinals(records: Records): Generator<number> {
  for (let ordinal = 0; ordinal < records.length; ordinal++) if (isCopyable(records, ordinal)) yield ordinal;
}

/** These rows, each behind its ordinal and a comma, in chunks of about so many bytes; line ends become LF. */
export function* stageChunks(records: Records, ordinals: Iterable<number>, chunkBytes: number): Generator<Buffer> {
  let chunk = Buffer.allocUnsafe(chunkBytes);
  let at = 0;
  for (const ordinal of ordinals) {
    const record = records.at(ordinal);
    const { part, frame } = record;
    const end = records.namedEnd(record) ?? frame.end;
    const text = String(ordinal);
    const length = text.length + 2 + end - frame.start;
    if (at + length > chunk.length) {
      if (at > 0) yield chunk.subarray(0, at);
      chunk = Buffer.allocUnsafe(Math.max(chunkBytes, length));
      at = 0;
    }
    at += chunk.write(text, at, 'latin1');
    chunk[at++] = COMMA;
    at += part.body.copy(chunk, at, frame.start, end);
    chunk[at++] = LF;
  }
  if (at > 0) yield chunk.subarray(0, at);
}

/** Rows that COPY before PostgreSQL 18 can not carry: `\.` alone on a line of a quoted field would end the data. */
export function* endMarkerRows(
  records: Records,
): Generator<{ readonly ordinal: number; readonly fields: readonly (string | null)[] }> {
  for (let ordinal = 0; ordinal < records.length; ordinal++) {
    const record = records.at(ordinal);
    if (!record.frame.endMarker || records.malformed.has(ordinal)) continue;
    const { part, frame } = record;
    const [fields = []] = parse(part.body.subarray(frame.start, records.namedEnd(record)), {
      record_delimiter: '\n',
      // As in COPY: an empty field without quotes is NULL.
      cast: (value, { quoting }) => (value === '' && !quoting ? null : value),
    }) as (string | null)[][];
    yield { ordinal, fields };
  }
}
