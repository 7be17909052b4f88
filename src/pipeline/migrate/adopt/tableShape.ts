import type { Connection } from '../../../platform/db/client.js';
import { explainIfFinal } from '../../../platform/db/errors.js';
import type { Migration } from '../migrations.js';
import {
  arrayOf,
  boolean,
  jsonObject,
  nullable,
  oneOf,
  queryRow,
  type Shape,
  text,
} from '../../../platform/db/decodeRows.js';

/** A table as the catalogue describes it. */
export interface TableShape {
  readonly columns: readonly ColumnShape[];
  readonly constraints: readonly Constraint[];
  /** Those that no constraint brings along. */
  readonly indexes: readonly { readonly name: string; readonly definition: string }[];
}

const TABLE_SHAPE: Shape<TableShape> = {
  columns: arrayOf(
    jsonObject({
      name: text,
      type: text,
      baseType: text,
      bareType: text,
      category: text,
      collation: nullable(text),
      isNotNull: boolean,
      isGenerated: boolean,
      defaultValue: nullable(text),
    }),
  ),
  constraints: arrayOf(
    jsonObject({
      name: text,
      kind: oneOf('check', 'primary key', 'other'),
      definition: text,
      condition: nullable(text),
      columns: arrayOf(text),
      isDeferrable: boolean,
    }),
  ),
  indexes: arrayOf(jsonObject({ name: text, definition: text })),
};

export interface ColumnShape {
  readonly name: string;
  /** With its modifier, such as `numeric(12,2)`. */
  readonly type: string;
  /** Of a domain the type behind it, else the same. */
  readonly baseType: string;
  /** The base type without its modifier, such as `character varying`. */
  readonly bareType: string;
  /** `S`: a string, `E`: an enum, … (PostgreSQL manual, 53.64). */
  readonly category: string;
  /** Where it is not the type's own. */
  readonly collation: string | null;
  readonly isNotNull: boolean;
  readonly isGenerated: boolean;
  readonly defaultValue: string | null;
}

export interface Constraint {
  readonly name: string;
  readonly kind: 'check' | 'primary key' | 'other';
  readonly definition: string;
  /** Of a check. */
  readonly condition: string | null;
  readonly columns: readonly string[];
  readonly isDeferrable: boolean;
}

/** Where the migrations make a second `events` to read, next to the one that is there. */
const SCRATCH = 'ecompipe_shape';

/**
 * What our own migrations make of `public.events`: they run on an empty table beside the existing one, in a transaction
 * that is rolled back. So there is no second list of columns, and the existing table is neither touched nor locked.
 */
export async function readWantedShape({ client }: Connection, migrations: readonly Migration[]): Promise<TableShape> {
  await client.query('begin');
  try {
    await client.query(`create schema ${SCRATCH}`);
    for (const { sql } of migrations) await client.query(sql.replaceAll('public.events', `${SCRATCH}.events`));
    const shape = await readShape(client, `${SCRATCH}.events`);
    return {
      ...shape,
      indexes: shape.indexes.map(({ name, definition }) => ({
        name,
        definition: definition.replaceAll(`${SCRATCH}.events`, 'public.events'),
      })),
    };
  } catch (error) {
    throw explainIfFinal('the migrations cannot be tried', error);
  } finally {
    await client.query('rollback').catch(() => undefined);
  }
}

export async function readShape(client: Connection['client'], relation: string): Promise<TableShape> {
  return await queryRow(
    client,
    TABLE_SHAPE,
    `select (select coalesce(json_agg(c), '[]') from (${COLUMNS}) as c) as columns,
            (select coalesce(json_agg(c), '[]') from (${CONSTRAINTS}) as c) as constraints,
            (select coalesce(json_agg(i), '[]') from (${INDEXES}) as i) as indexes
     from (select $1::regclass as target) as t`,
    [relation],
  );
}

const COLUMNS = `
  with recursive base (attnum, type, modifier) as (
    select attnum, atttypid, atttypmod from pg_attribute where attrelid = t.target and attnum > 0 and not attisdropped
    union all
    select b.attnum, d.typbasetype, case when d.typtypmod <> -1 then d.typtypmod else b.modifier end
    from base b join pg_type d on d.oid = b.type
    where d.typtype = 'd'
  )
  select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, format_type(b.type, b.modifier) as "baseType",
         format_type(b.type, null) as "bareType", y.typcategory as category,
         case when a.attcollation <> y.typcollation then (
           select format('%I.%I', n.nspname, l.collname)
           from pg_collation l join pg_namespace n on n.oid = l.collnamespace
           where l.oid = a.attcollation
         ) end as collation,
         a.attnotnull as "isNotNull", a.attgenerated <> '' as "isGenerated",
         (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = a.attrelid and adnum = a.attnum) as "defaultValue"
  from base b
  join pg_type y on y.oid = b.type and y.typtype <> 'd'
  join pg_attribute a on a.attrelid = t.target and a.attnum = b.attnum
  order by a.attnum`;

const CONSTRAINTS = `
  select conname as name, case contype when 'c' then 'check' when 'p' then 'primary key' else 'other' end as kind,
         pg_get_constraintdef(oid) as definition,
         case contype when 'c' then pg_get_expr(conbin, conrelid) end as condition,
         (select coalesce(json_agg(attname order by k.position), '[]')
          from unnest(conkey) with ordinality as k (attnum, position)
          join pg_attribute a on a.attrelid = conrelid and a.attnum = k.attnum) as columns,
         condeferrable as "isDeferrable"
  from pg_constraint
  -- PostgreSQL 18 lists NOT NULL as constraints, too.
  where conrelid = t.target and contype <> 'n'
  order by conname`;

const INDEXES = `
  select c.relname as name, pg_get_indexdef(i.indexrelid) as definition
  from pg_index i join pg_class c on c.oid = i.indexrelid
  where i.indrelid = t.target and not exists (select from pg_constraint where conindid = i.indexrelid and conrelid = t.target)
  order by c.relname`;
