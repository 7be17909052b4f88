import { parse } from 'csv-parse/sync';
import { CR, LF, MAX_RECORD_BYTES } from '../csv/bytes.js';
import { assertHeaderSize, UnreadableFile, UTF16_MARKS, UTF8_BOM, type Header } from '../csv/header.js';
import { bindFeed, dialectOf, type BoundFeed } from './bindFeed.js';
import { decode } from './encodings.js';
import type { Feed } from './feed.js';

/** The files of a feed begin alike; what is made of them once is the same value again, so that batches can tell. */
const bound = new WeakMap<Feed, Map<string, BoundFeed>>();

/** So many headers are kept: each file of a hostile producer may have another one. */
const MAX_BOUND = 100;

/**
 * Reads the beginning of a file by a feed, from its first bytes (all of it, or at least MAX_RECORD_BYTES).
 * @param sqlFields fields that its SQL needs, as the server reports them.
 * @returns undefined for a file without a header where one is expected: a file without rows.
 * @throws UnreadableFile when no record of the file could mean anything.
 */
export function parseFeedHeader(start: Buffer, feed: Feed, sqlFields: readonly string[]): Header | undefined {
  if (UTF16_MARKS.some((mark) => start.subarray(0, 2).equals(mark)))
    throw new UnreadableFile('the file is UTF-16; convert it to utf-8 first (iconv -f utf-16 -t utf-8)');
  let at = start.subarray(0, 3).equals(UTF8_BOM) ? 3 : 0;
  for (let line = 0; line < feed.format.skip; line++) at = nextLine(start, at, line + 1);
  const { header, skip } = feed.format;
  if (header !== 'fromFile') return headerOf(feed, sqlFields, header, at, skip);
  const found = namesAt(start, at, feed);
  return found === undefined ? undefined : headerOf(feed, sqlFields, found.names, found.end, skip + 1);
}

/** Names of the fields in the first line of a file, as a feed reads it; undefined where there is none. */
export function fieldNamesOf(start: Buffer, feed: Feed): readonly string[] | undefined {
  return namesAt(start, start.subarray(0, 3).equals(UTF8_BOM) ? 3 : 0, feed)?.names;
}

/** The names in the line that begins here, and where the records begin. */
function namesAt(start: Buffer, at: number, feed: Feed): { names: string[]; end: number } | undefined {
  if (at >= start.length) return undefined;
  const lineFeed = start.indexOf(LF, at);
  const end = lineFeed === -1 ? start.length : lineFeed;
  const names = splitNames(start.subarray(at, start[end - 1] === CR ? end - 1 : end), feed);
  return { names, end: lineFeed === -1 ? start.length : lineFeed + 1 };
}

function nextLine(start: Buffer, at: number, line: number): number {
  const lineFeed = start.indexOf(LF, at);
  if (lineFeed === -1 && start.length > MAX_RECORD_BYTES)
    throw new UnreadableFile(`line ${line} does not end within 1 MiB`);
  return lineFeed === -1 ? start.length : lineFeed + 1;
}

function headerOf(
  feed: Feed,
  sqlFields: readonly string[],
  names: readonly string[],
  length: number,
  lines: number,
): Header {
  const key = JSON.stringify(names);
  const known = bound.get(feed) ?? new Map<string, BoundFeed>();
  const found = known.get(key) ?? bindFeed(feed, names, sqlFields);
  if (known.size >= MAX_BOUND) known.clear();
  bound.set(feed, known.set(key, found));
  return {
    columns: found.direct ?? feed.columns.map(({ name }) => name),
    dialect: dialectOf(feed),
    fieldCount: names.length,
    feed: found,
    length,
    lines,
  };
}

function splitNames(line: Buffer, { format }: Feed): string[] {
  assertHeaderSize(line, format.delimiter.charCodeAt(0), format.quote?.charCodeAt(0));
  let text: string;
  try {
    text = decode(line, format.encoding);
  } catch {
    throw new UnreadableFile(`the header is not ${format.encoding.name}`);
  }
  try {
    const options = {
      delimiter: format.delimiter,
      quote: format.quote ?? false,
      relax_column_count: true,
      record_delimiter: '\n',
    };
    const [names = []] = parse(text, options);
    return names.map((name) => name.trim());
  } catch (error) {
    throw new UnreadableFile(`the header is not CSV: ${error instanceof Error ? error.message : String(error)}`);
  }
}
