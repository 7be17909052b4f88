import { EcompipeError, EXIT, InterruptedError } from '../errors.js';
import type { Logger } from '../log.js';
import type { EmbeddedConnection } from './embedded/index.js';
import { openConnection, type Connection } from './client.js';
import {
  describeConnection,
  resolveConnection,
  type ConnectionSettings,
  type RawDatabaseSettings,
} from './connectionSettings.js';
import { LockWatch } from './lockWatch.js';
import { withRetry, type DatabaseEvent } from './retry.js';
import { explainFailure } from './errors.js';

/** The database a command works on. */
export interface Database {
  readonly settings: ConnectionSettings;
  /** It is our own embedded server. */
  readonly embedded: boolean;
  /** For people: where it is; no password. */
  readonly label: string;
  /** Opens a connection. Statements on it that wait for a lock are reported, and cancelled when we are to stop. */
  open(): Promise<Connection>;
  /** Opens a connection for those who look after their statements themselves. */
  openUnwatched(): Promise<Connection>;
  /** Opens a connection, retrying while the database is away. */
  connect(): Promise<Connection>;
  /** Runs an action, retrying it while it fails for a passing reason. Only for what may be done twice. */
  retry<T>(what: string, attempt: () => Promise<T>): Promise<T>;
  /** Tells those who watch over the process what a connection has shown. */
  readonly report: (event: DatabaseEvent) => void;
}

export interface TargetSettings extends RawDatabaseSettings {
  /** Home of the embedded server, used when no database is configured. @default '.ecompipe' */
  readonly embeddedDir: string;
  /** Give up when the database has been away for so many milliseconds. @default 60000 */
  readonly retryForMs: number;
}

export interface TargetContext {
  readonly log: Logger;
  readonly stop: AbortSignal;
  /** Hears of failures that are tried again, of a server that is silent, and of the end of either. */
  readonly onDatabaseEvent?: ((event: DatabaseEvent) => void) | undefined;
}

/** Runs `action` on the configured database, or on the embedded server, which is started if need be and shared. */
export async function withDatabase<T>(
  settings: TargetSettings,
  context: TargetContext,
  action: (database: Database) => Promise<T>,
): Promise<T> {
  const configured = resolveConnection(settings, process.env);
  if (configured !== undefined)
    return await action(
      createDatabase(configured, () => Promise.resolve(configured), false, settings.retryForMs, context),
    );
  const { withEmbeddedServer } = await import('./embedded/index.js');
  return await withEmbeddedServer(
    { directory: settings.embeddedDir, log: context.log, signal: context.stop },
    async (connection, { locate }) => {
      let current = embeddedSettings(connection);
      const locateAnew = async (): Promise<ConnectionSettings> => {
        const { port } = await locate();
        // The same object as long as nothing has changed: what is known of a server is remembered by it (see pooler.ts).
        if (port !== current.port) current = { ...current, port };
        return current;
      };
      return await action(createDatabase(current, locateAnew, true, settings.retryForMs, context));
    },
  );
}

/** The embedded server asks for SCRAM. Whoever asks for a password in another way has taken a dead server's port. */
function embeddedSettings(connection: EmbeddedConnection): ConnectionSettings {
  return {
    ...connection,
    sslMode: 'disable',
    requireAuth: ['scram-sha-256'],
    hintWhenLost: 'the embedded PostgreSQL ends when it crashes or is killed, and is started again; see its server.log',
  };
}

/**
 * The same for commands that only work on what was loaded before: they create nothing. An embedded database that is there
 * and stopped is started for them, and stopped again by the last one.
 * @throws EcompipeError (69) when none is configured and there is no embedded one yet.
 */
export async function withExistingDatabase<T>(
  settings: TargetSettings,
  context: TargetContext,
  action: (database: Database) => Promise<T>,
): Promise<T> {
  const { embeddedDir } = settings;
  if (resolveConnection(settings, process.env) === undefined) {
    const { openCluster } = await import('./embedded/cluster.js');
    if ((await openCluster(embeddedDir)) === undefined)
      throw new EcompipeError(EXIT.unavailable, {
        what: 'there is no database yet',
        why: `none is configured, and ${embeddedDir} has no embedded one`,
        hint: '`ecompipe run-all`, `ecompipe stream` or `ecompipe migrate` makes one; DATABASE_URL or POSTGRES_* name your own',
      });
  }
  return await withDatabase(settings, context, action);
}

function createDatabase(
  connection: ConnectionSettings,
  /** Where it is now: asked before each connection. */
  locate: () => Promise<ConnectionSettings>,
  embedded: boolean,
  retryForMs: number,
  { log, stop, onDatabaseEvent }: TargetContext,
): Database {
  const retry = <T>(what: string, attempt: () => Promise<T>): Promise<T> =>
    withRetry(what, { retryForMs, log, stop, onEvent: onDatabaseEvent }, attempt);
  const label = describeConnection(connection);
  const openUnwatched = async (): Promise<Connection> => await openConnection(await locate());
  const locks = new LockWatch(connection, log, stop, openUnwatched);
  const open = async (): Promise<Connection> => {
    const opened = await openUnwatched();
    locks.watch(opened);
    return opened;
  };
  return {
    settings: connection,
    embedded,
    label,
    open,
    openUnwatched,
    retry,
    report: (event) => onDatabaseEvent?.(event),
    connect: () => retry(`cannot connect to PostgreSQL at ${label}`, open),
  };
}

/** The same database for what a stop signal asks for, such as the proof after Ctrl-C: its statements are not cancelled. */
export function finishing(database: Database): Database {
  const open = (): Promise<Connection> => database.openUnwatched();
  const connect = (): Promise<Connection> => database.retry(`cannot connect to PostgreSQL at ${database.label}`, open);
  return { ...database, open, connect };
}

/** Runs a one-shot action on a connection of its own; it is tried again from the start while the database is away. */
export async function withConnection<T>(
  database: Database,
  what: string,
  action: (connection: Connection) => Promise<T>,
): Promise<T> {
  return await database.retry(`${what} (PostgreSQL at ${database.label})`, async () => {
    const connection = await database.open();
    try {
      return await action(connection);
    } finally {
      await connection.close();
    }
  });
}

/**
 * Runs an action that can't be tried again in the middle, on a connection of its own. However it ends, the connection is
 * closed, and the server rolls back what is open on it: also in the middle of a COPY, where it takes no other statement.
 * @param outcome what is left when it does not end well.
 * @throws InterruptedError (130) when stopped meanwhile, DatabaseError (69) when the connection was lost.
 */
export async function withSoleConnection<T>(
  database: Database,
  what: string,
  outcome: string,
  stop: AbortSignal,
  action: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await database.connect();
  try {
    return await action(connection);
  } catch (raw) {
    const error = connection.explain(raw);
    if (stop.aborted) throw new InterruptedError({ what: 'interrupted', outcome, cause: error });
    if (error instanceof EcompipeError) throw error;
    throw explainFailure(`${what} (PostgreSQL at ${database.label})`, error);
  } finally {
    await connection.close();
  }
}
