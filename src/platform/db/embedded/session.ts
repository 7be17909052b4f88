import { Socket } from 'node:net';
import pg from 'pg';
import { EcompipeError, EXIT } from '../../errors.js';
import { guardPassword } from '../passwordGuard.js';
import type { Cluster } from './cluster.js';
import { DATABASE, USER } from './initdb.js';
import type { RunningServer } from './pidFile.js';
import { boolean, integer, queryRow, queryRows } from '../decodeRows.js';

/** How to connect to the embedded database. */
export interface EmbeddedConnection {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

/**
 * Every live command holds this advisory lock SHARED on a session of its own; who can take it EXCLUSIVE is alone. The
 * server itself counts, so a SIGKILLed command is taken off the count the moment the kernel closes its socket.
 * The lock lives in the database `postgres`, which users have no reason to drop.
 */
const LOCK_KEYS = '1701015405, 1';
/** How the sessions of ecompipe name themselves: any other session is somebody's psql. */
const LEASE_NAME = 'ecompipe lease';

export function connectionTo(cluster: Cluster, server: RunningServer): EmbeddedConnection {
  return { host: '127.0.0.1', port: server.port, database: DATABASE, user: USER, password: cluster.password };
}

/** Opens a session on the database `postgres`; when `signal` aborts, so does everything that waits on it. */
export async function openSession<T>(
  cluster: Cluster,
  server: RunningServer,
  signal: AbortSignal,
  use: (session: pg.Client) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const socket = new Socket();
  const session = new pg.Client({
    stream: () => socket,
    ...connectionTo(cluster, server),
    database: 'postgres',
    // Said here, or pg would take PGSSLMODE and PGOPTIONS, which the user's shell has for another server.
    ssl: false,
    options: ' ',
    client_encoding: 'UTF8',
    sslnegotiation: 'postgres',
    application_name: `${LEASE_NAME} ${process.pid}`,
    connectionTimeoutMillis: 10_000,
  });
  // Whatever else answers on that port must not be handed the password.
  guardPassword(session, { host: '127.0.0.1', requireAuth: ['scram-sha-256'] }, false);
  // A lost session shows in its queries and in its `end`; without a listener its `error` would end the process.
  session.on('error', () => undefined);
  // Not a farewell: a server that doesn't answer wouldn't answer that either.
  const close = (): void => void socket.destroy();
  signal.addEventListener('abort', close, { once: true });
  try {
    await session.connect();
    return await use(session);
  } catch (error) {
    close();
    signal.throwIfAborted();
    throw isRefusal(error) ? refused(cluster, server, error) : error;
  } finally {
    signal.removeEventListener('abort', close);
  }
}

/** Opens a session that holds the shared lock: the essence of a lease. */
export async function openLockedSession(
  cluster: Cluster,
  server: RunningServer,
  signal: AbortSignal,
): Promise<pg.Client> {
  return await openSession(cluster, server, signal, async (session) => {
    await lockShared(session);
    return session;
  });
}

/**
 * Takes the shared lock; waits while somebody decides about stopping the server, and fails with the connection when they
 * do. Then makes sure that our database exists: it is created here, and again after a `dropdb`.
 */
async function lockShared(client: pg.Client): Promise<void> {
  await client.query(`select pg_advisory_lock_shared(${LOCK_KEYS})`);
  const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
  if (rowCount === 1) return;
  await client.query(`create database ${DATABASE}`).catch((error: unknown) => {
    // Another newcomer was faster: it has it already (42P04), or has it in this moment (23505 on the catalogue's index).
    if (!['42P04', '23505'].includes((error as pg.DatabaseError).code ?? '')) throw error;
  });
}

export async function unlockShared(client: pg.Client): Promise<void> {
  await client.query(`select pg_advisory_unlock_shared(${LOCK_KEYS})`);
}

/** Takes the lock exclusively if nobody holds a lease. Until this session ends, newcomers wait in `lockShared`. */
export async function tryLockExclusive(client: pg.Client): Promise<boolean> {
  const { alone } = await queryRow(client, { alone: boolean }, `select pg_try_advisory_lock(${LOCK_KEYS}) as alone`);
  return alone;
}

/** The pids of the commands that hold the lock, shared or exclusively. */
export async function leaseHolders(client: pg.Client): Promise<number[]> {
  const rows = await queryRows(
    client,
    { pid: integer },
    `select distinct split_part(activity.application_name, ' ', 3)::int as pid
       from pg_locks as lock
       join pg_stat_activity as activity using (pid)
      where lock.locktype = 'advisory' and (lock.classid, lock.objid, lock.objsubid) = (${LOCK_KEYS}, 2) and lock.granted
        and activity.application_name ~ '^${LEASE_NAME} \\d+$' and activity.pid <> pg_backend_pid()
      order by 1`,
  );
  return rows.map(({ pid }) => pid);
}

/** Whether somebody who isn't ecompipe is connected: a psql, a GUI, a replica. */
export async function hasGuests(client: pg.Client): Promise<boolean> {
  const { guests } = await queryRow(
    client,
    { guests: boolean },
    `select exists (
       select from pg_stat_activity
        where backend_type in ('client backend', 'walsender') and application_name not like 'ecompipe%'
     ) as guests`,
  );
  return guests;
}

/** Class 28: the server knows who we claim to be and says no. Anything else may pass: starting, stopping, full. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code?.startsWith('28') === true;
}

function refused(cluster: Cluster, server: RunningServer, error: unknown): EcompipeError {
  return new EcompipeError(EXIT.permission, {
    what: `the embedded PostgreSQL on port ${server.port} does not accept the password in ${cluster.home}/password`,
    why: String(error),
    hint: 'if it was changed, put the new one into that file',
    cause: error,
  });
}
