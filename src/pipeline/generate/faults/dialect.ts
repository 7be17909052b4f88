import { gzipSync } from 'node:zlib';
import { EVENT_COLUMNS, REQUIRED_COLUMNS, type EventColumn } from '../../../contract/columns.js';
import type { Random } from '../random.js';
import type { FileFaults } from './kinds.js';
import { INDEX, renderFields } from './record.js';

/** How a file writes the rows: its header, its columns, its line ends, its encoding. */
export interface OutputDialect {
  readonly header: Buffer;
  readonly lineEnd: string;
  /** Ending of the file's name. */
  readonly ending: '.csv' | '.csv.gz';
  /** Renders a row without its line's end; undefined when rows are written as they come. */
  readonly render: ((fields: readonly string[]) => string) | undefined;
  /** Fields as they arrive in the table: columns that the file leaves out are NULL. */
  readonly arriving: (fields: readonly string[]) => readonly string[];
  /** Encodes bytes that end where a row ends. */
  readonly encode: (bytes: Buffer, isLast: boolean) => Buffer;
}

/** Columns that no type of event needs. */
const OPTIONAL_COLUMNS = [
  'device',
  'country',
  'traffic_source',
  'page_url',
  'coupon',
  'payment_type',
] as const satisfies readonly EventColumn[];

export function dialectOf({ main, lines }: FileFaults, random: Random): OutputDialect {
  const lineEnd = lines.includes('crlf') ? '\r\n' : '\n';
  const columns = columnsOf(main, random);
  const delimiter = main === 'other-delimiter' ? ';' : ',';
  const names = columns.map(({ name }) => name).join(delimiter);
  const bom = lines.includes('bom') ? '\ufeff' : '';
  const isPlain =
    columns.every(({ name, from }, index) => name === EVENT_COLUMNS[index] && from === index) &&
    columns.length === EVENT_COLUMNS.length &&
    delimiter === ',';
  const present = new Set(columns.map(({ from }) => from));
  return {
    header: Buffer.from(`${bom}${names}${lineEnd}`),
    lineEnd,
    ending: main === 'truncated-gzip' ? '.csv.gz' : '.csv',
    render: isPlain
      ? undefined
      : (fields) =>
          renderFields(
            columns.map(({ from }) => fields[from] ?? ''),
            delimiter,
          ),
    arriving: (fields) => fields.map((field, index) => (present.has(index) ? field : '')),
    encode: encoderOf(main),
  };
}

interface OutputColumn {
  readonly name: string;
  /** Index of the value among EVENT_COLUMNS; −1: empty. */
  readonly from: number;
}

function columnsOf(main: FileFaults['main'], random: Random): OutputColumn[] {
  const all: OutputColumn[] = EVENT_COLUMNS.map((name, from) => ({ name, from }));
  const without = (name: EventColumn): OutputColumn[] => all.filter((column) => column.name !== name);
  switch (main) {
    case 'reordered-columns':
      return shuffled(all, random);
    case 'missing-optional-column':
      return without(random.pick(OPTIONAL_COLUMNS));
    case 'missing-required-column':
      return without(random.pick(REQUIRED_COLUMNS));
    case 'unknown-column':
      return [...all, { name: 'utm_campaign', from: -1 }];
    case 'duplicate-column':
      return [...all, { name: 'country', from: INDEX.country }];
    case 'renamed-column':
      return all.map(({ name, from }) => ({ name: name === 'price' ? 'unit_price' : name, from }));
    default:
      return all;
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [result[last], result[other]] = [result[other] as T, result[last] as T];
  }
  return result;
}

function encoderOf(main: FileFaults['main']): OutputDialect['encode'] {
  let isFirst = true;
  switch (main) {
    case 'utf-16':
      return (bytes) => {
        const text = Buffer.from(bytes.toString('utf8'), 'utf16le');
        const encoded = isFirst ? Buffer.concat([Buffer.from([0xff, 0xfe]), text]) : text;
        isFirst = false;
        return encoded;
      };
    case 'truncated-gzip':
      // A gzip file may consist of members (RFC 1952 §2.2), so that each chunk is compressed on its own. Stored, not
      // deflated: the bytes of a compressor may change with its version.
      return (bytes, isLast) => {
        const member = gzipSync(bytes, { level: 0 });
        // The operating system of the compressor: "unknown" everywhere.
        member[9] = 0xff;
        return isLast ? member.subarray(0, Math.floor(member.length / 2)) : member;
      };
    default:
      return (bytes) => bytes;
  }
}
