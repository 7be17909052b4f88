import { CR, LF, QUOTE, COMMA } from '../../../contract/csv/bytes.js';
import type { Dialect } from '../../../contract/csv/dialect.js';
import type { FeedFormat } from '../../../contract/feeds/feed.js';
import type { Records } from '../staged/records.js';

/** How records travel to the stage: as COPY reads them. Mostly that is how the file has them. */
export interface Wire {
  readonly delimiter: number;
  readonly quote: number;
  readonly nullText: string;
  /** COPY may read something else than the feed means: records are looked at, and some are written anew. */
  readonly isRewritten: boolean;
  /** Whether a record must be written anew, field by field, for COPY to read what the feed means. */
  readonly needsRewriting: (body: Buffer, start: number, end: number) => boolean;
}

/** Control characters that are in hardly any text; a record that has the quote is written anew. */
const RARE_QUOTE = 0x01;
const RARE_DELIMITER = 0x02;

export function wireOf({ type, nulls }: FeedFormat, { delimiter, quote }: Dialect): Wire {
  const [nullText] = nulls;
  if (type === 'csv' && quote !== undefined) {
    const passes = nulls.length === 1 && nullText !== undefined && !nullText.includes(String.fromCharCode(quote));
    if (passes) return { delimiter, quote, nullText, isRewritten: false, needsRewriting: () => false };
    return { delimiter: COMMA, quote: QUOTE, nullText: '', isRewritten: true, needsRewriting: () => true };
  }
  if (type === 'csv') {
    const rare = delimiter === RARE_QUOTE ? RARE_DELIMITER : RARE_QUOTE;
    if (nulls.length !== 1 || nullText === undefined)
      return { delimiter, quote: rare, nullText: '', isRewritten: true, needsRewriting: () => true };
    return { delimiter, quote: rare, nullText, isRewritten: true, needsRewriting: holds(rare) };
  }
  return {
    delimiter: RARE_DELIMITER,
    quote: RARE_QUOTE,
    nullText: '',
    isRewritten: true,
    needsRewriting: holds(RARE_QUOTE, RARE_DELIMITER),
  };
}

/** Whether a record without quotes has one of these bytes, or a carriage return, which COPY wants quoted. */
function holds(...bytes: readonly number[]): Wire['needsRewriting'] {
  return (body, start, end) => {
    for (let at = start; at < end; at++) {
      const byte = body[at];
      if (byte === CR || bytes.includes(byte ?? -1)) return true;
    }
    return false;
  };
}

/** What a record has in front of its fields. */
type Prefix = (ordinal: number) => readonly (number | string)[];

/** These records behind their prefixes, in chunks of about so many bytes; line ends become LF. */
export function* wireChunks(
  records: Records,
  ordinals: Iterable<number>,
  { wire, dialect, nulls }: { readonly wire: Wire; readonly dialect: Dialect; readonly nulls: readonly string[] },
  prefixOf: Prefix,
  chunkBytes: number,
): Generator<Buffer> {
  let chunk = Buffer.allocUnsafe(chunkBytes);
  let at = 0;
  const separator = String.fromCharCode(wire.delimiter);
  for (const ordinal of ordinals) {
    const { part, frame } = records.at(ordinal);
    const prefix = prefixOf(ordinal).join(separator);
    const isRewritten = wire.needsRewriting(part.body, frame.start, frame.end);
    const record = isRewritten ? rewrite(part.body.subarray(frame.start, frame.end), dialect, wire, nulls) : undefined;
    const length = prefix.length + 2 + (record?.length ?? frame.end - frame.start);
    if (at + length > chunk.length) {
      if (at > 0) yield chunk.subarray(0, at);
      chunk = Buffer.allocUnsafe(Math.max(chunkBytes, length));
      at = 0;
    }
    at += chunk.write(prefix, at, 'latin1');
    chunk[at++] = wire.delimiter;
    at += record === undefined ? part.body.copy(chunk, at, frame.start, frame.end) : record.copy(chunk, at);
    chunk[at++] = LF;
  }
  if (at > 0) yield chunk.subarray(0, at);
}

/** A record of the feed's dialect as COPY reads it on the wire: the same fields, quoted where that is needed. */
export function rewrite(
  record: Buffer,
  { kind, delimiter, quote }: Dialect,
  wire: Wire,
  nulls: readonly string[],
): Buffer {
  const pieces: Buffer[] = [];
  const separator = Buffer.from([wire.delimiter]);
  let start = 0;
  for (;;) {
    const isQuoted = quote !== undefined && record[start] === quote;
    const end = kind === 'lines' ? record.length : fieldEnd(record, start, delimiter, isQuoted ? quote : undefined);
    const field = record.subarray(start, end);
    // One byte a character, in whatever encoding: what is asked about is ASCII, and the bytes come back as they were.
    const text = isQuoted ? unquote(field.toString('latin1'), String.fromCharCode(quote)) : field.toString('latin1');
    const isNull = !isQuoted && kind === 'csv' && nulls.includes(text);
    pieces.push(Buffer.from(isNull ? wire.nullText : requote(text, wire), 'latin1'));
    if (end >= record.length) return Buffer.concat(pieces);
    pieces.push(separator);
    start = end + 1;
  }
}

function fieldEnd(record: Buffer, start: number, delimiter: number, quote: number | undefined): number {
  let from = start;
  if (quote !== undefined)
    for (from = start + 1; from < record.length; from++) {
      if (record[from] !== quote) continue;
      from++;
      if (record[from] !== quote) break;
    }
  const end = record.indexOf(delimiter, from);
  return end === -1 ? record.length : end;
}

function unquote(text: string, quote: string): string {
  return text.slice(1, -1).replaceAll(quote + quote, quote);
}

function requote(text: string, { quote, delimiter, nullText }: Wire): string {
  const [mark, separator] = [String.fromCharCode(quote), String.fromCharCode(delimiter)];
  const isBare = text !== nullText && !text.includes(mark) && !text.includes(separator) && !/[\r\n]/.test(text);
  return isBare ? text : `${mark}${text.replaceAll(mark, mark + mark)}${mark}`;
}
