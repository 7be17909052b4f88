import type { Connection } from '../../../platform/db/client.js';
import { EVENT_COLUMNS, type EventColumn } from '../../../contract/columns.js';

/** A column of `public.events` as the catalogue describes it. */
export interface ColumnRule {
  readonly name: EventColumn;
  /** SQL type with its modifier, such as `numeric(12,2)`. */
  readonly type: string;
  readonly notNull: boolean;
}

/** A CHECK of `public.events`. */
export interface CheckRule {
  readonly name: string;
  /** The condition as SQL over the column names. */
  readonly expression: string;
  /** The column it is about, where it is about one. */
  readonly column: string | null;
}

/** The rules of `public.events`, read from the catalogue: what a migration adds there, the slow path applies by itself. */
export interface EventRules {
  readonly columns: readonly ColumnRule[];
  readonly checks: readonly CheckRule[];
  /** Constraints of a user's own that would only be checked at the commit; as quoted, qualified names. */
  readonly deferrable: readonly string[];
}

/** Reads the rules as they are now. */
export async function readEventRules({ client }: Connection): Promise<EventRules> {
  const { rows: columns } = await client.query<ColumnRule>(
    `select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as "notNull"
     from pg_attribute
     where attrelid = 'public.events'::regclass and attname = any ($1) and not attisdropped
     order by array_position($1::text[], attname::text)`,
    [EVENT_COLUMNS],
  );
  const { rows: checks } = await client.query<CheckRule>(
    `select conname as name, pg_get_expr(conbin, conrelid) as expression,
            (select attname from pg_attribute where attrelid = conrelid and attnum = conkey[1]) as column
     from pg_constraint
     where conrelid = 'public.events'::regclass and contype = 'c'
       -- A rule over other columns (added by a user) is left to the insert itself.
       and not exists (
         select from pg_attribute
         where attrelid = conrelid and attnum = any (conkey) and attname <> all ($1))
     order by conname`,
    [EVENT_COLUMNS],
  );
  const { rows: deferrable } = await client.query<{ name: string }>(
    `select format('%I.%I', nspname, conname) as name
     from pg_constraint join pg_namespace n on n.oid = connamespace
     where conrelid = 'public.events'::regclass and condeferrable`,
  );
  return { columns, checks, deferrable: deferrable.map(({ name }) => name) };
}
