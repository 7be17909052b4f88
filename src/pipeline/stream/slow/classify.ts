import type { Connection } from '../../../core/db/client.js';
import { classifyError } from '../../../core/db/sqlState.js';
import type { ColumnRule, EventRules } from './rules.js';
import type { Reason } from './reject.js';
import { STAGE, TYPED } from './stage.js';

/** What became of staged rows, by ordinal; the rest was inserted. */
export interface Verdicts {
  readonly rejected: Map<number, Reason>;
  readonly duplicates: Map<number, string>;
  readonly inserted: number;
}

const NOT_NULL_VIOLATION = '23502';
const CHECK_VIOLATION = '23514';
const UNIQUE_VIOLATION = '23505';

/** From PostgreSQL 16 on the server can say whether text is valid input; ours does the same on 15. */
function inputFunctions(serverVersion: number): { isValid: string; errorInfo: string } {
  return serverVersion >= 160_000
    ? { isValid: 'pg_input_is_valid', errorInfo: 'pg_input_error_info' }
    : { isValid: 'ecompipe.input_is_valid', errorInfo: 'ecompipe.input_error_info' };
}

/** Moves rows of the right types from the stage to the typed table; returns the others with what the server says of them. */
export async function judgeTypes({ client, serverVersion }: Connection, rules: EventRules): Promise<Map<number, Reason>> {
  const { isValid, errorInfo } = inputFunctions(serverVersion);
  const faults = rules.columns.flatMap((column) => [
    ...(column.notNull ? [{ column, when: `${column.name} is null`, isNull: true }] : []),
    ...(column.type === 'text' ? [] : [{ column, when: `not ${isValid}(${column.name}, ${literal(column.type)})`, isNull: false }]),
  ]);
  const names = rules.columns.map(({ name }) => name).join(', ');
  const { rows } = await client.query<{ ordinal: number; fault: number; message: string | null; sqlState: string | null }>(`
    with judged as materialized (
      select *, case ${faults.map(({ when }, index) => `when ${when} then ${index}`).join(' ')} end as fault
      from ${STAGE}
    ), typed as (
      insert into ${TYPED} (ordinal, ${names})
      select ordinal, ${rules.columns.map(({ name, type }) => (type === 'text' ? name : `${name}::${type}`)).join(', ')}
      from judged where fault is null
    )
    select ordinal, fault, info.message, info.sql_error_code as "sqlState"
    from judged
    left join lateral (
      select * from ${errorInfo}(
        case fault ${faults.map(({ column }, index) => `when ${index} then ${column.name}`).join(' ')} end,
        case fault ${faults.map(({ column }, index) => `when ${index} then ${literal(column.type)}`).join(' ')} end)
    ) as info on true
    where fault is not null`);
  return new Map(rows.map((row) => [row.ordinal, typeFault(faults[row.fault], row)]));
}

function typeFault(fault: { readonly column: ColumnRule; readonly isNull: boolean } | undefined, row: { readonly message: string | null; readonly sqlState: string | null }): Reason {
  const column = fault?.column.name ?? '?';
  if (fault?.isNull === true) return { kind: 'invalid', sqlState: NOT_NULL_VIOLATION, column, message: `null value in column "${column}"` };
  return { kind: 'invalid', sqlState: row.sqlState ?? '22000', column, message: row.message ?? `not a valid ${fault?.column.type ?? 'value'}` };
}

/**
 * Takes rows that break a CHECK out of the typed table; the first one in the order of names is the reason, as in the
 * server. Where a rule itself fails on some row (a user's own, dividing by zero), none is taken out: the insert will tell.
 */
export async function judgeChecks(connection: Connection, rules: EventRules): Promise<Map<number, Reason>> {
  if (rules.checks.length === 0) return new Map();
  await connection.client.query('savepoint ecompipe_checks');
  try {
    return await takeOutBroken(connection, rules);
  } catch (error) {
    if (classifyError(error) !== 'row') throw error;
    await connection.client.query('rollback to savepoint ecompipe_checks');
    return new Map();
  }
}

async function takeOutBroken({ client }: Connection, rules: EventRules): Promise<Map<number, Reason>> {
  const { rows } = await client.query<{ ordinal: number; fault: number; value: string | null }>(`
    delete from ${TYPED}
    where not (${rules.checks.map(({ expression }) => `(${expression}) is not false`).join(' and ')})
    returning ordinal, case ${rules.checks.map(({ expression }, index) => `when (${expression}) is false then ${index}`).join(' ')} end as fault,
      case ${rules.checks.map(({ expression, column }) => `when (${expression}) is false then ${column === null ? 'null' : `left(${column}::text, 100)`}`).join(' ')} end as value`);
  return new Map(
    rows.map(({ ordinal, fault, value }) => {
      const check = rules.checks[fault];
      const constraint = check?.name ?? '?';
      const what = check?.column == null ? 'the row' : value === null ? `the row without ${check.column}` : `${check.column} ${JSON.stringify(value)}`;
      const reason: Reason = { kind: 'invalid', sqlState: CHECK_VIOLATION, constraint, message: `${what} breaks the rule ${constraint}: ${check?.expression ?? ''}`, ...(check?.column == null ? {} : { column: check.column }) };
      return [ordinal, reason];
    }),
  );
}

/**
 * Inserts the rows whose event is new, the first of each event by ordinal, and returns the ordinals of the others.
 * @throws a unique violation (23505) when another transaction inserted one of the events meanwhile: do the batch again.
 */
export async function insertNew({ client }: Connection, rules: EventRules, from = 0, to = 2 ** 31 - 1): Promise<{ inserted: number; known: number[] }> {
  const names = rules.columns.map(({ name }) => name).join(', ');
  const { rows } = await client.query<{ inserted: number; known: number[] | null }>(
    `with ranked as materialized (
       select t.*,
              row_number() over (partition by t.event_id order by t.ordinal) = 1
                and not exists (select from public.events e where e.event_id = t.event_id) as is_new
       from ${TYPED} t
       where t.ordinal between $1 and $2
     ), inserted as (
       insert into public.events (${names})
       select ${names} from ranked where is_new order by ordinal
       returning 1
     )
     select (select count(*) from inserted)::int4 as inserted, (select array_agg(ordinal) from ranked where not is_new) as known`,
    [from, to],
  );
  return { inserted: rows[0]?.inserted ?? 0, known: rows[0]?.known ?? [] };
}

/** Tells a redelivered row (the table has the same content) from a conflict (it has other content under the same id). */
export async function compareKnown({ client }: Connection, rules: EventRules, known: readonly number[]): Promise<Pick<Verdicts, 'rejected' | 'duplicates'>> {
  const rejected = new Map<number, Reason>();
  const duplicates = new Map<number, string>();
  if (known.length === 0) return { rejected, duplicates };
  const content = rules.columns.map(({ name }) => name).filter((name) => name !== 'event_id');
  const { rows } = await client.query<{ ordinal: number; eventId: string; differing: string[] | null }>(
    `select t.ordinal, t.event_id as "eventId",
            array_remove(array[${content.map((name) => `case when t.${name} is distinct from e.${name} then ${literal(name)} end`).join(', ')}], null) as differing
     from ${TYPED} t
     join public.events e using (event_id)
     where t.ordinal = any ($1)`,
    [known],
  );
  for (const { ordinal, eventId, differing } of rows) {
    if (differing === null || differing.length === 0) duplicates.set(ordinal, eventId);
    else rejected.set(ordinal, { kind: 'conflict', sqlState: UNIQUE_VIOLATION, column: differing[0] ?? '', constraint: 'events_pkey', message: `event ${eventId} is in the table with other content: ${differing.join(', ')}` });
  }
  return { rejected, duplicates };
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
