import { elementAt } from '../../platform/elementAt.js';
import type { Connection } from '../../platform/db/client.js';
import { raisedIn, serverMessage } from '../../platform/db/sqlState.js';
import { EcompipeError, EXIT, type ErrorFacts } from '../../platform/errors.js';
import { pause } from '../../platform/wait.js';
import type { ConnectionPool, Priority } from './connectionPool.js';
import { CompareAndSetLost } from './ledger.js';
import { printableLine } from '../../platform/printable.js';
import { nullable, queryRow, text } from '../../platform/db/decodeRows.js';

/**
 * The database does not take a file, however often it is tried, because of rules that somebody gave its tables: a trigger,
 * a rule, row-level security. It is this file's failure; the others go on.
 */
export class NotAcceptedError extends EcompipeError {
  override readonly name = 'NotAcceptedError';
  constructor(
    /** The file's name. */
    readonly path: string,
    facts: ErrorFacts,
  ) {
    super(EXIT.usage, facts);
  }
}

/** So often in a row something is done again for the sake of another transaction; then something else is in the way. */
export const MAX_CONTENTIONS = 20;

const FIRST_PAUSE_MS = 5;
const MAX_PAUSE_MS = 200;

/** Waits before the same is tried again: not at all at first, as the other transaction is mostly done by now. */
export async function pauseBeforeRepeat(contentions: number): Promise<void> {
  if (contentions === 0) return;
  await pause(Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** contentions) * (0.5 + Math.random() / 2));
}

/** Explains that the ledger's tables do not keep what is written to them. */
export async function ledgerNotKept(connection: Connection, name: string, cause?: unknown): Promise<NotAcceptedError> {
  const rules = await findLedgerRules(connection);
  return new NotAcceptedError(name, {
    what: `cannot load ${printableLine(name)}`,
    why: `what is written to the ledger about it does not persist${cause instanceof CompareAndSetLost ? ` (${cause.message})` : ''}`,
    outcome: 'all of it that was committed is in the ledger',
    hint:
      rules === undefined
        ? 'look for triggers, rules and row-level security on the tables of the schema ecompipe, and for a process that changes them'
        : `take it away: ${rules}`,
    cause,
  });
}

/** Whatever may change or hide what we write to the ledger: only the trigger that notes batches for the rollups is ours. */
async function findLedgerRules({ client }: Connection): Promise<string | undefined> {
  const { found } = await queryRow(
    client,
    { found: nullable(text) },
    `
    with ledger as (
      select c.oid from pg_class c
      where c.relnamespace = 'ecompipe'::regnamespace
        and c.relname in ('file_entries', 'batches', 'range_entries', 'column_lists', 'rejected_rows', 'duplicate_rows', 'redeliveries')
    )
    select string_agg(what, ', ' order by what) as found
    from (
      select format('trigger %I on %s', tgname, tgrelid::regclass) as what
      from pg_trigger where tgrelid in (select oid from ledger) and not tgisinternal and tgenabled <> 'D' and tgname <> 'batches_are_rolled_up'
      union all
      select format('rule %I on %s', rulename, ev_class::regclass) from pg_rewrite where ev_class in (select oid from ledger)
      union all
      select format('row-level security on %s', oid::regclass) from ledger where row_security_active(oid)
    ) as rules`,
  );
  return found ?? undefined;
}

/**
 * Borrows a connection for one batch. What a function of the user's own raises as if it were passing, such as
 * `serialization_failure`, and goes on raising for as long as failures are retried, is the failure of these files.
 */
export async function useFor<T>(
  pool: ConnectionPool,
  priority: Priority,
  names: readonly string[],
  what: string,
  action: (connection: Connection) => Promise<T>,
): Promise<T> {
  try {
    return await pool.use(priority, what, action);
  } catch (error) {
    const raised =
      error instanceof EcompipeError && error.exitCode === EXIT.unavailable ? error.facts.cause : undefined;
    const place = raisedIn(raised);
    if (place === undefined) throw error;
    throw new NotAcceptedError(elementAt(names, 0), {
      what,
      why: `${serverMessage(raised)}, raised in ${place} at each of many attempts`,
      outcome: 'all of it that was committed is in the ledger; other files are still loaded',
      hint: 'check the triggers and constraints of the table: one of them raises an error that asks for a retry, and no retry succeeds',
      cause: error,
    });
  }
}
