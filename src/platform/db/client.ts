import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import pg from 'pg';
import { clientConfig, type ConnectionSettings } from './connectionSettings.js';
import { noPasswordError, noTlsError } from './errors.js';
import { sqlStateOf } from './sqlState.js';

/** A connection with our session settings. `broken` is set once it can't be used any more. */
export interface Connection {
  readonly client: pg.Client;
  readonly serverVersion: number;
  readonly broken: boolean;
  /** Closes it, politely when it still works; never throws. */
  close(): Promise<void>;
}

/** Counts and ids beyond 2^53 don't occur; as numbers they are safer to handle than as text. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 ? Number : (pg.types.getTypeParser(oid, format) as (raw: string) => unknown),
};

/** What a value means must not depend on the server's or the role's configuration. */
const SESSION = `set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set timezone_abbreviations = 'Default'; set client_encoding = 'UTF8'; set statement_timeout = 0;
  set idle_in_transaction_session_timeout = 0; set default_transaction_isolation = 'read committed'; set search_path = public, pg_catalog;
  select current_setting('server_version_num')::int4 as version`;

/**
 * Opens a connection, with TLS as `sslMode` says: `prefer` falls back to none where the server has none, `allow` the
 * other way round.
 * @throws whatever pg throws; see classifyError.
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
    if (refused === undefined && isNetworkError(error)) throw error;
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
  const client = new pg.Client({ ...clientConfig(settings, tls), types, stream: () => socket });
  const handshake = watchHandshake(client, socket);
  const state = { broken: false };
  // Without a listener a connection that breaks while idle would end the process; the next query reports it.
  client.on('error', () => {
    state.broken = true;
  });
  try {
    await client.connect();
    const results = (await client.query(SESSION)) as unknown as pg.QueryResult<{ version: number }>[];
    return {
      client,
      serverVersion: results.at(-1)?.rows[0]?.version ?? 0,
      get broken() {
        return state.broken;
      },
      close: async () => {
        await client.end().catch(() => undefined);
      },
    };
  } catch (error) {
    await client.end().catch(() => undefined);
    if (tls && handshake.refusedTls) throw noTlsError(settings, error);
    if (handshake.askedForPassword && !client.password) throw noPasswordError(settings, error);
    throw error;
  }
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
  const { connection } = client as unknown as { readonly connection: EventEmitter };
  connection.once('authenticationSASL', () => {
    seen.askedForPassword = true;
  });
  return seen;
}
