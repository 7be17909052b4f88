import { elementAt } from '../../platform/elementAt.js';
import { BUILT_IN, expressionNames, namedFields, type BoundFeed } from './bindFeed.js';
import { ENDS_WITH_ITEM } from './parseFeed.js';
import type { ColumnSource, Feed, IdPart } from './feed.js';
import { sameName } from './parseFormat.js';
import { quoteText } from './sqlNames.js';
import { quoteName } from '../../platform/db/names.js';

/** Names of ours among those of the fields, which can't be one. */
export const ORDINAL = quoteName('ecompipe#ordinal');
const EVENT_TIME = quoteName('ecompipe#event_time');

/** A column of the table as an expression over the fields, and what can be known to be wrong with a field before it fails. */
export interface CompiledColumn {
  readonly name: string;
  readonly sql: string;
  /** Whether it is the text of a field as it is. */
  readonly isPlain: boolean;
  /** Made of another column, which is to blame first for what is wrong with both. */
  readonly isDerived: boolean;
  /** Conditions that are true of a record that can't have the column, each with what is wrong. */
  readonly defect: { readonly condition: string; readonly sqlState: string; readonly message: string } | undefined;
}

/** A feed for one header as pieces of SQL. */
export interface CompiledFeed {
  readonly columns: readonly CompiledColumn[];
  /** Fields of the staged records (`s`) for which this is true, under all names that the feed may call them, as a relation `r`. */
  readonly records: (condition: string) => string;
  /** The same of the rows that are made of the records, where those are not the same. */
  readonly madeRows: (condition: string) => string;
  /** Whether rows and records are not the same. */
  readonly makesRows: boolean;
  readonly where: string | undefined;
  /** The set of `rows:` without its alias. */
  readonly items: string | undefined;
}

export function compileFeed({ feed, fields, unused }: BoundFeed, hasExtra: boolean): CompiledFeed {
  const names = new FieldNames(feed, fields);
  const columns = feed.columns.map(({ name, source }) => compileColumn(feed, names, name, source));
  const keepsRest = feed.unknown === 'keep' && hasExtra && !columns.some(({ name }) => name === 'extra');
  if (keepsRest && (unused.length > 0 || feed.format.type === 'jsonl'))
    columns.push({
      name: 'extra',
      sql: restOf(feed, fields, unused),
      isPlain: false,
      isDerived: false,
      defect: undefined,
    });
  const time = feed.columns.some(({ source }) => source.kind === 'derive') ? timeOf(columns) : undefined;
  const makesRows = feed.where !== undefined || feed.rows !== undefined;
  // Of what becomes of a record by `rows:` the time may be another one each.
  const withTime = (relation: string, isRow = true): string =>
    time === undefined || !isRow ? relation : `(select r.*, ${time} as ${EVENT_TIME} from ${relation} offset 0) as r`;
  return {
    columns,
    records: (condition) =>
      withTime(
        `(select ${[`s.ordinal as ${ORDINAL}`, 's.ctid as "ecompipe#place"', ...names.selected].join(', ')} from pg_temp.ecompipe_source s where ${condition} offset 0) as r`,
        !makesRows,
      ),
    madeRows: (condition) =>
      withTime(
        `(select ${[`m.ordinal as ${ORDINAL}`, ...names.selected, ...ITEM_NAMES].join(', ')} from pg_temp.ecompipe_made m join pg_temp.ecompipe_source s on s.ctid operator(pg_catalog.=) m.place where ${condition} offset 0) as r`,
      ),
    makesRows,
    where: feed.where?.sql,
    items: feed.rows?.sql.replace(ENDS_WITH_ITEM, ''),
  };
}

const ITEM_NAMES = ['m.item as "item"', 'm.item_number as "item_number"'];

/** The fields of a file under the names that a feed may call them: as the file has them, in small letters, and as the feed writes them. */
class FieldNames {
  readonly selected: readonly string[];

  constructor(
    private readonly feed: Feed,
    private readonly fields: readonly string[],
  ) {
    const written = [...expressionNames(feed), ...namedFields(feed)];
    const isJson = feed.format.type === 'jsonl';
    const taken = new Set<string>();
    const selected: string[] = [];
    const add = (name: string, sql: string): void => {
      if (taken.has(name) || name === '') return;
      taken.add(name);
      selected.push(`${sql} as ${quoteName(name)}`);
    };
    for (const isExact of [true, false])
      for (const [index, field] of fields.entries()) {
        const sql = isJson ? 's.f1::pg_catalog.jsonb' : `s.f${index + 1}`;
        if (isExact) add(field.trim(), sql);
        else
          for (const name of [field.trim().toLowerCase(), ...written.filter((other) => sameName(other, field))])
            add(name, sql);
      }
    add('record_number', 's.record_number');
    const path = '(select p.path from pg_temp.ecompipe_parts p where p.part operator(pg_catalog.=) s.part)';
    add('file_path', path);
    add('file_name', `pg_catalog.regexp_replace(${path}, '^.*/', '')`);
    this.selected = selected;
  }

  /** The field of this name, as the relation has it. */
  of(name: string): string {
    if (BUILT_IN.includes(name) && !this.fields.some((field) => sameName(field, name))) return `r.${quoteName(name)}`;
    const exact =
      this.fields.find((field) => field.trim() === name.trim()) ?? this.fields.find((field) => sameName(field, name));
    return `r.${quoteName((exact ?? name).trim())}`;
  }

  /** As text, which all fields are but the record of a jsonl file, what came from it, and numbers of ours. */
  textOf(name: string): string {
    const isText = this.feed.format.type !== 'jsonl' && !BUILT_IN.includes(name);
    return isText ? this.of(name) : `(${this.of(name)})::pg_catalog.text`;
  }
}

function compileColumn(feed: Feed, names: FieldNames, name: string, source: ColumnSource): CompiledColumn {
  const column = (sql: string, defect?: CompiledColumn['defect']): CompiledColumn => ({
    name,
    sql,
    isPlain: source.kind === 'field',
    isDerived: source.kind === 'derive',
    defect,
  });
  switch (source.kind) {
    case 'field':
      return column(names.textOf(source.from));
    case 'value':
      return column(
        source.value === null ? 'null::pg_catalog.text' : `${quoteText(String(source.value))}::pg_catalog.text`,
      );
    case 'sql':
      return column(`(${source.sql}\n)`);
    case 'map':
      return column(
        mapSql(name, names.textOf(source.from), source),
        mapDefect(name, names.textOf(source.from), source),
      );
    case 'time':
      return column(
        timeSql(name, names.textOf(source.from), source),
        timeDefect(name, names.textOf(source.from), source),
      );
    case 'derive':
      return column(deriveSql(feed, names, source));
  }
}

type MapSource = Extract<ColumnSource, { kind: 'map' }>;
type TimeSource = Extract<ColumnSource, { kind: 'time' }>;

function notInMap(name: string, field: string): string {
  return `pg_catalog.concat(${quoteText(`${name} `)}, pg_catalog.to_json(pg_catalog."left"(${field}, 100)), ' is not in the map')`;
}

function mapSql(name: string, field: string, { map, otherwise }: MapSource): string {
  const literal = (value: string | null): string => (value === null ? 'null' : quoteText(value));
  const ofNull = map.find(([text]) => text === '');
  const cases = map
    .filter(([text]) => text !== '')
    .map(([text, value]) => `when ${quoteText(text)} then ${literal(value)}`);
  const other = { keep: field, null: 'null', reject: `ecompipe.refuse(${notInMap(name, field)}, '22023')` }[otherwise];
  const known = cases.length === 0 ? other : `case ${field} ${cases.join(' ')} else ${other} end`;
  return `(case when ${field} is null then ${literal(ofNull?.[1] ?? null)} else ${known} end)::pg_catalog.text`;
}

function mapDefect(name: string, field: string, { map, otherwise }: MapSource): CompiledColumn['defect'] {
  if (otherwise !== 'reject') return undefined;
  const known = map.filter(([text]) => text !== '').map(([text]) => quoteText(text));
  const condition = known.length === 0 ? `${field} is not null` : `${field} not in (${known.join(', ')})`;
  return { condition, sqlState: '22023', message: notInMap(name, field) };
}

/** A zone, or a distance from UTC, after a time of day. */
const HAS_ZONE = `'\\d:\\d\\d(?::\\d\\d(?:[.,]\\d+)?)?\\s*(?:[A-Za-z]+(?:[/_][A-Za-z]+)*|[+-]\\d\\d(?::?\\d\\d)?)\\s*$'`;
const IS_ISO = `'^\\s*\\d{4}-\\d\\d-\\d\\d|^\\s*\\d{8}T\\d'`;
const IS_NUMBER = `'^\\s*[+-]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][+-]?\\d+)?\\s*$'`;

function notATime(name: string, field: string, expected: string): string {
  return `pg_catalog.concat(${quoteText(`${name} `)}, pg_catalog.to_json(pg_catalog."left"(${field}, 100)), ${quoteText(` is not ${expected}`)})`;
}

function timeSql(name: string, field: string, { format, zone }: TimeSource): string {
  const zoned = (local: string): string => `pg_catalog.timezone(${quoteText(zone)}, ${local})`;
  switch (format.kind) {
    case 'epoch-s':
    case 'epoch-ms':
    case 'epoch-us': {
      const divisor = { 'epoch-s': '', 'epoch-ms': ' / 1000', 'epoch-us': ' / 1000000' }[format.kind];
      return `pg_catalog.to_timestamp(${field}::pg_catalog.float8${divisor})`;
    }
    case 'iso': {
      const local = zoned(`${field}::pg_catalog.timestamp`);
      const parsed =
        zone === 'UTC'
          ? `${field}::pg_catalog.timestamptz`
          : `case when ${field} ~ ${HAS_ZONE} then ${field}::pg_catalog.timestamptz else ${local} end`;
      const refused = `ecompipe.refuse(${notATime(name, field, 'an ISO 8601 time')}, '22007')::pg_catalog.timestamptz`;
      // Most have a hyphen there; what has not takes a closer look.
      return `(case when ${field} is null then null when pg_catalog.substr(${field}, 5, 1) = '-' or ${field} ~ ${IS_ISO} then ${parsed} else ${refused} end)`;
    }
    case 'pattern': {
      const parsed = `pg_catalog.to_timestamp(${field}, ${quoteText(format.pattern)})`;
      const namesZone = /T[ZH]|OF/i.test(format.pattern.replaceAll(/"[^"]*"/g, ''));
      return zone === 'UTC' || namesZone ? parsed : zoned(`${parsed}::pg_catalog.timestamp`);
    }
  }
}

function timeDefect(name: string, field: string, { format }: TimeSource): CompiledColumn['defect'] {
  if (format.kind === 'pattern') return undefined;
  const isIso = format.kind === 'iso';
  const expected = isIso
    ? 'an ISO 8601 time'
    : `a number of ${{ 'epoch-s': 'seconds', 'epoch-ms': 'milliseconds', 'epoch-us': 'microseconds' }[format.kind]}`;
  return {
    condition: `${field} !~ ${isIso ? IS_ISO : IS_NUMBER}`,
    sqlState: '22007',
    message: notATime(name, field, expected),
  };
}

function deriveSql(
  feed: Feed,
  names: FieldNames,
  { parts, repeats }: Extract<ColumnSource, { kind: 'derive' }>,
): string {
  const textOf = (part: IdPart): string =>
    'sql' in part ? `(${part.sql}\n)::pg_catalog.text` : names.textOf(part.field);
  const number =
    feed.rows === undefined
      ? 'r."record_number"::pg_catalog.text'
      : `pg_catalog.concat(r."record_number", '.', r."item_number")`;
  const occurrence = repeats === 'distinct' ? number : 'null';
  return `ecompipe.derive_id(r.${EVENT_TIME}, ${quoteText(feed.name)}, array[${parts.map(textOf).join(', ')}]::pg_catalog.text[], ${occurrence})`;
}

/** The row's time, of which an id that is derived begins. */
function timeOf(columns: readonly CompiledColumn[]): string {
  const time = columns.find(({ name }) => name === 'event_time');
  if (time === undefined) return 'null::pg_catalog.timestamptz';
  return time.isPlain
    ? `ecompipe.plain_date(${time.sql})::pg_catalog.timestamptz`
    : `(${time.sql})::pg_catalog.timestamptz`;
}

function restOf({ format }: Feed, fields: readonly string[], unused: readonly number[]): string {
  if (format.type === 'jsonl') return 'r."record"';
  const keys = unused.map((index) => quoteText(elementAt(fields, index)));
  const values = unused.map((index) => `r.${quoteName(elementAt(fields, index).trim())}`);
  return `pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_object(array[${keys.join(', ')}], array[${values.join(', ')}]))`;
}
