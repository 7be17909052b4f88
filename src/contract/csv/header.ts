import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import type { BoundFeed } from '../feeds/bindFeed.js';
import { clip, clippedList } from '../../platform/clip.js';
import { countOf } from '../../platform/format.js';
import { COMMA, CR, LF, QUOTE } from './bytes.js';
import { RFC_4180, type Dialect } from './dialect.js';

/** What the columns of a file may be, as its table has it. */
export interface ExpectedColumns {
  readonly known: readonly string[];
  readonly required: readonly string[];
}

/** How the records of a file are cut, and which columns they fill. */
export interface RecordShape {
  readonly columns: readonly string[];
  readonly dialect: Dialect;
  /** Fields of a record. Without a feed those beyond the columns have no name, and must be empty: see {@link unnamedFields}. */
  readonly fieldCount: number;
  /** By which its fields become the columns; undefined: they are the columns. */
  readonly feed: BoundFeed | undefined;
}

/** What the beginning of a file says about the rest. */
export interface Header extends RecordShape {
  /** Bytes before the first data row: byte order mark, header and its line break. */
  readonly length: number;
  readonly lines: number;
}

/** Records whose fields are columns of their table. */
export function canonicalShape(columns: readonly string[]): RecordShape {
  return { columns, dialect: RFC_4180, fieldCount: columns.length, feed: undefined };
}

/** What batches of a file keep of its header. */
export function shapeOf({ columns, dialect, fieldCount, feed }: RecordShape): RecordShape {
  return { columns, dialect, fieldCount, feed };
}

/** How many fields at the end of each record have no name: of a file whose every line ends with a comma, mostly. */
export function unnamedFields({ columns, fieldCount, feed }: RecordShape): number {
  return feed === undefined ? fieldCount - columns.length : 0;
}

/** The columns of a file as the ledger has them: one for each field, `''` where it has no name. */
export function fileColumns(shape: RecordShape): readonly string[] {
  return [...shape.columns, ...Array<string>(unnamedFields(shape)).fill('')];
}

/** Why a file can't be read at all, in no more words than a log, the ledger and `.reason.json` should hold. */
export class UnreadableFile extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(clip(reason), options);
  }
}

/** A table of PostgreSQL has no more columns. */
const MAX_FIELDS = 1600;

/** Room for so many of the longest names of PostgreSQL. Splitting a header takes a microsecond a byte, of everybody's time. */
export const MAX_HEADER_BYTES = 128 * 1024;

/**
 * To be asked before the line is split.
 * @throws UnreadableFile when a header is longer, or has more fields, than any table could take.
 */
export function assertHeaderSize(line: Buffer, delimiter: number, quote: number | undefined): void {
  if (line.length > MAX_HEADER_BYTES)
    throw new UnreadableFile(`the first line is longer than ${MAX_HEADER_BYTES / 1024} KiB`);
  let fields = 1;
  let isQuoted = false;
  for (const byte of line) {
    if (byte === quote) isQuoted = !isQuoted;
    else if (byte === delimiter && !isQuoted) fields++;
  }
  if (fields > MAX_FIELDS)
    throw new UnreadableFile(`the header has ${countOf(fields, 'field')}; a table has at most ${MAX_FIELDS}`);
}

export const UTF8_BOM = Buffer.from([0xef, 0xbb, 0xbf]);
export const UTF16_MARKS = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])];

/**
 * Reads the header from the first bytes of a file (all of it, or at least MAX_HEADER_BYTES and some more).
 * @param expected undefined: any columns will do, as for a file that was loaded before.
 * @returns undefined for an empty file, which is a file without rows.
 * @throws UnreadableFile when no row of the file could mean anything.
 */
export function parseHeader(start: Buffer, expected: ExpectedColumns | undefined): Header | undefined {
  if (UTF16_MARKS.some((mark) => start.subarray(0, 2).equals(mark)) || start.subarray(0, 64).includes(0)) {
    throw new UnreadableFile('the file is UTF-16 or binary; expected UTF-8');
  }
  const skipped = start.subarray(0, 3).equals(UTF8_BOM) ? 3 : 0;
  if (start.length === skipped) return undefined;
  const lineFeed = start.indexOf(LF, skipped);
  const end = lineFeed === -1 ? start.length : lineFeed;
  const line = start.subarray(skipped, start[end - 1] === CR ? end - 1 : end);
  const { columns, fieldCount } = columnsOf(line, expected);
  const length = lineFeed === -1 ? start.length : lineFeed + 1;
  return { ...canonicalShape(columns), fieldCount, length, lines: 1 };
}

/** The files of a feed begin alike, and judging the header is half of what reading a small file costs. */
let last: ({ readonly line: Buffer; readonly expected: ExpectedColumns | undefined } & NamedColumns) | undefined;

type NamedColumns = Pick<RecordShape, 'columns' | 'fieldCount'>;

function columnsOf(line: Buffer, expected: ExpectedColumns | undefined): NamedColumns {
  if (last?.expected !== expected || !last?.line.equals(line))
    last = { line: Buffer.from(line), expected, ...namedColumns(line, expected) };
  return last;
}

/** By the table's own spelling: names match without regard to case and the blanks around them. */
function namedColumns(line: Buffer, expected: ExpectedColumns | undefined): NamedColumns {
  assertHeaderSize(line, COMMA, QUOTE);
  if (line.includes(CR)) throw new UnreadableFile('lines end in bare carriage returns; expected LF or CRLF');
  if (!isUtf8(line)) throw new UnreadableFile('the header is not UTF-8');
  const matcher = new NameMatcher(expected?.known ?? []);
  const fields = splitHeader(line).map((name) => matcher.match(name));
  const names = fields.slice(0, fields.findLastIndex((name) => name !== '') + 1);
  const found = new Set(names);
  const known = new Set(expected?.known);
  const unknown = expected === undefined ? [] : names.filter((name) => !known.has(name));
  const missing = (expected?.required ?? []).filter((name) => !found.has(name));
  const problems = [
    missing.length > 0 ? `required column missing: ${missing.join(', ')}` : undefined,
    unknown.length > 0 ? `unknown column: ${clippedList(unknown, JSON.stringify)}` : undefined,
    found.size < names.length ? `column named twice: ${clippedList(repeatedOf(names))}` : undefined,
  ].filter((problem) => problem !== undefined);
  if (problems.length > 0) throw new UnreadableFile(`${problems.join('; ')}${delimiterHint(line, names)}`);
  return { columns: names, fieldCount: fields.length };
}

/** Finds the column that a name in a header means. Linear in the names, however many the header and the table have. */
class NameMatcher {
  private readonly exact: ReadonlySet<string>;
  /** By the lower-case name; undefined: a table may have columns that differ by case alone, and then the file must say which. */
  private readonly alike = new Map<string, string | undefined>();

  constructor(known: readonly string[]) {
    this.exact = new Set(known);
    for (const column of known) {
      const plain = column.toLowerCase();
      this.alike.set(plain, this.alike.has(plain) ? undefined : column);
    }
  }

  match(name: string): string {
    if (this.exact.has(name)) return name;
    const plain = name.trim().toLowerCase();
    return this.alike.get(plain) ?? (this.exact.size === 0 ? plain : name.trim());
  }
}

function repeatedOf(names: readonly string[]): string[] {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const name of names) (seen.has(name) ? repeated : seen).add(name);
  return [...repeated];
}

function splitHeader(line: Buffer): string[] {
  try {
    const [names = []] = parse(line, { relax_column_count: true });
    return names;
  } catch (error) {
    throw new UnreadableFile(`the header is not CSV: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function delimiterHint(line: Buffer, names: readonly string[]): string {
  if (names.length > 1) return '';
  const other = [';', '\t', '|'].find((delimiter) => line.includes(delimiter));
  return other === undefined ? '' : ` (the delimiter seems to be ${JSON.stringify(other)}; expected a comma)`;
}
