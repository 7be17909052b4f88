import { CR, LF } from '../../contract/csv/bytes.js';
import { RFC_4180, type Dialect } from '../../contract/csv/dialect.js';
import type { TargetTable } from './targetTable.js';

const SPACE = 0x20;
const HYPHEN = 0x2d;
const LETTER_T = 0x54;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

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
  { delimiter, quote: mark }: Dialect = RFC_4180,
): boolean {
  if (temporal.length === 0) return true;
  if (mark === undefined) return false;
  // The next one from the cursor on, looked for only when passed.
  let quote = body.indexOf(mark);
  let at = 0;
  while (at < body.length) {
    let field = 0;
    for (const { index, hasDate } of temporal) {
      for (; field < index && at < body.length; field++) at = fieldEnd(body, at, delimiter, mark) + 1;
      if (!isPlain(body, body[at] === mark ? at + 1 : at, hasDate, delimiter, mark)) return false;
    }
    at = fieldEnd(body, at, delimiter, mark);
    let lineFeed = body.indexOf(LF, at);
    // From the end of a field on, a quote opens another one, in which line feeds end no row.
    for (;;) {
      if (quote !== -1 && quote < at) quote = body.indexOf(mark, at);
      if (lineFeed === -1 || quote === -1 || quote > lineFeed) break;
      at = fieldEnd(body, quote, delimiter, mark);
      lineFeed = body.indexOf(LF, at);
    }
    if (lineFeed === -1) return true;
    at = lineFeed + 1;
  }
  return true;
}

/** Where the field that starts here ends: at a comma, a line break, or the end. */
function fieldEnd(body: Buffer, start: number, delimiter: number, quote: number): number {
  let at = start;
  if (body[at] === quote) {
    for (at++; at < body.length; at++) {
      if (body[at] !== quote) continue;
      if (body[at + 1] !== quote) break;
      at++;
    }
  }
  for (; at < body.length; at++) {
    const byte = body[at];
    if (byte === delimiter || byte === LF || byte === CR) break;
  }
  return at;
}

function isPlain(body: Buffer, at: number, hasDate: boolean, delimiter: number, quote: number): boolean {
  const endsField = (byte: number | undefined): boolean =>
    byte === undefined || byte === delimiter || byte === LF || byte === CR || byte === quote;
  if (endsField(body[at])) return true;
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
  return endsField(next) || ((next === LETTER_T || next === SPACE) && isDigit(body[at + 11]));
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= DIGIT_0 && byte <= DIGIT_9;
}
