import assert from 'node:assert/strict';
import path from 'node:path';
import { EcompipeError, AlreadyRunningError } from '../../errors.js';
import { silentLogger } from '../../log.js';
import { openCluster, type Cluster } from './cluster.js';
import { replaceFile } from '../../files/atomicWrite.js';
import { OWNER_ONLY } from './files.js';
import { assertNotHeldElsewhere } from './holder.js';
import { attachEmbeddedServer, type EmbeddedOptions } from './lease.js';
import { findRunningServer, type RunningServer } from './pidFile.js';
import { markKept, markStopped, stopServer } from './server.js';
import { leaseHolders, openSession, tryLockExclusive, type EmbeddedConnection } from './session.js';

export interface StopOptions extends EmbeddedOptions {
  /** Also stop it under commands that use it: their open transactions are rolled back. @default false */
  readonly force?: boolean;
}

/** Starts the server if it isn't running, and keeps it running until `stopEmbedded`. Doing it again is fine. */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedConnection> {
  const lease = await attachEmbeddedServer(options);
  try {
    // Under the lease: nobody can be deciding to stop it.
    await markKept(lease.cluster, lease.server);
    return lease.connection;
  } finally {
    await lease.release();
  }
}

export interface UrlOptions extends EmbeddedOptions {
  /**
   * Whether the URL contains the password, which command lines show to other users. Without, it names a password file,
   * which clients that use libpq read.
   * @default true
   */
  readonly withPassword?: boolean;
}

/** The server's address for psql and other clients; starts and keeps it, as `startEmbedded` does. */
export async function embeddedUrl(options: UrlOptions = {}): Promise<string> {
  const { host, port, database, user, password } = await startEmbedded(options);
  const address = `${host}:${port}/${database}`;
  if (options.withPassword !== false) return `postgresql://${user}:${password}@${address}`;
  const cluster = await openCluster(options.directory ?? '.ecompipe');
  assert(cluster !== undefined, 'a server that was started has its cluster');
  const passfile = await writePassfile(cluster, { host, database, user, password });
  return `postgresql://${user}@${address}?passfile=${encodeURIComponent(passfile)}`;
}

/** Beside the password, in the form of ~/.pgpass (PostgreSQL manual, 34.16). The port changes, and so is not named. */
async function writePassfile(
  { home }: Pick<Cluster, 'home'>,
  { host, database, user, password }: Omit<EmbeddedConnection, 'port'>,
): Promise<string> {
  const file = path.resolve(home, 'pgpass');
  await replaceFile(file, `${host}:*:${database}:${user}:${password}\n`, OWNER_ONLY);
  return file;
}

/**
 * Stops the server, kept or not, guests or not.
 * @returns whether there was one to stop.
 * @throws AlreadyRunningError (5) when commands of ecompipe use it and `force` isn't set, or it runs elsewhere.
 */
export async function stopEmbedded(options: StopOptions = {}): Promise<boolean> {
  const { directory = '.ecompipe', log = silentLogger, signal = new AbortController().signal, force = false } = options;
  const cluster = await openCluster(directory);
  const server = cluster && (await findRunningServer(cluster.data));
  if (cluster === undefined) return false;
  if (server === undefined) {
    await assertNotHeldElsewhere(cluster, signal);
    return false;
  }
  if (force) {
    await markStopped(cluster, server);
    await stopServer(cluster, server, log);
    return true;
  }
  const client = await openSession(cluster, server, signal, (session) => Promise.resolve(session)).catch(
    (error: unknown) => {
      throw error instanceof EcompipeError || signal.aborted ? error : busy(server, [], error);
    },
  );
  try {
    if (!(await tryLockExclusive(client))) throw busy(server, await leaseHolders(client));
    await stopServer(cluster, server, log);
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function busy(server: RunningServer, pids: readonly number[], cause?: unknown): AlreadyRunningError {
  const users =
    pids.length === 0
      ? 'it is just starting or stopping'
      : `in use by ecompipe ${pids.length === 1 ? 'process' : 'processes'} ${pids.join(', ')}`;
  return new AlreadyRunningError({
    what: `the embedded PostgreSQL (pid ${server.pid}) was not stopped`,
    why: users,
    hint: 'stop them first, or use --force',
    ...(cause === undefined ? {} : { cause }),
  });
}
