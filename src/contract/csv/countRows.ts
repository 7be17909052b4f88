import { BACKSLASH, CR, DOT, LF, MAX_RECORD_BYTES } from './bytes.js';
import { RFC_4180, type Dialect } from './dialect.js';

/** What a quick look at some bytes says about their rows. */
export interface RowCount {
  /** The bytes are plain RFC 4180 as far as rows go, so that COPY and we agree on where they end. */
  readonly plain: boolean;
  /** End of the last whole row, relative to the buffer. */
  readonly end: number;
  readonly rows: number;
  /** Physical lines within the rows; more than `rows` when quoted fields hold line breaks. */
  readonly lines: number;
}

const NOT_PLAIN: RowCount = { plain: false, end: 0, rows: 0, lines: 0 };

/**
 * Counts rows by looking only at line feeds and quotes, at gigabytes a second: `indexOf` is native code. Starts at a row
 * and leaves an unfinished last row to the next call, unless `atEof`; and all rows after the first `maxRows`.
 *
 * Anything that COPY and RFC 4180 could see differently makes the bytes not plain: a quote inside an unquoted field (COPY
 * takes it as an opening quote), text after a closing quote, an empty line, a carriage return that ends no line, `\.` at the
 * start of a line (COPY's end of data before PostgreSQL 18, even inside quotes). frameRecords then looks at every byte.
 * What is not looked at here (field counts, mixed line ends, encoding) makes COPY itself fail. Bytes without quotes are
 * never plain: COPY always knows one.
 */
export function countRows(
  buffer: Buffer,
  atEof: boolean,
  maxRows = Infinity,
  { quote: quoteByte, delimiter }: Dialect = RFC_4180,
): RowCount {
  if (quoteByte === undefined || hasEndMarker(buffer)) return NOT_PLAIN;
  let rows = 0;
  let lines = 0;
  let rowStart = 0;
  let quotedLines = 0;
  // The next of each from the cursor on; looked for only when passed, or rows of many fields would take quadratic time.
  let lineFeed = buffer.indexOf(LF);
  let quote = buffer.indexOf(quoteByte);
  let carriageReturn = buffer.indexOf(CR);
  for (;;) {
    if (quote !== -1 && (lineFeed === -1 || quote < lineFeed)) {
      if ((quote !== rowStart && buffer[quote - 1] !== delimiter) || (carriageReturn !== -1 && carriageReturn < quote))
        return NOT_PLAIN;
      const close = closingQuote(buffer, quote, quoteByte);
      if (close === -1 || close + 1 >= buffer.length || (buffer[close + 1] === CR && close + 2 >= buffer.length)) break;
      if (!endsField(buffer, close + 1, delimiter)) return NOT_PLAIN;
      for (; lineFeed !== -1 && lineFeed < close; lineFeed = buffer.indexOf(LF, lineFeed + 1)) quotedLines++;
      quote = buffer.indexOf(quoteByte, close + 1);
      if (carriageReturn !== -1 && carriageReturn < close) carriageReturn = buffer.indexOf(CR, close);
      continue;
    }
    if (lineFeed === -1) break;
    const isCrlf = carriageReturn !== -1 && carriageReturn < lineFeed;
    const length = lineFeed - rowStart - (isCrlf ? 1 : 0);
    if (length === 0 || length >= MAX_RECORD_BYTES || (isCrlf && carriageReturn !== lineFeed - 1)) return NOT_PLAIN;
    rows++;
    lines += 1 + quotedLines;
    quotedLines = 0;
    rowStart = lineFeed + 1;
    if (rows >= maxRows) return { plain: true, end: rowStart, rows, lines };
    lineFeed = buffer.indexOf(LF, rowStart);
    if (isCrlf) carriageReturn = buffer.indexOf(CR, rowStart);
  }
  const rest = buffer.length - rowStart;
  // The last bytes of a file are few: let the careful splitter judge them where a quote is involved.
  if (rest >= MAX_RECORD_BYTES || (atEof && rest > 0 && (quote !== -1 || carriageReturn !== -1))) return NOT_PLAIN;
  return atEof && rest > 0
    ? { plain: true, end: buffer.length, rows: rows + 1, lines: lines + quotedLines + 1 }
    : { plain: true, end: rowStart, rows, lines };
}

/** The quote that closes the field opened at `open`; doubled quotes are data. -1 when it is not in the buffer. */
function closingQuote(buffer: Buffer, open: number, quote: number): number {
  for (let at = buffer.indexOf(quote, open + 1); at !== -1; at = buffer.indexOf(quote, at + 2)) {
    if (buffer[at + 1] !== quote) return at;
  }
  return -1;
}

function endsField(buffer: Buffer, at: number, delimiter: number): boolean {
  const byte = buffer[at];
  return byte === delimiter || byte === LF || (byte === CR && buffer[at + 1] === LF);
}

function hasEndMarker(buffer: Buffer): boolean {
  for (let at = buffer.indexOf('\\.'); at !== -1; at = buffer.indexOf('\\.', at + 1)) {
    if (isEndMarker(buffer, at)) return true;
  }
  return false;
}

/** `\.` at the start of a line. Whether the line ends after it does not matter: rare enough to be careful. */
export function isEndMarker(buffer: Buffer, at: number): boolean {
  return (
    buffer[at] === BACKSLASH && buffer[at + 1] === DOT && (at === 0 || buffer[at - 1] === LF || buffer[at - 1] === CR)
  );
}
