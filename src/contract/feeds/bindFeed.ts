import { elementAt } from '../../platform/elementAt.js';
import { clippedList } from '../../platform/clip.js';
import { countOf } from '../../platform/format.js';
import type { Dialect } from '../csv/dialect.js';
import { UnreadableFile } from '../csv/header.js';
import type { ColumnSource, Feed } from './feed.js';
import { ENDS_WITH_ITEM, namesIn, sameName } from './sqlNames.js';

/** A feed for files of one header: which fields it finds in them, and what that means for loading. */
export interface BoundFeed {
  readonly feed: Feed;
  /** Names of the fields, in order, as the file has them. */
  readonly fields: readonly string[];
  /** Fields that no column uses. */
  readonly unused: readonly number[];
  /** Where every field is a column as it is: those columns, in the order of the file, for COPY. */
  readonly direct: readonly string[] | undefined;
}

/** Columns of a temporary table; PostgreSQL has room for some more. */
const MAX_FIELDS = 1500;

/**
 * Finds a feed's fields in a file's header.
 * @param sqlFields fields that its SQL needs, as the server reports them.
 * @throws UnreadableFile when one is missing, or there are others and the feed wants none.
 */
export function bindFeed(feed: Feed, fields: readonly string[], sqlFields: readonly string[]): BoundFeed {
  if (fields.length > MAX_FIELDS)
    throw new UnreadableFile(`${countOf(fields.length, 'field')}; at most ${MAX_FIELDS} can be loaded`);
  const reserved = fields.find((field) => field.trim().toLowerCase().startsWith(RESERVED_PREFIX));
  if (reserved !== undefined)
    throw new UnreadableFile(`field ${JSON.stringify(reserved)}: names beginning with ${RESERVED_PREFIX} are taken`);
  const wanted = namedFields(feed);
  const missing = [...new Set([...wanted, ...sqlFields])].filter(
    (name) => !fields.some((field) => sameName(field, name)),
  );
  if (missing.length > 0)
    throw new UnreadableFile(
      `feed ${feed.name} needs ${missing.length === 1 ? 'a field' : 'fields'} that the file does not have: ${clippedList(missing)}`,
    );
  const inSql = new Set([...expressionNames(feed)].map((name) => name.trim().toLowerCase()));
  const plain = namesOutsideSql(feed);
  const isUsed = (field: string): boolean =>
    plain.some((name) => sameName(name, field)) || inSql.has(field.trim().toLowerCase());
  const twice = fields.filter(
    (field, index) => fields.findIndex((other) => sameName(other, field)) !== index && isUsed(field),
  );
  if (twice.length > 0) throw new UnreadableFile(`field named twice: ${clippedList([...new Set(twice)])}`);
  const unused = fields.flatMap((field, index) => (isUsed(field) ? [] : [index]));
  if (unused.length > 0 && feed.unknown === 'quarantine') {
    const names = unused.map((index) => elementAt(fields, index));
    throw new UnreadableFile(
      `unknown field: ${clippedList(names, JSON.stringify)}; feed ${feed.name} uses no other than its own`,
    );
  }
  return { feed, fields, unused, direct: directColumns(feed, fields) };
}

/** Fields that a feed names outside of SQL, and that a file must have. */
export function namedFields(feed: Feed): string[] {
  const names = namesOutsideSql(feed).filter((name) => !BUILT_IN.includes(name));
  return names.filter((name, index, all) => all.findIndex((other) => sameName(other, name)) === index);
}

/** What a feed names outside of SQL: fields, and values that every record has. Elements of `rows:` are neither. */
export function namesOutsideSql({ columns, rows }: Feed): string[] {
  const ofColumn = (source: ColumnSource): string[] => {
    if (source.kind === 'derive') return source.parts.flatMap((part) => ('field' in part ? [part.field] : []));
    return 'from' in source ? [source.from] : [];
  };
  const names = columns.flatMap(({ source }) => ofColumn(source));
  return [...new Set(names)].filter((name) => rows === undefined || !ITEM_NAMES.includes(name));
}

/** Values that every record has beside its fields. A field of the same name hides it. */
export const BUILT_IN: readonly string[] = ['file_name', 'file_path', 'record_number'];

/** Whether its rows depend on the number of their record in the content: `record_number` does, and so do ids of `repeats: distinct`. */
export function usesRecordNumber(feed: Feed): boolean {
  return isDistinct(feed) || [...expressionNames(feed), ...namesOutsideSql(feed)].includes('record_number');
}

export function isDistinct({ columns }: Feed): boolean {
  return columns.some(({ source }) => source.kind === 'derive' && source.repeats === 'distinct');
}

/** What `rows:` makes of a record: its columns see these instead of fields of the same names, which `where:` and `rows:` see. */
export const ITEM_NAMES: readonly string[] = ['item', 'item_number'];

/** Names that the compiled SQL uses itself begin so: a file may have fields of any other. */
export const RESERVED_PREFIX = 'ecompipe#';

/** Identifiers in all SQL of a feed; some of them are fields. */
export function expressionNames({ columns, where, rows }: Feed): ReadonlySet<string> {
  const pieces = columns.flatMap(({ source }) => {
    if (source.kind === 'sql') return [source.sql];
    return source.kind === 'derive' ? source.parts.flatMap((part) => ('sql' in part ? [part.sql] : [])) : [];
  });
  const ofColumns = pieces
    .flatMap((sql) => [...namesIn(sql)])
    .filter((name) => rows === undefined || !ITEM_NAMES.includes(name));
  const ofRecords = [where?.sql ?? '', rows?.sql.replace(ENDS_WITH_ITEM, '') ?? ''];
  return new Set([...ofColumns, ...ofRecords.flatMap((sql) => [...namesIn(sql)])]);
}

function directColumns({ columns, format, where, rows }: Feed, fields: readonly string[]): string[] | undefined {
  const [nullText] = format.nulls;
  if (format.type !== 'csv' || format.quote === undefined || where !== undefined || rows !== undefined)
    return undefined;
  if (format.nulls.length !== 1 || nullText?.includes(format.quote) === true || columns.length !== fields.length)
    return undefined;
  const inOrder = fields.map(
    (field) => columns.find(({ source }) => source.kind === 'field' && sameName(source.from, field))?.name,
  );
  const found = inOrder.filter((name) => name !== undefined);
  return new Set(found).size === fields.length ? found : undefined;
}

/** How records are cut out of a feed's files. */
export function dialectOf({ format }: Feed): Dialect {
  return {
    kind: format.type === 'csv' ? 'csv' : 'lines',
    delimiter: format.delimiter.charCodeAt(0),
    quote: format.quote?.charCodeAt(0),
  };
}
