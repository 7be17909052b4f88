import type { Connection } from '../../../platform/db/client.js';
import { classifyError } from '../../../platform/db/sqlState.js';
import type { CheckRule, ColumnRule, EventRules } from './rules.js';
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
export async function validateTypes(
  { client, serverVersion }: Connection,
  rules: EventRules,
): Promise<Map<number, Reason>> {
  const { isValid, errorInfo } = inputFunctions(serverVersion);
  const faults = rules.columns.flatMap((column) => [
    ...(column.notNull ? [{ column, when: `${column.name} is null`, isNull: true }] : []),
    ...(column.type === 'text'
      ? []
      : [{ column, when: `not ${isValid}(${column.name}, ${literal(column.type)})`, isNull: false }]),
  ]);
  const names = rules.columns.map(({ name }) => name).join(', ');
  const { rows } = await client.query<{
    ordinal: number;
    fault: number;
    message: string | null;
    sqlState: string | null;
  }>(`
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

function typeFault(
  fault: { readonly column: ColumnRule; readonly isNull: boolean } | undefined,
  row: { readonly message: string | null; readonly sqlState: string | null },
): Reason {
  const column = fault?.column.name ?? '?';
  if (fault?.isNull === true) return nullFault(column);
  return {
    kind: 'invalid',
    sqlState: row.sqlState ?? '22000',
    column,
    message: row.message ?? `not a valid ${fault?.column.type ?? 'value'}`,
  };
}

/**
 * Takes rows that break a NOT NULL or a CHECK out of the typed table; the first one in the order of columns, then of
 * names, is the reason, as in the server. Where a rule itself fails on some row (a user's own, dividing by zero), none is
 * taken out: the insert will tell.
 */
export async function judgeConstraints(connection: Connection, rules: EventRules): Promise<Map<number, Reason>> {
  await connection.client.query('savepoint ecompipe_checks');
  try {
    return await removeInvalid(connection, rules);
  } catch (error) {
    if (classifyError(error) !== 'row') throw error;
    await connection.client.query('rollback to savepoint ecompipe_checks');
    return new Map();
  }
}

async function removeInvalid({ client }: Connection, rules: EventRules): Promise<Map<number, Reason>> {
  const faults = [
    ...rules.columns
      .filter(({ notNull }) => notNull)
      .map(({ name }) => ({ isSound: `${name} is not null`, column: name, reason: () => nullFault(name) })),
    ...rules.checks.map((check) => ({
      isSound: `(${check.expression}) is not false`,
      column: check.column,
      reason: (value: string | null) => checkFault(check, value),
    })),
  ];
  if (faults.length === 0) return new Map();
  const { rows } = await client.query<{ ordinal: number; fault: number; value: string | null }>(`
    delete from ${TYPED}
    where not (${faults.map(({ isSound }) => isSound).join(' and ')})
    returning ordinal, case ${faults.map(({ isSound }, index) => `when not (${isSound}) then ${index}`).join(' ')} end as fault,
      case ${faults.map(({ isSound, column }) => `when not (${isSound}) then ${column === null ? 'null' : `left(${column}::text, 100)`}`).join(' ')} end as value`);
  return new Map(
    rows.flatMap(({ ordinal, fault, value }) => {
      const found = faults[fault];
      return found === undefined ? [] : [[ordinal, found.reason(value)] as const];
    }),
  );
}

function nullFault(column: string): Reason {
  return { kind: 'invalid', sqlState: NOT_NULL_VIOLATION, column, message: `null value in column "${column}"` };
}

function checkFault({ name, column, expression }: CheckRule, value: string | null): Reason {
  const what =
    column === null ? 'the row' : value === null ? `the row without ${column}` : `${column} ${JSON.stringify(value)}`;
  return {
    kind: 'invalid',
    sqlState: CHECK_VIOLATION,
    constraint: name,
    message: `${what} breaks the rule ${name}: ${expression}`,
    ...(column === null ? {} : { column }),
  };
}

/**
 * Inserts the rows whose event is new, the first of each event by ordinal, and returns the ordinals of the others.
 * @throws a unique violation (23505) when another transaction inserted one of the events meanwhile: do the batch again.
 */
export async function insertNew(
  { client }: Connection,
  rules: EventRules,
  from = 0,
  to = 2 ** 31 - 1,
): Promise<{ inserted: number; known: number[] }> {
  const { rows } = await client.query<{ known: number[] | null }>(
    `select array_agg(ordinal) as known
     from (
       select t.ordinal from ${TYPED} t
       where t.ordinal between $1 and $2 and exists (select from public.events e where e.event_id = t.event_id)
       union
       select ordinal
       from (select ordinal, row_number() over (partition by event_id order by ordinal) as occurrence
             from ${TYPED} where ordinal between $1 and $2) as t
       where occurrence > 1
     ) as known`,
    [from, to],
  );
  const known = rows[0]?.known ?? [];
  const names = rules.columns.map(({ name }) => name).join(', ');
  const { rowCount } = await client.query(
    `insert into public.events (${names})
     select ${names} from ${TYPED}
     where ordinal between $1 and $2 and ordinal <> all ($3::int4[])`,
    [from, to, known],
  );
  return { inserted: rowCount ?? 0, known };
}

/** Tells a redelivered row (the table has the same content) from a conflict (it has other content under the same id). */
export async function compareKnown(
  { client }: Connection,
  rules: EventRules,
  known: readonly number[],
): Promise<Pick<Verdicts, 'rejected' | 'duplicates'>> {
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
    else
      rejected.set(ordinal, {
        kind: 'conflict',
        sqlState: UNIQUE_VIOLATION,
        column: differing[0] ?? '',
        constraint: 'events_pkey',
        message: `event ${eventId} is in the table with other content: ${differing.join(', ')}`,
      });
  }
  return { rejected, duplicates };
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
