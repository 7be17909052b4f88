import type { Connection } from '../../../platform/db/client.js';
import { quoteName } from '../../../platform/db/names.js';
import {
  arrayOf,
  boolean,
  jsonObject,
  nullable,
  oneOf,
  queryRows,
  type Shape,
  text,
} from '../../../platform/db/decodeRows.js';

/** A table, as far as a dump carries it. Expressions and definitions are SQL, as the server writes it. */
export interface TableDescription {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ColumnDescription[];
  readonly constraints: readonly NamedDefinition[];
  /** Those that no constraint has made. */
  readonly indexes: readonly NamedDefinition[];
  /** Tables that its foreign keys refer to, as `schema.name`. */
  readonly references: readonly string[];
}

const TABLE_DESCRIPTION: Shape<TableDescription> = {
  schema: text,
  name: text,
  columns: arrayOf(
    jsonObject({
      name: text,
      type: text,
      collation: nullable(text),
      notNull: boolean,
      default: nullable(text),
      generated: oneOf('', 's', 'v'),
      identity: oneOf('', 'a', 'd'),
    }),
  ),
  constraints: arrayOf(jsonObject({ name: text, definition: text })),
  indexes: arrayOf(jsonObject({ name: text, definition: text })),
  references: arrayOf(text),
};

export interface ColumnDescription {
  readonly name: string;
  readonly type: string;
  readonly collation: string | null;
  readonly notNull: boolean;
  /** Of a generated column: its expression. */
  readonly default: string | null;
  /** `s`: stored, `v`: virtual. */
  readonly generated: '' | 's' | 'v';
  /** `a`: always, `d`: by default. */
  readonly identity: '' | 'a' | 'd';
}

export interface NamedDefinition {
  readonly name: string;
  readonly definition: string;
}

export interface SequenceDescription {
  readonly schema: string;
  readonly name: string;
  /** `i`: made by an identity column, `a`: belongs to a column (serial), null: to nobody. */
  readonly belonging: 'i' | 'a' | null;
  readonly table: string | null;
  readonly column: string | null;
  readonly options: string;
  /** As text, since it may be beyond what a JavaScript number holds; null: never used. */
  readonly lastValue: string | null;
}

const SEQUENCE_DESCRIPTION: Shape<SequenceDescription> = {
  schema: text,
  name: text,
  belonging: nullable(oneOf('a', 'i')),
  table: nullable(text),
  column: nullable(text),
  options: text,
  lastValue: nullable(text),
};

/** What there is in a database, by everything that is not the server's own. */
export interface SchemaDescription {
  readonly schemas: readonly string[];
  readonly tables: readonly TableDescription[];
  readonly sequences: readonly SequenceDescription[];
  /** What is neither table, index, constraint nor sequence, such as `view public.best_sellers`. */
  readonly others: readonly string[];
}

/** What belongs to the server, or to a session. */
const FOREIGN_SCHEMAS = `(n.nspname like 'pg\\_%' or n.nspname = 'information_schema')`;
/** A table that stands alone: partitions and heirs are described by what they belong to. */
const IS_PLAIN_TABLE = `c.relkind = 'r' and not c.relispartition
  and not exists (select from pg_inherits h where c.oid in (h.inhrelid, h.inhparent))`;
const OF_NO_EXTENSION = (catalogue: string, oid: string): string =>
  `not exists (select from pg_depend x where x.classid = '${catalogue}'::regclass and x.objid = ${oid} and x.deptype = 'e')`;

const TABLES = `
  select n.nspname as schema, c.relname as name,
    (select coalesce(json_agg(json_build_object(
        'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
        'collation', case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end,
        'default', pg_get_expr(d.adbin, d.adrelid), 'generated', a.attgenerated, 'identity', a.attidentity) order by a.attnum), '[]')
     from pg_attribute a join pg_type t on t.oid = a.atttypid
     left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    (select coalesce(json_agg(json_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid))
        order by k.contype = 'f', k.contype <> 'p', k.conname), '[]')
     from pg_constraint k where k.conrelid = c.oid and k.contype in ('c', 'u', 'p', 'f', 'x')) as constraints,
    (select coalesce(json_agg(json_build_object('name', ic.relname, 'definition', pg_get_indexdef(ic.oid)) order by ic.relname), '[]')
     from pg_index i join pg_class ic on ic.oid = i.indexrelid
     where i.indrelid = c.oid and not exists (select from pg_constraint k where k.conindid = ic.oid and k.conrelid = c.oid)) as indexes,
    (select coalesce(json_agg(distinct rn.nspname || '.' || rc.relname), '[]')
     from pg_constraint k join pg_class rc on rc.oid = k.confrelid join pg_namespace rn on rn.oid = rc.relnamespace
     where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid) as references
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where not ${FOREIGN_SCHEMAS} and ${IS_PLAIN_TABLE} and ${OF_NO_EXTENSION('pg_class', 'c.oid')}
  order by c.oid`;

const SEQUENCES = `
  select n.nspname as schema, c.relname as name, d.deptype as belonging, d.refobjid::regclass::text as table, a.attname as column,
    format('as %s increment by %s minvalue %s maxvalue %s start with %s cache %s %s', format_type(q.seqtypid, null), q.seqincrement,
      q.seqmin, q.seqmax, q.seqstart, q.seqcache, case when q.seqcycle then 'cycle' else 'no cycle' end) as options,
    v.last_value::text as last_value
  from pg_sequence q join pg_class c on c.oid = q.seqrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_sequences v on (v.schemaname, v.sequencename) = (n.nspname, c.relname)
  left join pg_depend d on (d.classid, d.objid, d.refclassid) = ('pg_class'::regclass, c.oid, 'pg_class'::regclass)
    and d.deptype in ('a', 'i') and d.refobjsubid > 0
  left join pg_attribute a on (a.attrelid, a.attnum) = (d.refobjid, d.refobjsubid)
  where not ${FOREIGN_SCHEMAS} and ${OF_NO_EXTENSION('pg_class', 'c.oid')}
  order by c.oid`;

const OTHERS = `
  select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
      when 'c' then 'type' else 'partitioned or inheriting table' end || ' ' || n.nspname || '.' || c.relname as other
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where not ${FOREIGN_SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and not (${IS_PLAIN_TABLE})
    and ${OF_NO_EXTENSION('pg_class', 'c.oid')}
  union all
  select 'function ' || n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where not ${FOREIGN_SCHEMAS} and ${OF_NO_EXTENSION('pg_proc', 'p.oid')}
  union all
  select 'type ' || n.nspname || '.' || t.typname
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where not ${FOREIGN_SCHEMAS} and t.typtype in ('d', 'e', 'r') and ${OF_NO_EXTENSION('pg_type', 't.oid')}
  union all
  select 'trigger ' || g.tgname || ' on ' || n.nspname || '.' || c.relname
  from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
  where not ${FOREIGN_SCHEMAS} and not g.tgisinternal
  union all
  select 'rule ' || r.rulename || ' on ' || n.nspname || '.' || c.relname
  from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
  where not ${FOREIGN_SCHEMAS} and r.rulename <> '_RETURN'
  union all
  select 'policy ' || l.polname || ' on ' || n.nspname || '.' || c.relname
  from pg_policy l join pg_class c on c.oid = l.polrelid join pg_namespace n on n.oid = c.relnamespace
  where not ${FOREIGN_SCHEMAS}
  union all
  select 'extension ' || e.extname from pg_extension e where e.extname <> 'plpgsql'
  union all
  select 'event trigger ' || v.evtname from pg_event_trigger v
  order by 1`;

const SCHEMAS = `select n.nspname as name from pg_namespace n where not ${FOREIGN_SCHEMAS} order by n.oid`;

/** Reads what there is in a database. */
export async function describeSchema({ client }: Connection): Promise<SchemaDescription> {
  const schemas = await queryRows(client, { name: text }, SCHEMAS);
  const tables = await queryRows(client, TABLE_DESCRIPTION, TABLES);
  const sequences = await queryRows(client, SEQUENCE_DESCRIPTION, SEQUENCES);
  const others = await queryRows(client, { other: text }, OTHERS);
  return {
    schemas: schemas.map(({ name }) => name),
    tables: inOrderOfReference(tables),
    sequences,
    others: others.map(({ other }) => other),
  };
}

/** `schema.name`, as `references` has it. */
export function nameOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`;
}

/** The name as SQL takes it. */
export function quotedName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quoteName(schema)}.${quoteName(name)}`;
}

/** Tables after those that their foreign keys refer to, as their rows must come; of a circle, as they are. */
function inOrderOfReference(tables: readonly TableDescription[]): TableDescription[] {
  const byName = new Map(tables.map((table) => [nameOf(table), table]));
  const placed = new Set<TableDescription>();
  const place = (table: TableDescription, path: ReadonlySet<TableDescription>): void => {
    if (placed.has(table) || path.has(table)) return;
    for (const reference of table.references) {
      const referred = byName.get(reference);
      if (referred !== undefined) place(referred, new Set([...path, table]));
    }
    placed.add(table);
  };
  for (const table of tables) place(table, new Set());
  return [...placed];
}
