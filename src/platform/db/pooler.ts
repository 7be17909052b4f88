import type pg from 'pg';
import { EXIT } from '../errors.js';
import { describeConnection, type ConnectionSettings } from './connectionSettings.js';
import { DatabaseError } from './errors.js';
import { internalsOf } from './pgInternals.js';
import { decodeRows, integer, queryAll } from './decodeRows.js';
import { soleRow } from './soleRow.js';
import { ConnectionLostError } from './sqlState.js';

/** A pooler that has one server connection in all keeps the second session waiting: then each session has its own. */
const SECOND_SESSION_MS = 3000;

/** What was found out, by server: a process asks once. */
const checked = new WeakSet<ConnectionSettings>();

/**
 * Makes sure that a session is one: behind a connection pooler in transaction mode each transaction may run in another
 * session of the server. Locks, settings and prepared statements would stay behind with strangers, and an advisory lock
 * that nobody holds any more would keep out every later command.
 *
 * A pooler gives itself away by the process id of its greeting (BackendKeyData, PostgreSQL manual 55.7), which is its own
 * invention. That it lends out sessions by transaction shows when a second connection meets the first one's session, or
 * the first one finds itself in another. To be called before anything is set in the session.
 *
 * @param openSecond opens another connection with nothing done on it.
 * @throws DatabaseError (2).
 */
export async function assertOwnSession(
  client: pg.Client,
  settings: ConnectionSettings,
  openSecond: () => Promise<pg.Client>,
): Promise<void> {
  if (checked.has(settings)) return;
  const greeted = internalsOf(client).processID;
  const pid = await readBackendPid(client);
  if (pid !== greeted && (await isShared(client, pid, openSecond)))
    throw new DatabaseError(EXIT.usage, undefined, {
      what: `PostgreSQL at ${describeConnection(settings)} is behind a connection pooler in transaction mode`,
      why: 'it gives each transaction another session of the server, and with it the locks and settings of others',
      outcome: 'nothing was done',
      hint: 'connect to the server itself, or to the pooler in session mode: pool_mode=session of PgBouncer, port 5432 instead of 6543 at Supabase, the host name without -pooler at Neon, the endpoint of the instance instead of an RDS Proxy',
    });
  checked.add(settings);
}

async function isShared(client: pg.Client, pid: number, openSecond: () => Promise<pg.Client>): Promise<boolean> {
  // A pool that hands out its sessions in turn.
  if ((await readBackendPid(client)) !== pid) return true;
  const second = await openSecond();
  try {
    const other = await readBackendPid(second, 'begin;');
    return other === pid || (await readBackendPid(client)) !== pid;
  } catch (error) {
    // No answer in time: it waits until the first session is free.
    if (error instanceof ConnectionLostError) return false;
    throw error;
  } finally {
    // Not a farewell, which would wait for its turn, too; what is open in it ends with it.
    internalsOf(second).connection.stream.destroy();
  }
}

async function readBackendPid(client: pg.Client, before = ''): Promise<number> {
  const results = await queryAll(client, {
    text: `${before} select pg_catalog.pg_backend_pid() as pid`,
    query_timeout: SECOND_SESSION_MS,
  } as pg.QueryConfig);
  return soleRow(decodeRows({ pid: integer }, results.at(-1)?.rows ?? [])).pid;
}
