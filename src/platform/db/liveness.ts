import { connect, type Socket } from 'node:net';
import type pg from 'pg';
import type { ConnectionSettings } from './connectionSettings.js';
import { oneOf, queryRow } from './decodeRows.js';
import { internalsOf } from './pgInternals.js';
import type { SessionOrigin } from './sessionSettings.js';

/** So long a statement may go without a byte from the server before we ask whether the server is there. */
const SILENCE_MS = 10_000;
/** So long the server may take to answer that; a host that is gone never does. */
const PROBE_TIMEOUT_MS = 5000;
const CHECK_INTERVAL_MS = 2500;

/** So long a session must have waited for us, by the server's clock, before an answer of it counts as lost. */
const LOST_AFTER = '5 s';
/** Between two questions about one statement: it may take hours, and each question is a connection. */
const MAX_ASK_INTERVAL_MS = 60_000;

/** An SSLRequest (PostgreSQL manual, 55.7): answered by one byte before any authentication, by poolers too. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** The server stopped answering: neither the statement's connection nor a new one hears anything of it. */
export class ServerSilentError extends Error {
  readonly code = 'ETIMEDOUT';

  constructor(
    /** When its last byte came, on the clock of performance.now(). */
    readonly silentSinceMs: number,
  ) {
    super(
      `the server has not answered for ${Math.round((performance.now() - silentSinceMs) / 1000)} s, and does not answer a new connection`,
    );
  }
}

/** Something on the way dropped this one connection without a word, while the server answers others. */
export class ConnectionForgottenError extends Error {
  readonly code = 'ETIMEDOUT';

  constructor() {
    super('the server waits for us, or has ended the session, and no byte of that arrives: the connection is dead');
  }
}

/** What the server says of a session, asked over another connection. */
export type SessionState = 'works' | 'waits' | 'reads' | 'gone' | 'unknown';

/**
 * Ends a connection whose server vanished without a word (a cable, a firewall, a frozen host), or that was forgotten on the
 * way (an address translation that had no room). TCP alone would take some 15 minutes for what was sent, and for ever
 * where only an answer is awaited. A statement that merely takes long is left alone: its server answers the probe, and
 * says that it works.
 * @param askServer what the session does, over a connection of its own.
 */
export function watchLiveness(
  client: pg.Client,
  socket: Socket,
  settings: ConnectionSettings,
  askServer: () => Promise<SessionState>,
): void {
  let bytesRead = -1;
  let heardAtMs = performance.now();
  let handedOver = 0;
  let handedOverAtMs = heardAtMs;
  let askIntervalMs = SILENCE_MS;
  let askAtMs = 0;
  let isProbing = false;
  const look = (): void => {
    bytesRead = socket.bytesRead;
    heardAtMs = performance.now();
    askIntervalMs = SILENCE_MS;
    askAtMs = heardAtMs + SILENCE_MS;
  };
  const probe = async (): Promise<Error | undefined> => {
    if (!(await answersProbe(settings))) return new ServerSilentError(heardAtMs);
    heardAtMs = Math.max(heardAtMs, performance.now() - SILENCE_MS / 2);
    if (performance.now() < askAtMs) return undefined;
    const state = await askServer();
    if (state !== 'unknown') {
      askIntervalMs = Math.min(MAX_ASK_INTERVAL_MS, askIntervalMs * 2);
      askAtMs = performance.now() + askIntervalMs;
    }
    // To a session that reads, what we send must be on its way before long.
    const isStuck =
      state === 'reads' && socket.writableLength > 0 && performance.now() - handedOverAtMs >= SILENCE_MS / 2;
    return state === 'gone' || state === 'waits' || isStuck ? new ConnectionForgottenError() : undefined;
  };
  const check = async (): Promise<void> => {
    const { readyForQuery, connection } = internalsOf(client);
    const taken = socket.bytesWritten - socket.writableLength;
    if (taken !== handedOver) [handedOver, handedOverAtMs] = [taken, performance.now()];
    if (readyForQuery || connection.stream.isPaused() || socket.bytesRead !== bytesRead) {
      look();
      return;
    }
    if (isProbing || performance.now() - heardAtMs < SILENCE_MS) return;
    isProbing = true;
    const lost = await probe();
    isProbing = false;
    if (lost !== undefined && socket.bytesRead === bytesRead) socket.destroy(lost);
  };
  const timer = setInterval(() => void check(), CHECK_INTERVAL_MS);
  timer.unref();
  socket.once('close', () => clearInterval(timer));
}

/**
 * Asks the server what a session does, and ends one that waits for us in vain: what it has locked would be in the way of
 * whoever does its work again.
 */
export async function askSession(
  other: pg.Client,
  { pid, startedAt, serverStartedAt }: SessionOrigin['backend'],
): Promise<SessionState> {
  const { state } = await queryRow(other, { state: oneOf('works', 'waits', 'reads', 'gone', 'unknown') }, {
    text: `
      with session as (
        select case when a.state operator(pg_catalog.~) '^idle' and a.state_change < pg_catalog.clock_timestamp() - interval '${LOST_AFTER}' then 'waits'
                    when a.state = 'active' and a.wait_event = 'ClientRead' then 'reads'
                    when a.state is null or a.state = 'disabled' then 'unknown'
                    else 'works' end as state
        from pg_catalog.pg_stat_get_activity($1) as a
        where extract(epoch from a.backend_start)::text = $2)
      select case when extract(epoch from pg_catalog.pg_postmaster_start_time())::text <> $3 then 'unknown'
                  else coalesce((select s.state from session s), 'gone') end as state,
             (select pg_catalog.pg_terminate_backend($1) from session s
              where s.state = 'waits' and extract(epoch from pg_catalog.pg_postmaster_start_time())::text = $3)`,
    values: [pid, startedAt, serverStartedAt],
    query_timeout: PROBE_TIMEOUT_MS,
  } as pg.QueryConfig);
  return state;
}

/** Whether anything answers at the server's address; a refusal is an answer, and the statement's own connection will tell. */
async function answersProbe({ host: name, hostAddress, port }: ConnectionSettings): Promise<boolean> {
  return await new Promise((resolve) => {
    const host = hostAddress ?? name;
    const probe = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
    const finish = (answers: boolean) => (): void => {
      clearTimeout(timer);
      probe.destroy();
      resolve(answers);
    };
    const timer = setTimeout(finish(false), PROBE_TIMEOUT_MS);
    probe.once('connect', () => probe.write(SSL_REQUEST));
    probe.once('data', finish(true));
    probe.once('end', finish(true));
    probe.once('error', (error: NodeJS.ErrnoException) => finish(error.code === 'ECONNREFUSED')());
  });
}
