import { Socket } from 'node:net';
import pg from 'pg';
import { clientConfig, type ConnectionSettings } from './connectionSettings.js';
import { noPasswordError, noTlsError } from './errors.js';
import { askSession, watchLiveness, type SessionState } from './liveness.js';
import { internalsOf } from './pgInternals.js';
import { guardPassword } from './passwordGuard.js';
import { assertOwnSession } from './pooler.js';
import { pinSessionSettings, type SessionOrigin } from './sessionSettings.js';
import { ConnectionLostError, isCertificateError, sqlStateOf } from './sqlState.js';
import { EcompipeError } from '../errors.js';

/** A connection with our session settings. `broken` is set once it can't be used any more. */
export interface Connection extends SessionOrigin {
  readonly client: pg.Client;
  readonly broken: boolean;
  /** When the statement under way was sent, on the clock of performance.now(); undefined while there is none. */
  readonly statementSinceMs: number | undefined;
  /** What an error thrown while it was used means: a ConnectionLostError when the connection is gone, else the error itself. */
  explain(error: unknown): unknown;
  /** Closes it, politely when it still works; never throws. */
  close(): Promise<void>;
}

/** Of `bigint[]`; pg has names for single values only. */
const INT8_ARRAY = 1016;

/** Counts and ids beyond 2^53 don't occur; as numbers they are safer to handle than as text. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) => {
    const id: number = oid;
    const parse = pg.types.getTypeParser(oid, format) as (raw: string) => unknown;
    if (oid === pg.types.builtins.INT8) return Number;
    if (id !== INT8_ARRAY) return parse;
    return (raw: string) => (parse(raw) as (string | null)[]).map((value) => (value === null ? null : Number(value)));
  },
};

/**
 * Opens a connection, with TLS as `sslMode` says: `prefer` falls back to none where the server has none, `allow` the
 * other way round.
 * @throws ConnectionLostError when nobody answers; what the server says; DatabaseError for what only a person can mend.
 */
export async function openConnection(settings: ConnectionSettings): Promise<Connection> {
  switch (settings.sslMode) {
    case 'disable':
      return await open(settings, false);
    case 'allow':
      return await openEither(settings, false);
    case 'prefer':
      return await openEither(settings, true);
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return await open(settings, true);
  }
}

async function openEither(settings: ConnectionSettings, tlsFirst: boolean): Promise<Connection> {
  // A Unix socket has no TLS, and neither needs it.
  if (settings.host.startsWith('/')) return await open(settings, false);
  try {
    return await open(settings, tlsFirst);
  } catch (error) {
    const refused = sqlStateOf(error);
    // The server answered: only pg_hba's "no entry for this kind of connection" (28000) is about TLS.
    if (refused !== undefined && refused !== '28000') throw error;
    if (refused === undefined && isNetworkError(error instanceof ConnectionLostError ? error.cause : error))
      throw error;
    return await open(settings, !tlsFirst);
  }
}

function isNetworkError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return (
    error instanceof AggregateError ||
    (typeof code === 'string' && /^(ECONN|ENOTFOUND|EHOST|ENET|ETIMEDOUT|EAI_)/.test(code) && code !== 'ECONNRESET')
  );
}

async function open(settings: ConnectionSettings, tls: boolean): Promise<Connection> {
  const socket = new Socket();
  const state = { broken: false };
  const client = createClient(settings, tls, socket);
  client.isLost = () => state.broken || socket.destroyed;
  client.hintWhenLost = settings.hintWhenLost;
  const handshake = watchHandshake(client, socket);
  // Without a listener a connection that breaks while idle would end the process; the next query reports it.
  client.on('error', () => {
    state.broken = true;
  });
  try {
    await client.connect();
    const openSecond = async (): Promise<pg.Client> => {
      const second = createClient(settings, tls, new Socket());
      second.on('error', () => undefined);
      await second.connect();
      return second;
    };
    const session: { origin?: SessionOrigin } = {};
    watchLiveness(client, socket, settings, async () =>
      session.origin === undefined ? 'unknown' : await askOver(openSecond, session.origin),
    );
    await assertOwnSession(client, settings, openSecond);
    const origin = (session.origin = await pinSessionSettings(client));
    return {
      client,
      ...origin,
      get broken() {
        return state.broken;
      },
      get statementSinceMs() {
        return client.statementSinceMs;
      },
      explain: client.explain,
      close: async () => {
        await client.end().catch(() => undefined);
      },
    };
  } catch (error) {
    await client.end().catch(() => undefined);
    if (tls && handshake.refusedTls) throw noTlsError(settings, error);
    if (handshake.askedForPassword && !client.password) throw noPasswordError(settings, error);
    throw sqlStateOf(error) !== undefined ||
      error instanceof EcompipeError ||
      isCertificateError(error) ||
      isProgrammingError(error)
      ? error
      : new ConnectionLostError(error, settings.hintWhenLost);
  }
}

/** What the server says of a session; nothing that counts where it has no room for one more connection. */
async function askOver(open: () => Promise<pg.Client>, { backend }: SessionOrigin): Promise<SessionState> {
  try {
    const second = await open();
    try {
      // Of its own it has the role's path, in which others may shadow what the question uses.
      await second.query('set search_path = pg_catalog, pg_temp');
      return await askSession(second, backend);
    } finally {
      // Not a farewell: it would wait for the server.
      internalsOf(second).connection.stream.destroy();
    }
  } catch {
    return 'unknown';
  }
}

function createClient(settings: ConnectionSettings, tls: boolean, socket: Socket): LossReportingClient {
  const client = new LossReportingClient({ ...clientConfig(settings, tls), types, stream: () => socket });
  const { connectionParameters } = internalsOf(client);
  // ~/.pgpass lists servers by the name that the user gave (PostgreSQL manual, 34.16).
  connectionParameters.host = settings.host;
  // pg would take PGOPTIONS for nothing said, and a pooler may refuse even options that say nothing.
  connectionParameters.options = settings.options ?? '';
  guardPassword(client, settings, tls);
  return client;
}

/** Errors of JavaScript itself, which no connection throws. */
function isProgrammingError(error: unknown): boolean {
  return [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
}

/**
 * pg rejects what was under way on a connection that went away with plain errors of many texts. Here, where the socket is
 * known, they become a ConnectionLostError; so does a query without an answer within its `query_timeout`.
 */
class LossReportingClient extends pg.Client {
  isLost: () => boolean = () => false;
  hintWhenLost: string | undefined;
  private sentAtMs = 0;

  get statementSinceMs(): number | undefined {
    return internalsOf(this).readyForQuery ? undefined : this.sentAtMs;
  }

  readonly explain = (error: unknown): unknown =>
    this.isLost() && sqlStateOf(error) === undefined && !isProgrammingError(error) && !(error instanceof EcompipeError)
      ? new ConnectionLostError(error, this.hintWhenLost)
      : error;

  override query = ((...args: [unknown, ...unknown[]]): unknown => {
    this.sentAtMs = performance.now();
    const result = (super.query as (...args: unknown[]) => unknown)(...args);
    if (!(result instanceof Promise)) return result;
    const [config] = args;
    const hasTimeout = typeof config === 'object' && config !== null && 'query_timeout' in config;
    return result.catch((error: unknown) => {
      throw hasTimeout && sqlStateOf(error) === undefined
        ? new ConnectionLostError(error, this.hintWhenLost)
        : this.explain(error);
    });
  }) as pg.Client['query'];
}

/**
 * Notes what pg says only in the text of errors without a code: that the server has no TLS (its one-byte answer to an
 * SSLRequest, PostgreSQL manual 55.2.10) and that it wants a password. Neither goes away by trying again.
 */
function watchHandshake(
  client: pg.Client,
  socket: Socket,
): { readonly refusedTls: boolean; readonly askedForPassword: boolean } {
  const seen = { refusedTls: false, askedForPassword: false };
  socket.once('data', (answer: Buffer) => {
    seen.refusedTls = answer.toString('latin1') === 'N';
  });
  const { connection } = internalsOf(client);
  connection.once('authenticationSASL', () => {
    seen.askedForPassword = true;
  });
  return seen;
}
