import { CR, DIGIT_0, DIGIT_9, LF } from '../../contract/csv/bytes.js';
import { RFC_4180, type Dialect } from '../../contract/csv/dialect.js';
import type { TargetTable } from './targetTable.js';

const SPACE = 0x20;
const HYPHEN = 0x2d;
const LETTER_T = 0x54;

/** A field of a row that holds dates (`hasDate`), or times alone. */
export interface TemporalField {
  readonly index: number;
  readonly hasDate: boolean;
}

/** Which fields of a row of these columns hold dates and times. */
export function temporalFields(columns: readonly string[], table: TargetTable): TemporalField[] {
  const types = new Map(table.columns.flatMap(({ name, type, isTemporal }) => (isTemporal ? [[name, type]] : [])));
  return columns.flatMap((name, index) => {
    const type = types.get(name);
    return type === undefined ? [] : [{ index, hasDate: !/^time(?!stamp)/.test(type) }];
  });
}

/**
 * Whether all dates of these rows are written year first (`2026-11-22`, alone or before a time), so that COPY can be
 * trusted with them: it would guess which number of `01/02/03` is the year, and take `now` for a moment. What fails here
 * may be fine all the same: the staged path looks at it closely. For rows that are sound by structure.
 */
export function haveOnlyIsoDates(
  body: Buffer,
  temporal: readonly TemporalField[],
  dialect: Dialect = RFC_4180,
): boolean {
  if (temporal.length === 0) return true;
  const { delimiter, quote: mark } = dialect;
  if (mark === undefined) return false;
  // The next one from the cursor on, looked for only when passed.
  let quote = body.indexOf(mark);
  let start = 0;
  while (start < body.length) {
    if (quote !== -1 && quote < start) quote = body.indexOf(mark, start);
    let at = start;
    let field = 0;
    for (const { index, hasDate } of temporal) {
      // Native code finds commas, as it takes a few percent of a load otherwise; a quote before the date makes them count less.
      for (; field < index; field++) {
        const comma = body.indexOf(delimiter, at);
        // Too few fields: COPY will say so.
        if (comma === -1) return true;
        at = comma + 1;
      }
      if (quote !== -1 && quote <= at) {
        at = endOfIsoDates(body, start, body.length, temporal, dialect);
        if (at === -1) return false;
        break;
      }
      if (!isPlain(body, at, hasDate, delimiter, mark)) return false;
    }
    let lineFeed = body.indexOf(LF, at);
    // From the end of a field on, a quote opens another one, in which line feeds end no row.
    for (;;) {
      if (quote !== -1 && quote < at) quote = body.indexOf(mark, at);
      if (lineFeed === -1 || quote === -1 || quote > lineFeed) break;
      at = fieldEnd(body, quote, delimiter, mark);
      lineFeed = body.indexOf(LF, at);
    }
    if (lineFeed === -1) return true;
    start = lineFeed + 1;
  }
  return true;
}

/** As haveOnlyIsoDates, for the one row that stands there. @returns where its last date ends; -1 when one is not plain. */
export function endOfIsoDates(
  body: Buffer,
  start: number,
  end: number,
  temporal: readonly TemporalField[],
  { delimiter, quote: mark }: Dialect = RFC_4180,
): number {
  let at = start;
  let field = 0;
  for (const { index, hasDate } of temporal) {
    // This loop looks at each byte before a date: it costs a few percent of a load, and a call for each field twice that.
    while (field < index && at < end) {
      const byte = body[at];
      if (byte === delimiter) field++;
      else if (byte === mark) at = fieldEnd(body, at, delimiter, mark) - 1;
      else if (byte === LF) return at;
      at++;
    }
    if (at >= end) return at;
    if (!isPlain(body, body[at] === mark ? at + 1 : at, hasDate, delimiter, mark)) return -1;
  }
  return body[at] === mark ? fieldEnd(body, at, delimiter, mark) : at;
}

/** Where the field that starts here ends: at a comma, a line break, or the end. */
function fieldEnd(body: Buffer, start: number, delimiter: number, mark: number | undefined): number {
  let at = start;
  if (body[at] === mark) {
    for (at++; at < body.length; at++) {
      if (body[at] !== mark) continue;
      if (body[at + 1] !== mark) break;
      at++;
    }
  }
  for (; at < body.length; at++) {
    const byte = body[at];
    if (byte === delimiter || byte === LF || byte === CR) break;
  }
  return at;
}

function isPlain(body: Buffer, at: number, hasDate: boolean, delimiter: number, mark: number | undefined): boolean {
  if (endsField(body[at], delimiter, mark)) return true;
  if (!hasDate) return isDigit(body[at]);
  const isDate =
    isDigit(body[at]) &&
    isDigit(body[at + 1]) &&
    isDigit(body[at + 2]) &&
    isDigit(body[at + 3]) &&
    body[at + 4] === HYPHEN &&
    isDigit(body[at + 5]) &&
    isDigit(body[at + 6]) &&
    body[at + 7] === HYPHEN &&
    isDigit(body[at + 8]) &&
    isDigit(body[at + 9]);
  if (!isDate) return false;
  const next = body[at + 10];
  return endsField(next, delimiter, mark) || ((next === LETTER_T || next === SPACE) && isDigit(body[at + 11]));
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= DIGIT_0 && byte <= DIGIT_9;
}

function endsField(byte: number | undefined, delimiter: number, mark: number | undefined): boolean {
  return byte === undefined || byte === delimiter || byte === LF || byte === CR || byte === mark;
}
