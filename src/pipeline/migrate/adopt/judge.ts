import assert from 'node:assert/strict';
import { elementAt } from '../../../platform/elementAt.js';
import type { Connection } from '../../../platform/db/client.js';
import { quoteName } from '../../../platform/db/names.js';
import { countOf } from '../../../platform/format.js';
import { tableFindings, type TableFacts } from './tableFindings.js';
import {
  notNullRule,
  planColumns,
  planStatements,
  type ColumnPlan,
  type AdoptionFinding,
  type RowFindings,
} from './plan.js';
import { readShape, type TableShape } from './tableShape.js';
import { arrayOf, boolean, integer, queryRow, type Shape, text } from '../../../platform/db/decodeRows.js';

/** Whether and how the existing `public.events` becomes ours. */
export interface Judgement {
  readonly rows: number;
  readonly findings: readonly AdoptionFinding[];
  /** What the adoption does to the table; only to be run when there is no obstacle. */
  readonly statements: readonly string[];
}

/** Compares the existing table and its rows with the wanted shape. Reads every row once, and changes nothing. */
export async function judgeTable(client: Connection['client'], wanted: TableShape): Promise<Judgement> {
  const existing = await readShape(client, 'public.events');
  const columns = planColumns(existing, wanted);
  const counts = await countRows(client, columns, wanted);
  const facts = await readFacts(client, columns, wanted);
  return {
    rows: counts.rows,
    findings: [
      ...columns.map((column) => columnFinding(column, counts)),
      ...columns.flatMap((column) => columnRemarks(column, counts)),
      ...tableFindings({ existing, wanted, columns, counts, facts }),
    ],
    statements: planStatements(columns, existing, wanted, counts),
  };
}

function columnFinding({ wanted, existing, conversion, obstacle }: ColumnPlan, counts: RowFindings): AdoptionFinding {
  const { name, type } = wanted;
  if (obstacle !== undefined) return { kind: 'obstacle', text: obstacle };
  if (existing === undefined) {
    if (wanted.isNotNull && wanted.defaultValue === null && counts.rows > 0)
      return {
        kind: 'obstacle',
        text: `${name} (${type}) is missing, and the rows must have one: rename the column that holds it, or add it with a value for each row`,
      };
    return { kind: 'change', text: `${name} is missing and is added as ${type}${defaultNote(wanted.defaultValue)}` };
  }
  const lossy = counts.lossy.get(name) ?? 0;
  if (lossy > 0 && name === 'batch_id')
    return {
      kind: 'obstacle',
      text: `batch_id has ${countOf(lossy, 'value')} that our batches did not set: rename the column, it stays as one of your own`,
    };
  if (lossy > 0)
    return {
      kind: 'obstacle',
      text: `${name} is ${existing.type}, and ${countOf(lossy, 'value')} would change or be lost as ${type}`,
    };
  if (conversion !== undefined) return { kind: 'change', text: `${name} is ${existing.type} and becomes ${type}` };
  return { kind: 'fits', text: `${name} fits` };
}

function columnRemarks({ wanted, existing, conversion }: ColumnPlan, { rows, nulls }: RowFindings): AdoptionFinding[] {
  const { name } = wanted;
  const missing = nulls.get(name) ?? 0;
  return [
    ...(conversion?.remark === undefined ? [] : [{ kind: 'remark', text: `${name}: ${conversion.remark}` } as const]),
    ...(existing !== undefined && missing > 0 && name !== 'event_id'
      ? [
          {
            kind: 'remark',
            text: `${name} is NULL in ${missing} of ${countOf(rows, 'row')}: they stay, and constraint ${notNullRule(name)} holds for new rows only`,
          } as const,
        ]
      : []),
  ];
}

function defaultNote(defaultValue: string | null): string {
  return defaultValue === 'now()' ? ', which is the time of the adoption in the existing rows' : '';
}

/** Counts what the rows break, as they would be after the adoption. */
async function countRows(
  client: Connection['client'],
  columns: readonly ColumnPlan[],
  wanted: TableShape,
): Promise<RowFindings> {
  const key = wanted.constraints.find(({ kind }) => kind === 'primary key')?.columns ?? [];
  const checks = wanted.constraints.filter(({ kind }) => kind === 'check');
  const names = key.map(quoteName).join(', ');
  const lossy = columns.map(({ wanted: { name }, isLossless, existing }, index) => ({
    name,
    sql: `count(*) filter (where lossy_${index})`,
    flag: `${existing === undefined ? 'false' : `${quoteName(name)} is not null and (${isLossless}) is not true`} as lossy_${index}`,
  }));
  const nulls = columns.filter(({ wanted: { isNotNull } }) => isNotNull);
  const values = [
    'count(*)',
    ...lossy.map(({ sql }) => sql),
    // A value that can't be converted is reported as such, and not as missing.
    ...nulls.map(
      (column) =>
        `count(*) filter (where ${quoteName(column.wanted.name)} is null and not lossy_${columns.indexOf(column)})`,
    ),
    ...checks.map(({ condition }) => `count(*) filter (where not (${condition ?? 'true'}))`),
    `(count(${names}) - count(distinct ${names}))`,
  ];
  const { counts } = await queryRow(
    client,
    { counts: arrayOf(integer) },
    `select json_build_array(${values.join(', ')}) as counts
     from (select ${[...columns.map(({ wanted: { name }, value }) => `${value} as ${quoteName(name)}`), ...lossy.map(({ flag }) => flag)].join(', ')}
           from only public.events) as events`,
  );
  assert(counts.length === values.length, 'each count has its value');
  const next = (of: readonly string[], from: number): Map<string, number> =>
    new Map(of.map((name, index) => [name, elementAt(counts, from + index)]));
  return {
    rows: elementAt(counts, 0),
    lossy: next(
      lossy.map(({ name }) => name),
      1,
    ),
    nulls: next(
      nulls.map(({ wanted: { name } }) => name),
      1 + lossy.length,
    ),
    broken: next(
      checks.map(({ name }) => name),
      1 + lossy.length + nulls.length,
    ),
    repeatedKeys: elementAt(counts, counts.length - 1),
  };
}

const TABLE_FACTS: Shape<TableFacts> = {
  isUnlogged: boolean,
  forcesRowSecurity: boolean,
  inherits: boolean,
  triggers: arrayOf(text),
  dependents: arrayOf(text),
  takenNames: arrayOf(text),
};

async function readFacts(
  client: Connection['client'],
  columns: readonly ColumnPlan[],
  wanted: TableShape,
): Promise<TableFacts> {
  const converted = columns.filter(({ conversion }) => conversion !== undefined);
  return await queryRow(client, TABLE_FACTS, FACTS, [
    converted.map(({ wanted: { name } }) => name),
    converted.filter(({ conversion }) => conversion?.keepsOrder === false).map(({ wanted: { name } }) => name),
    [...wanted.constraints, ...wanted.indexes].map(({ name }) => name),
  ]);
}

/** $1: columns that get another type; $2: those whose values then compare otherwise; $3: names of our constraints and indexes. */
const FACTS = `
  select relpersistence = 'u' as is_unlogged, relforcerowsecurity as forces_row_security,
         exists (select from pg_inherits where inhrelid = c.oid or inhparent = c.oid) as inherits,
         (select coalesce(json_agg(tgname order by tgname), '[]') from pg_trigger where tgrelid = c.oid and not tgisinternal) as triggers,
         (select coalesce(json_agg(distinct format('%s uses %I', pg_describe_object(d.classid, d.objid, d.objsubid), a.attname)), '[]')
          from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
          where d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and (
            a.attname = any ($1) and d.classid in ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)
            or a.attname = any ($1) and d.classid = 'pg_attrdef'::regclass
               and exists (select from pg_attrdef f where f.oid = d.objid and (f.adrelid, f.adnum) <> (a.attrelid, a.attnum))
            or a.attname = any ($2) and d.classid = 'pg_constraint'::regclass
               and exists (select from pg_constraint k where k.oid = d.objid and k.contype = 'f'))) as dependents,
         (select coalesce(json_agg(r.relname order by r.relname), '[]')
          from pg_class r
          where r.relnamespace = 'public'::regnamespace and r.relname = any ($3)
            and not exists (select from pg_index i where i.indexrelid = r.oid and i.indrelid = c.oid)) as taken_names
  from pg_class c
  where c.oid = 'public.events'::regclass`;
