import { BUILT_IN, expressionNames, ITEM_NAMES, namedFields, RESERVED_PREFIX, type BoundFeed } from './bindFeed.js';
import type { ColumnSource, Feed, IdPart } from './feed.js';
import { ENDS_WITH_ITEM, quoteText, sameName } from './sqlNames.js';
import { quoteName } from '../../platform/db/names.js';

/** Names of ours among those of the fields, which can't be one. */
const own = (name: string): string => quoteName(`${RESERVED_PREFIX}${name}`);
export const ORDINAL = own('ordinal');
export const PLACE = own('place');
export const DEFECT = own('defect');
export const EVENT_TIME = own('event_time');
const RECORD_NUMBER = own('record_number');
const ITEM_NUMBER = own('item_number');

/** Where the stage of a feed's source has a field of the file. */
export function sourceColumn(index: number): string {
  return `f${index + 1}`;
}

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
  /** Those of all staged records that `where:` wants. For a feed each of whose records is one row, or none. */
  readonly wantedRecords: string;
  /** The same of the rows that are made of the records, where those are not the same. */
  readonly madeRows: (condition: string) => string;
  /** Whether rows and records are not the same. */
  readonly makesRows: boolean;
  /** Whether the relations have the event's time, for ids to begin with. */
  readonly hasTime: boolean;
  readonly where: string | undefined;
  /** The set of `rows:` without its alias. */
  readonly items: string | undefined;
}

export function compileFeed({ feed, fields, unused }: BoundFeed, hasExtra: boolean): CompiledFeed {
  const names = new FieldNames(feed, fields);
  const columns = feed.columns.map(({ name, source }) => compileColumn(feed, names, name, source));
  const keepsRest = feed.unknown === 'keep' && hasExtra && !columns.some(({ name }) => name === 'extra');
  // A column without a name, such as the numbers of rows that pandas writes, has no key either.
  const unusedNames = unused.map((index) => fields[index]?.trim() ?? '').filter((name) => name !== '');
  if (keepsRest && (unusedNames.length > 0 || feed.format.type === 'jsonl'))
    columns.push({
      name: 'extra',
      sql: restOf(feed, names, unusedNames),
      isPlain: false,
      isDerived: false,
      defect: undefined,
    });
  const time = feed.columns.some(({ source }) => source.kind === 'derive') ? timeOf(columns) : undefined;
  const makesRows = feed.where !== undefined || feed.rows !== undefined;
  const withTime = (relation: string, where?: string): string => {
    if (time === undefined && where === undefined) return relation;
    const more = time === undefined ? '' : `, ${time} as ${EVENT_TIME}`;
    return `(select r.*${more} from ${relation}${where === undefined ? '' : ` where (${where}\n)`} offset 0) as r`;
  };
  const records = (condition: string): string =>
    `(select ${[`s.ordinal as ${ORDINAL}`, `s.ctid as ${PLACE}`, `s.record_number as ${RECORD_NUMBER}`, ...names.ofRecords].join(', ')} from pg_temp.ecompipe_source s where ${condition} offset 0) as r`;
  return {
    columns,
    records: (condition) => (makesRows ? records(condition) : withTime(records(condition))),
    wantedRecords: withTime(records('true'), feed.where?.sql),
    madeRows: (condition) =>
      withTime(
        `(select ${[`m.ordinal as ${ORDINAL}`, `m.item_number as ${ITEM_NUMBER}`, `s.record_number as ${RECORD_NUMBER}`, ...names.ofRows].join(', ')} from pg_temp.ecompipe_made m join pg_temp.ecompipe_source s on s.ctid operator(pg_catalog.=) m.place where ${condition} offset 0) as r`,
      ),
    makesRows,
    hasTime: time !== undefined,
    where: feed.where?.sql,
    items: feed.rows?.sql.replace(ENDS_WITH_ITEM, ''),
  };
}

/** The fields of a file under the names that a feed may call them: as the file has them, in small letters, and as the feed writes them. */
class FieldNames {
  private readonly selected = new Map<string, string>();

  constructor(
    private readonly feed: Feed,
    private readonly fields: readonly string[],
  ) {
    const written = [...expressionNames(feed), ...namedFields(feed)];
    const isJson = feed.format.type === 'jsonl';
    const add = (name: string, sql: string): void => {
      if (name !== '' && !this.selected.has(name)) this.selected.set(name, sql);
    };
    for (const isExact of [true, false])
      for (const [index, field] of fields.entries()) {
        const sql = isJson ? `s.${sourceColumn(0)}::pg_catalog.jsonb` : `s.${sourceColumn(index)}`;
        if (isExact) add(field.trim(), sql);
        else
          for (const name of [field.trim().toLowerCase(), ...written.filter((other) => sameName(other, field))])
            add(name, sql);
      }
    add('record_number', 's.record_number');
    const path = '(select p.path from pg_temp.ecompipe_parts p where p.part operator(pg_catalog.=) s.part)';
    add('file_path', path);
    add('file_name', `pg_catalog.regexp_replace(${path}, '^.*/', '')`);
  }

  /** What `where:` and `rows:` can name: a select list. */
  get ofRecords(): readonly string[] {
    return [...this.selected].map(([name, sql]) => `${sql} as ${quoteName(name)}`);
  }

  /** What the columns can name. */
  get ofRows(): readonly string[] {
    if (this.feed.rows === undefined) return this.ofRecords;
    const items = ITEM_NAMES.map((name): [string, string] => [name, `m.${name}`]);
    const hidden = ITEM_NAMES.flatMap((name): [string, string][] => {
      const sql = this.selected.get(name);
      return sql === undefined ? [] : [[hiddenName(name), sql]];
    });
    return [...new Map([...this.selected, ...items, ...hidden])].map(([name, sql]) => `${sql} as ${quoteName(name)}`);
  }

  /** The field of this name, as the relation has it. */
  of(name: string): string {
    if (this.isItem(name)) return `r.${quoteName(name)}`;
    if (BUILT_IN.includes(name) && !this.fields.some((field) => sameName(field, name))) return `r.${quoteName(name)}`;
    const exact =
      this.fields.find((field) => field.trim() === name.trim()) ?? this.fields.find((field) => sameName(field, name));
    return `r.${quoteName((exact ?? name).trim())}`;
  }

  /** As text, which all fields are but the record of a jsonl file, what came from it, and numbers of ours. */
  textOf(name: string): string {
    const isText = this.feed.format.type !== 'jsonl' && !BUILT_IN.includes(name) && !this.isItem(name);
    return isText ? this.of(name) : `(${this.of(name)})::pg_catalog.text`;
  }

  /** The field of this name, also where the columns see an element instead. */
  exactly(name: string): string {
    return `r.${quoteName(this.isItem(name) ? hiddenName(name) : name)}`;
  }

  private isItem(name: string): boolean {
    return this.feed.rows !== undefined && ITEM_NAMES.includes(name);
  }
}

function hiddenName(name: string): string {
  return `${RESERVED_PREFIX}field ${name}`;
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
      ? `r.${RECORD_NUMBER}::pg_catalog.text`
      : `pg_catalog.concat(r.${RECORD_NUMBER}, '.', r.${ITEM_NUMBER})`;
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

function restOf({ format }: Feed, names: FieldNames, unused: readonly string[]): string {
  if (format.type === 'jsonl') return 'r."record"';
  const keys = unused.map(quoteText);
  const values = unused.map((name) => names.exactly(name));
  return `pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_object(array[${keys.join(', ')}], array[${values.join(', ')}]))`;
}
