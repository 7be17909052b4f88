import assert from 'node:assert/strict';
import { elementAt } from '../../../platform/elementAt.js';
import type { Connection } from '../../../platform/db/client.js';
import type { BoundFeed } from '../../../contract/feeds/bindFeed.js';
import {
  compileFeed,
  DEFECT,
  EVENT_TIME,
  ORDINAL,
  PLACE,
  type CompiledColumn,
  type CompiledFeed,
} from '../../../contract/feeds/compile.js';
import { quoteText } from '../../../contract/feeds/sqlNames.js';
import type { TargetTable } from '../targetTable.js';
import { quoteName } from '../../../platform/db/names.js';
import { arrayOf, integer, queryRow, type Shape, text } from '../../../platform/db/decodeRows.js';

/** A feed as statements that bring its staged records into the typed stage of a table (sql/005_judge.sql and the feeds' migration). */
export interface FeedPlan {
  /** Columns of the table that it fills. */
  readonly columns: readonly string[];
  /** Type of the elements of `rows:`; a placeholder where there are none. */
  readonly itemType: string;
  readonly makesRows: boolean;
  readonly hasItems: boolean;
  /** Makes rows of records; undefined where each is one. */
  readonly expand: string | undefined;
  readonly insert: string;
  /** Inserts rows of all staged records into the table itself. Undefined where a record may be several rows. */
  readonly insertAll: string | undefined;
  /** How many of the staged records `where:` wants; undefined: all. */
  readonly countWanted: string | undefined;
  readonly defects: string | undefined;
  /** Queries that fail on a row for which a column can't be made, and which column that is. */
  readonly probes: readonly { readonly column: string; readonly query: string }[];
}

interface TargetPlan {
  readonly conversions: readonly string[];
  readonly typeNames: readonly string[];
  readonly typeOids: readonly number[];
}

const TARGET_PLAN: Shape<TargetPlan> = {
  conversions: arrayOf(text),
  typeNames: arrayOf(text),
  typeOids: arrayOf(integer),
};

const BY_PLACE = { source: 's.ctid operator(pg_catalog.=) any ($1)', made: 'm.ctid operator(pg_catalog.=) any ($1)' };

/** From this version on the server can say whether a text is valid without an error. */
const INPUT_IS_VALID_VERSION = 160_000;

const TIMESTAMPTZ_OID = 1184;

const plans = new WeakMap<BoundFeed, { readonly fingerprint: string; readonly plan: FeedPlan }>();

/**
 * Plans a feed for a table; a plan is kept until the table changes. Makes the session's stage for it, or empties it.
 * @throws what the server says of expressions that do not compile.
 */
export async function planFeed(connection: Connection, bound: BoundFeed, target: TargetTable): Promise<FeedPlan> {
  const known = plans.get(bound);
  if (known?.fingerprint === target.fingerprint) {
    await prepareSource(connection, bound, known.plan.itemType);
    return known.plan;
  }
  const compiled = compileFeed(bound, target.header.known.includes('extra'));
  const itemType = await describeItems(connection, bound, compiled);
  await prepareSource(connection, bound, itemType);
  const columns = compiled.columns.map(({ name }) => name);
  const goal = await readTargetPlan(connection, target, columns);
  const types = await describeColumns(connection, compiled);
  const plan: FeedPlan = {
    columns,
    itemType,
    makesRows: compiled.makesRows,
    hasItems: compiled.items !== undefined,
    expand: compiled.makesRows ? expandStatement(compiled) : undefined,
    ...statements(compiled, goal, types, target, connection.serverVersion),
  };
  plans.set(bound, { fingerprint: target.fingerprint, plan });
  return plan;
}

/** Makes the session's stage for records of these fields and elements of `rows:`, or empties it. */
export async function prepareSource({ client }: Connection, { fields }: BoundFeed, itemType: string): Promise<void> {
  await client.query({
    name: 'prepare_source',
    text: 'select ecompipe.prepare_source($1, $2)',
    // A feed may ask for nothing but what every record has; a stage has a field all the same.
    values: [Math.max(1, fields.length), itemType],
  });
}

/** Where there are no elements, a row that is kept has one of these. */
export const NO_ITEM = 'boolean';

async function describeItems(connection: Connection, bound: BoundFeed, compiled: CompiledFeed): Promise<string> {
  if (compiled.items === undefined) return NO_ITEM;
  await prepareSource(connection, bound, NO_ITEM);
  return await itemTypeOf(connection, compiled);
}

/** The type of the elements of `rows:`, as the server tells it. The session's stage must be there. */
export async function itemTypeOf({ client }: Connection, compiled: CompiledFeed): Promise<string> {
  assert(compiled.items !== undefined, 'the feed has rows:');
  const { fields } = await client.query(
    `select item.item from ${compiled.records('false')} cross join lateral ${compiled.items}\n as item (item) limit 0`,
  );
  const type = await queryRow(client, { name: text }, 'select format_type($1, null) as name', [fields[0]?.dataTypeID]);
  return type.name;
}

async function readTargetPlan(
  { client }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
): Promise<TargetPlan> {
  return await queryRow(
    client,
    TARGET_PLAN,
    `select conversions, type_names,
            array(select c.type_oid::bigint::integer from unnest($2::text[]) with ordinality as w (name, position) join ecompipe.loadable_columns($1::regclass) c on c.name = w.name order by w.position) as type_oids
     from ecompipe.load_plan($1::regclass, $2)`,
    [name, columns],
  );
}

/** The records, or the rows made of them: those that the statement is given by their places, all, or none. */
function relationOf(compiled: CompiledFeed, which: 'given' | 'all' | 'none'): string {
  const byPlace = compiled.makesRows ? BY_PLACE.made : BY_PLACE.source;
  const condition = { given: byPlace, all: 'true', none: 'false' }[which];
  return compiled.makesRows ? compiled.madeRows(condition) : compiled.records(condition);
}

async function describeColumns({ client }: Connection, compiled: CompiledFeed): Promise<number[]> {
  const list = compiled.columns.map(({ sql }, index) => `${sql} as c${index + 1}`).join(', ');
  const { fields } = await client.query(`select ${list} from ${relationOf(compiled, 'none')} limit 0`);
  return fields.map(({ dataTypeID }) => dataTypeID);
}

function expandStatement(compiled: CompiledFeed): string {
  const items =
    compiled.items === undefined ? 'array[true]' : `array(select item from ${compiled.items}\n as item (item))`;
  const kept = compiled.where === undefined ? items : `case when (${compiled.where}\n) then ${items} end`;
  const records = compiled.records(BY_PLACE.source);
  return `insert into pg_temp.ecompipe_expanded (ordinal, place, items) select r.${ORDINAL}, r.${PLACE}, ${kept} from ${records}`;
}

/** Computed as its column's type: taken as it is; else as a text, which the type's input function reads as it would in COPY. */
function isTyped(index: number, { typeOids }: TargetPlan, types: readonly number[]): boolean {
  return types[index] === typeOids[index];
}

function statements(
  compiled: CompiledFeed,
  goal: TargetPlan,
  types: readonly number[],
  target: TargetTable,
  serverVersion: number,
): Pick<FeedPlan, 'insert' | 'insertAll' | 'countWanted' | 'defects' | 'probes'> {
  const staged = compiled.columns.map((column, index) => {
    const isTime = compiled.hasTime && column.name === 'event_time' && types[index] === TIMESTAMPTZ_OID;
    // For the id it is computed already.
    const once = isTime ? { ...column, sql: `r.${EVENT_TIME}` } : column;
    return `${stagedSql(once, isTyped(index, goal, types), target)} as c${index + 1}`;
  });
  const converted = compiled.columns.map((_, index) => {
    const conversion = goal.conversions[index];
    assert(conversion !== undefined, 'each column has its conversion');
    return isTyped(index, goal, types) ? `s.c${index + 1}` : conversion;
  });
  const relation = relationOf(compiled, 'given');
  const names = compiled.columns.map((_, index) => `c${index + 1}`).join(', ');
  return {
    insert: `insert into pg_temp.ecompipe_typed (ordinal, ${names}) select s.ordinal, ${converted.join(', ')} from (select r.${ORDINAL} as ordinal, ${staged.join(', ')} from ${relation} offset 0) as s`,
    insertAll:
      compiled.items === undefined
        ? `insert into ${target.name} (${compiled.columns.map(({ name }) => quoteName(name)).join(', ')}) overriding system value select ${converted.join(', ')} from (select ${staged.join(', ')} from ${compiled.wantedRecords} offset 0) as s`
        : undefined,
    countWanted:
      compiled.where === undefined
        ? undefined
        : `select pg_catalog.count(*) as wanted from ${compiled.records('true')} where (${compiled.where}\n)`,
    defects: defectsQuery(compiled, goal, types, target, serverVersion),
    probes: [...compiled.columns.entries()]
      .sort(([, a], [, b]) => Number(a.isDerived) - Number(b.isDerived))
      .map(([index, { name }]) => ({
        column: name,
        query: `select pg_catalog.count(cast(${converted[index]} as ${goal.typeNames[index]})) from (select ${staged[index]} from ${relation} offset 0) as s`,
      })),
  };
}

function isTemporal({ name }: CompiledColumn, { columns }: TargetTable): boolean {
  return columns.some((column) => column.name === name && column.isTemporal);
}

function stagedSql(column: CompiledColumn, typed: boolean, target: TargetTable): string {
  if (typed) return column.sql;
  const text = column.isPlain ? column.sql : `(${column.sql})::pg_catalog.text`;
  return isTemporal(column, target) ? `ecompipe.plain_date(${text})` : text;
}

/** Rows in which something is wrong that can be seen without trying: found all at once, however many they are. */
function defectsQuery(
  compiled: CompiledFeed,
  goal: TargetPlan,
  types: readonly number[],
  target: TargetTable,
  serverVersion: number,
): string | undefined {
  const defects = compiled.columns.flatMap((column, index) => {
    const { name, defect, sql, isPlain } = column;
    if (defect !== undefined) return [{ name, ...defect, sqlState: quoteText(defect.sqlState) }];
    if (!isPlain || isTyped(index, goal, types) || serverVersion < INPUT_IS_VALID_VERSION) return [];
    const type = quoteText(elementAt(goal.typeNames, index));
    const valid = {
      name,
      condition: `not pg_catalog.pg_input_is_valid(${sql}, ${type})`,
      sqlState: `(pg_catalog.pg_input_error_info(${sql}, ${type})).sql_error_code`,
      message: `(pg_catalog.pg_input_error_info(${sql}, ${type})).message`,
    };
    const message = `ecompipe.date_defect(${sql})`;
    const date = { name, condition: `${message} is not null`, sqlState: `'22007'`, message };
    return isTemporal(column, target) ? [date, valid] : [valid];
  });
  if (defects.length === 0) return undefined;
  const choose = (what: (defect: (typeof defects)[number]) => string): string =>
    `case r.${DEFECT} ${defects.map((defect, index) => `when ${index} then ${what(defect)}`).join(' ')} end`;
  const which = `case ${defects.map(({ condition }, index) => `when ${condition} then ${index}`).join(' ')} end`;
  return `select r.${ORDINAL} as ordinal, ${choose(({ name }) => quoteText(name))} as column_name, ${choose(({ sqlState }) => sqlState)} as sql_state, ${choose(({ message }) => message)} as message
    from (select r.*, ${which} as ${DEFECT} from ${relationOf(compiled, 'all')} offset 0) as r where r.${DEFECT} is not null`;
}
