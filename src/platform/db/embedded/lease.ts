import type pg from 'pg';
import { EcompipeError, errnoOf, EXIT } from '../../errors.js';
import { silentLogger, type Logger } from '../../log.js';
import { pause } from '../../wait.js';
import { ConnectionLostError } from '../sqlState.js';
import { OWN_SERVER_HINT } from './binaries.js';
import { ensureCluster, type Cluster } from './cluster.js';
import { findRunningServer, type RunningServer } from './pidFile.js';
import { isKept, isStoppedOnPurpose, startServer, stopServer } from './server.js';
import {
  connectionTo,
  hasGuests,
  leaseHolders,
  openLockedSession,
  tryLockExclusive,
  unlockShared,
  type EmbeddedConnection,
} from './session.js';

export interface EmbeddedOptions {
  /** The project's working directory; the database is in its `postgres/`. @default '.ecompipe' */
  readonly directory?: string;
  /** `createLogger` creates one. @default silent */
  readonly log?: Logger;
  /** Ends the waiting for the server. @default never aborted */
  readonly signal?: AbortSignal;
  /**
   * How long the server may take to be there: starting, crash recovery and waiting for others, in milliseconds.
   * @default 120000
   */
  readonly deadlineMs?: number;
}

/** The right to use the embedded server: it isn't stopped as long as one lease is held. */
export interface EmbeddedLease {
  /** Where the database is. Name your sessions `ecompipe …` (application_name): others count as guests that keep the server up. */
  readonly connection: EmbeddedConnection;
  /** For `db`: what the lease is on. */
  readonly cluster: Cluster;
  readonly server: RunningServer;
  /**
   * Where the database is now, by the server's own lock file; to be asked before each connection is opened. A server that
   * was started again may have another port, and its old one may be a stranger's by then.
   * @throws ConnectionLostError while none runs, EcompipeError (69) once it was stopped by `db stop --force`.
   */
  readonly locate: () => Promise<EmbeddedConnection>;
  /**
   * Gives the lease back, after your own connections are closed. The last one out stops the server and waits for its end,
   * unless it is to be kept (`db start`, `db url`) or a guest, such as a psql, is connected: then the next last one does.
   */
  readonly release: () => Promise<void>;
}

/** Recovery after a killed bulk load is what takes long. */
const DEADLINE_MS = 120_000;
const RETRY_INTERVAL_MS = 20;
/**
 * A start fails for a moment when the port was taken in between, or when processes of a killed server still live: they end
 * as soon as they notice. What doesn't pass in 5 s doesn't pass.
 */
const MAX_FAILED_STARTS = 11;
const FAILED_START_PAUSE_MS = 500;
/** How long the server may take to notice that a killed command is gone, before its lease counts as a live one's. */
const DEAD_LEASE_GRACE_MS = 2000;

/**
 * Uses the embedded server of a project: creates the database if there is none, starts the server if it isn't running, and
 * waits out a server that is just starting, recovering or stopping.
 * @throws EcompipeError 69 when the server can't be run or does not start, 77 when rights are missing, 130 on `signal`.
 */
export async function attachEmbeddedServer(options: EmbeddedOptions = {}): Promise<EmbeddedLease> {
  const {
    directory = '.ecompipe',
    log = silentLogger,
    signal = new AbortController().signal,
    deadlineMs = DEADLINE_MS,
  } = options;
  try {
    const cluster = await ensureCluster({ directory, log, signal });
    return new Lease(cluster, await enter(cluster, log, signal, deadlineMs), log);
  } catch (error) {
    if (!signal.aborted || error instanceof EcompipeError) throw error;
    throw new EcompipeError(EXIT.interrupted, {
      what: 'stopped while waiting for the embedded PostgreSQL',
      cause: error,
    });
  }
}

/** Runs `use` with a lease and gives it back afterwards, however `use` ends. */
export async function withEmbeddedServer<T>(
  options: EmbeddedOptions,
  use: (connection: EmbeddedConnection, lease: EmbeddedLease) => Promise<T>,
): Promise<T> {
  const lease = await attachEmbeddedServer(options);
  try {
    return await use(lease.connection, lease);
  } finally {
    await lease.release();
  }
}

/** Opens a session that holds the shared lock, starting the server when it isn't running. */
async function enter(cluster: Cluster, log: Logger, signal: AbortSignal, deadlineMs: number): Promise<Entry> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), deadlineMs);
  let why = 'it does not answer';
  try {
    return await tryToEnter(cluster, log, AbortSignal.any([signal, deadline.signal]), (failure) => (why = failure));
  } catch (error) {
    // A recovery goes on without us: nothing is stopped here.
    if (deadline.signal.aborted && !signal.aborted)
      throw notEntered(cluster, `it is not ready after ${deadlineMs / 1000} s: ${why}`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** As `enter`, for as long as it takes; throws when `signal` aborts. */
async function tryToEnter(
  cluster: Cluster,
  log: Logger,
  signal: AbortSignal,
  onFailure: (why: string) => void,
): Promise<Entry> {
  let failedStarts = 0;
  for (;;) {
    const server = await findRunningServer(cluster.data);
    if (server === undefined) {
      const failure = await startServer(cluster, log, signal);
      // The loser of two starts finds the winner running.
      if (failure === undefined || (await findRunningServer(cluster.data)) !== undefined) continue;
      onFailure(failure);
      failedStarts += 1;
      if (failedStarts === MAX_FAILED_STARTS) throw notEntered(cluster, failure);
      await pause(failedStarts === 1 ? RETRY_INTERVAL_MS : FAILED_START_PAUSE_MS, signal);
      signal.throwIfAborted();
      continue;
    }
    try {
      if (server.port > 0) return { server, session: await openLockedSession(cluster, server, signal) };
    } catch (error) {
      if (error instanceof EcompipeError) throw error;
      // Starting up, shutting down, or ended while we waited for the lock: look again.
      onFailure(String(error));
    }
    await pause(RETRY_INTERVAL_MS, signal);
    signal.throwIfAborted();
  }
}

function notEntered(cluster: Cluster, why: string): EcompipeError {
  return new EcompipeError(EXIT.unavailable, {
    what: `cannot start the embedded PostgreSQL in ${cluster.home}`,
    why,
    hint: `see ${cluster.home}/server.log; or ${OWN_SERVER_HINT}`,
  });
}

interface Entry {
  readonly server: RunningServer;
  readonly session: pg.Client;
}

/**
 * A lease is *held* from the start, *recovering* while its session is lost, and *released* at the end. A server that was
 * killed is started again, on its old port if that is free, so that the command's own retries find it; one that was
 * stopped on purpose (`db stop --force`) is not.
 */
class Lease implements EmbeddedLease {
  readonly connection: EmbeddedConnection;
  private readonly released = new AbortController();
  /** The server was stopped on purpose. */
  private isOver = false;
  private recovery: Promise<void> = Promise.resolve();

  constructor(
    readonly cluster: Cluster,
    private entry: Entry,
    private readonly log: Logger,
  ) {
    this.connection = connectionTo(cluster, entry.server);
    this.watch(entry);
  }

  get server(): RunningServer {
    return this.entry.server;
  }

  readonly locate = async (): Promise<EmbeddedConnection> => {
    const running = await findRunningServer(this.cluster.data);
    // One that was started since is not ours: we hold no lease on it.
    if (this.isOver || (await isStoppedOnPurpose(this.cluster, this.server))) throw stoppedOnPurpose(this.cluster);
    if (running !== undefined && running.port > 0) return connectionTo(this.cluster, running);
    throw new ConnectionLostError(
      new Error('the embedded PostgreSQL does not run'),
      `it is started again; see ${this.cluster.home}/server.log if that fails`,
    );
  };

  readonly release = async (): Promise<void> => {
    if (this.released.signal.aborted) return;
    this.released.abort();
    await this.recovery;
    await leave(this.entry, this.cluster, this.log);
  };

  private watch({ session }: Entry): void {
    session.once('end', () => {
      if (!this.released.signal.aborted) this.recovery = this.recover();
    });
  }

  private async recover(): Promise<void> {
    const lost = this.server;
    try {
      if (await isStoppedOnPurpose(this.cluster, lost)) {
        this.isOver = true;
        this.log.warn('database_stopped', 'the embedded PostgreSQL was stopped by `db stop --force`', {
          port: lost.port,
        });
        return;
      }
      this.log.warn('database_lost', 'the embedded PostgreSQL is gone: restarting it', { port: lost.port });
      this.entry = await enter(this.cluster, this.log, this.released.signal, DEADLINE_MS);
      this.watch(this.entry);
      this.log.info('database_recovered', `the embedded PostgreSQL runs again on port ${this.server.port}`, {
        port: this.server.port,
      });
    } catch (error) {
      if (!this.released.signal.aborted) this.log.error('database_not_recovered', String(error));
    }
  }
}

function stoppedOnPurpose(cluster: Cluster): EcompipeError {
  return new EcompipeError(EXIT.unavailable, {
    what: `the embedded PostgreSQL in ${cluster.home} was stopped by \`ecompipe db stop --force\``,
    outcome: 'what was not committed is rolled back; nothing is lost',
    hint: 'run the command again: it starts the server',
  });
}

/**
 * Unlock, then try to be alone. Of several who leave at once each has unlocked before it tries, so the last one to try
 * succeeds, and at most one does. It holds the lock until the server is down: newcomers wait, lose their connection to the
 * shutdown, and start the server anew.
 */
async function leave({ session, server }: Entry, cluster: Cluster, log: Logger): Promise<void> {
  try {
    await unlockShared(session);
    if ((await becomeLast(session)) && !(await isKept(cluster, server)) && !(await hasGuests(session))) {
      await stopServer(cluster, server, log);
    }
  } catch (error) {
    // The work is done; a server that stays is stopped by the next one out.
    log.debug('database_not_stopped', `could not stop the embedded PostgreSQL: ${String(error)}`);
  } finally {
    await session.end().catch(() => undefined);
  }
}

/** Takes the exclusive lock, unless a live command holds a lease: that one will be the last. */
async function becomeLast(session: pg.Client): Promise<boolean> {
  const deadline = Date.now() + DEAD_LEASE_GRACE_MS;
  while (Date.now() < deadline) {
    if (await tryLockExclusive(session)) return true;
    if ((await leaseHolders(session)).some(isProcessAlive)) return false;
    await pause(RETRY_INTERVAL_MS);
  }
  return false;
}

function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}
