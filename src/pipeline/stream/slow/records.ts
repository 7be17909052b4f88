import { isUtf8 } from 'node:buffer';
import { CsvError, parse } from 'csv-parse/sync';
import { COMMA, LF, NUL } from '../../../core/csv/bytes.js';
import { frameRecords, type Defect, type RecordFrame } from '../../../core/csv/frameRecords.js';
import type { Batch, BatchPart } from '../batch.js';
import type { Reason } from './reject.js';

/** One source row of a batch. Its `ordinal` is its index in the batch. */
export interface SourceRecord {
  readonly part: BatchPart;
  readonly partIndex: number;
  readonly frame: RecordFrame;
}

/** The rows of a batch: which of them can be staged, and why the others can't. */
export interface Records {
  readonly all: readonly SourceRecord[];
  readonly malformed: ReadonlyMap<number, Reason>;
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

/** Splits a batch into its records and finds those whose structure or encoding is broken. */
export function splitRecords(batch: Batch): Records {
  const all: SourceRecord[] = [];
  const malformed = new Map<number, Reason>();
  batch.parts.forEach((part, partIndex) => {
    const { records } = frameRecords(part.body, true, batch.columns.length);
    const clean = isUtf8(part.body) && !part.body.includes(NUL);
    for (const frame of records) {
      const reason = explainDefect(part.body, frame, batch.columns.length, clean);
      if (reason !== undefined) malformed.set(all.length, reason);
      all.push({ part, partIndex, frame });
    }
  });
  return { all, malformed };
}

/** The record's own bytes, without its line break. */
export function recordBytes({ part, frame }: SourceRecord): Buffer {
  return part.body.subarray(frame.start, frame.end);
}

function explainDefect(body: Buffer, frame: RecordFrame, fieldCount: number, clean: boolean): Reason | undefined {
  if (frame.defect !== undefined) {
    const message = describeDefect(body.subarray(frame.start, frame.end), frame.defect, fieldCount);
    return { kind: 'malformed', sqlState: BAD_COPY_FILE_FORMAT, message };
  }
  if (clean) return undefined;
  const bytes = body.subarray(frame.start, frame.end);
  if (bytes.includes(NUL)) return { kind: 'malformed', sqlState: CHARACTER_NOT_IN_REPERTOIRE, message: 'a NUL byte, which text can not hold' };
  if (!isUtf8(bytes)) return { kind: 'malformed', sqlState: CHARACTER_NOT_IN_REPERTOIRE, message: 'bytes that are not UTF-8' };
  return undefined;
}

/** csv-parse names the place within the record better than our defect does, where it sees the same fault. */
function describeDefect(bytes: Buffer, defect: Defect, fieldCount: number): string {
  if (defect === 'too-long') return DEFECTS[defect];
  try {
    const [fields = []] = parse(bytes, { relax_column_count: true, record_delimiter: '\n' });
    return defect === 'field-count' ? `${fields.length} fields where the header has ${fieldCount}` : DEFECTS[defect];
  } catch (error) {
    return error instanceof CsvError ? `${DEFECTS[defect]}: ${error.message}` : DEFECTS[defect];
  }
}

/** The records to stage, each behind its ordinal and a comma, in one buffer; line ends become LF. */
export function stageBytes(records: Records): Buffer {
  const ordinals: string[] = [];
  let length = 0;
  records.all.forEach((record, ordinal) => {
    if (!isCopyable(records, record, ordinal)) return;
    const text = String(ordinal);
    ordinals[ordinal] = text;
    length += text.length + 2 + record.frame.end - record.frame.start;
  });
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  ordinals.forEach((text, ordinal) => {
    const record = records.all[ordinal];
    if (record === undefined) return;
    at += buffer.write(text, at, 'latin1');
    buffer[at++] = COMMA;
    at += record.part.body.copy(buffer, at, record.frame.start, record.frame.end);
    buffer[at++] = LF;
  });
  return buffer;
}

/** Rows that COPY before PostgreSQL 18 can not carry: `\.` alone on a line of a quoted field would end the data. */
export function endMarkerRows(records: Records): { readonly ordinal: number; readonly fields: readonly (string | null)[] }[] {
  return records.all.flatMap((record, ordinal) => {
    if (!record.frame.endMarker || records.malformed.has(ordinal)) return [];
    const [fields = []] = parse(recordBytes(record), {
      record_delimiter: '\n',
      // As in COPY: an empty field without quotes is NULL.
      cast: (value, { quoting }) => (value === '' && !quoting ? null : value),
    }) as (string | null)[][];
    return [{ ordinal, fields }];
  });
}

function isCopyable(records: Records, record: SourceRecord, ordinal: number): boolean {
  return !record.frame.endMarker && !records.malformed.has(ordinal);
}
