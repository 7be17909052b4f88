import { CR, LF, MAX_RECORD_BYTES } from './bytes.js';
import { RFC_4180, type Dialect } from './dialect.js';
import { isEndMarker } from './countRows.js';
import { RecordFrames, type Defect } from './recordFrames.js';

export interface Frames {
  readonly records: RecordFrames;
  /** End of the last whole record or empty line, relative to the buffer. */
  readonly end: number;
  readonly lines: number;
}

/** A record as one step of the frame walk finds it; `next` is where the following one starts. */
interface FrameStep {
  readonly end: number;
  readonly next: number;
  readonly defect: Defect | undefined;
}

/**
 * Splits bytes into records, strictly by RFC 4180, and recovers after each broken one: a record with a structural defect
 * is its first physical line and no more, so that it never swallows its neighbours. Empty lines are not records.
 *
 * Depends on nothing but the bytes from each record's start on (at most MAX_RECORD_BYTES of them), so that any batch size
 * and any resumption frame the same records. An unfinished last record is left to the next call, unless `atEof`; and
 * all records after the first `maxRecords`.
 */
export function frameRecords(
  buffer: Buffer,
  atEof: boolean,
  fieldCount: number,
  maxRecords = Infinity,
  dialect: Dialect = RFC_4180,
): Frames {
  const { quote, delimiter } = dialect;
  if (quote === undefined) return frameLines(buffer, atEof, fieldCount, maxRecords, dialect);
  const records = new RecordFrames();
  const endMarkers = new Occurrences(buffer, '\\.');
  const quotes = new Occurrences(buffer, quote);
  const carriageReturns = new Occurrences(buffer, CR);
  let start = 0;
  let line = 0;
  while (start < buffer.length && records.length < maxRecords) {
    const simple = simpleRecord(buffer, start, quotes, carriageReturns, fieldCount, delimiter);
    const step = simple ?? nextRecord(buffer, start, atEof, fieldCount, delimiter, quote);
    if (step === undefined) break;
    if (step.end > start) {
      const endMarker = holdsEndMarker(buffer, start, step.end, endMarkers);
      records.push({ start, end: step.end, line, defect: step.defect, endMarker });
    }
    line += simple === undefined ? countLines(buffer, start, step.next, atEof) : 1;
    start = step.next;
  }
  return { records, end: start, lines: line };
}

/** Where a byte or text comes next, for questions that only go forward: looked for again only when passed. */
class Occurrences {
  private found = -1;

  constructor(
    private readonly buffer: Buffer,
    private readonly wanted: number | string,
  ) {}

  /** The first place from `start` on; Infinity when there is none. */
  from(start: number): number {
    if (this.found < start) {
      const next = this.buffer.indexOf(this.wanted, start);
      this.found = next === -1 ? Infinity : next;
    }
    return this.found;
  }
}

/** A whole line without quotes, as most are: nothing but its commas needs a look. Undefined when it takes a closer one. */
function simpleRecord(
  buffer: Buffer,
  start: number,
  quotes: Occurrences,
  carriageReturns: Occurrences,
  fieldCount: number,
  delimiter: number,
): FrameStep | undefined {
  const lineFeed = buffer.indexOf(LF, start);
  if (lineFeed === -1 || lineFeed - start >= MAX_RECORD_BYTES || quotes.from(start) < lineFeed) return undefined;
  const carriageReturn = carriageReturns.from(start);
  if (carriageReturn < lineFeed - 1) return undefined;
  const end = carriageReturn < lineFeed ? carriageReturn : lineFeed;
  let fields = 1;
  for (let at = start; at < end; at++) if (buffer[at] === delimiter) fields++;
  return { end, next: lineFeed + 1, defect: end === start || fields === fieldCount ? undefined : 'field-count' };
}

function nextRecord(
  buffer: Buffer,
  start: number,
  atEof: boolean,
  fieldCount: number,
  delimiter: number,
  quote: number,
): FrameStep | undefined {
  let fields = 1;
  let at = start;
  let fieldStart = true;
  for (;;) {
    if (at - start >= MAX_RECORD_BYTES) return firstLine(buffer, start, atEof, 'too-long');
    if (at >= buffer.length)
      return atEof ? { end: at, next: at, defect: fields === fieldCount ? undefined : 'field-count' } : undefined;
    let byte = buffer[at];
    if (byte === quote) {
      if (!fieldStart) return firstLine(buffer, start, atEof, 'stray-quote');
      const close = closeOf(buffer, at, start, quote);
      if (close === undefined) return firstLine(buffer, start, atEof, 'unclosed-quote');
      at = close + 1;
      if (at >= buffer.length && !atEof) return undefined;
      byte = buffer[at];
      if (byte !== undefined && byte !== delimiter && byte !== LF && byte !== CR)
        return firstLine(buffer, start, atEof, 'stray-quote');
      fieldStart = false;
      continue;
    }
    if (byte === LF || (byte === CR && buffer[at + 1] === LF)) {
      const isEmpty = at === start;
      return {
        end: at,
        next: byte === LF ? at + 1 : at + 2,
        defect: isEmpty || fields === fieldCount ? undefined : 'field-count',
      };
    }
    if (byte === CR) {
      if (at + 1 === buffer.length && !atEof) return undefined;
      return firstLine(buffer, start, atEof, 'bare-carriage-return');
    }
    fieldStart = byte === delimiter;
    if (fieldStart) fields++;
    at++;
  }
}

/** Splits bytes in which nothing is quoted: a record is a line, whatever else is in it. */
function frameLines(
  buffer: Buffer,
  atEof: boolean,
  fieldCount: number,
  maxRecords: number,
  { kind, delimiter }: Dialect,
): Frames {
  const records = new RecordFrames();
  let start = 0;
  let line = 0;
  while (start < buffer.length && records.length < maxRecords) {
    const lineFeed = buffer.indexOf(LF, start);
    const stop = lineFeed === -1 ? buffer.length : lineFeed;
    let step: FrameStep | undefined;
    if (stop - start >= MAX_RECORD_BYTES) step = firstLine(buffer, start, atEof, 'too-long');
    else if (lineFeed !== -1 || atEof) {
      const end = stop > start && buffer[stop - 1] === CR ? stop - 1 : stop;
      let fields = 1;
      if (kind === 'csv') for (let at = start; at < end; at++) if (buffer[at] === delimiter) fields++;
      const next = lineFeed === -1 ? stop : lineFeed + 1;
      step = { end, next, defect: end === start || fields === fieldCount ? undefined : 'field-count' };
    }
    if (step === undefined) break;
    if (step.end > start) records.push({ start, end: step.end, line, defect: step.defect, endMarker: false });
    line += countLines(buffer, start, step.next, atEof);
    start = step.next;
  }
  return { records, end: start, lines: line };
}

/** The closing quote of a field opened at `open`, if it comes within the longest record. */
function closeOf(buffer: Buffer, open: number, start: number, quote: number): number | undefined {
  for (
    let at = buffer.indexOf(quote, open + 1);
    at !== -1 && at - start < MAX_RECORD_BYTES;
    at = buffer.indexOf(quote, at + 2)
  ) {
    if (buffer[at + 1] !== quote) return at;
  }
  return undefined;
}

/**
 * A broken record is its first line, or where no line ends within the longest record, that many bytes. What looks broken
 * may only be unfinished: as long as the record could still grow, more bytes are waited for.
 */
function firstLine(buffer: Buffer, start: number, atEof: boolean, defect: Defect): FrameStep | undefined {
  const couldGrow = !atEof && buffer.length - start < MAX_RECORD_BYTES;
  if (couldGrow && defect === 'unclosed-quote') return undefined;
  const lineFeed = buffer.indexOf(LF, start);
  if (lineFeed !== -1 && lineFeed - start < MAX_RECORD_BYTES) {
    const end = lineFeed > start && buffer[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
    return { end, next: lineFeed + 1, defect };
  }
  if (couldGrow) return undefined;
  const end = Math.min(start + MAX_RECORD_BYTES, buffer.length);
  return { end, next: end, defect: end === buffer.length && end - start < MAX_RECORD_BYTES ? defect : 'too-long' };
}

/** Physical lines from one record to the next; the last one of a file may lack its line feed. */
function countLines(buffer: Buffer, start: number, next: number, atEof: boolean): number {
  let count = atEof && next === buffer.length && buffer[next - 1] !== LF ? 1 : 0;
  for (let at = buffer.indexOf(LF, start); at !== -1 && at < next; at = buffer.indexOf(LF, at + 1)) count++;
  return count;
}

function holdsEndMarker(buffer: Buffer, start: number, end: number, endMarkers: Occurrences): boolean {
  for (let at = endMarkers.from(start); at < end; at = endMarkers.from(at + 1)) {
    if (isEndMarker(buffer, at)) return true;
  }
  return false;
}
