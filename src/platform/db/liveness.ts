import { connect, type Socket } from 'node:net';
import type pg from 'pg';
import type { ConnectionSettings } from './connectionSettings.js';
import { internalsOf } from './pgInternals.js';

/** So long a statement may go without a byte from the server before we ask whether the server is there. */
const SILENCE_MS = 10_000;
/** So long the server may take to answer that; a host that is gone never does. */
const PROBE_TIMEOUT_MS = 5000;
const CHECK_INTERVAL_MS = 2500;

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

/**
 * Ends a connection whose server vanished without a word (a cable, a firewall, a frozen host). TCP alone would take some
 * 15 minutes for what was sent, and for ever where only an answer is awaited. A statement that merely takes long is left
 * alone: its server answers the probe.
 */
export function watchLiveness(client: pg.Client, socket: Socket, settings: ConnectionSettings): void {
  let bytesRead = -1;
  let heardAtMs = performance.now();
  let isProbing = false;
  const check = async (): Promise<void> => {
    const isBusy = !internalsOf(client).readyForQuery;
    if (!isBusy || socket.bytesRead !== bytesRead) {
      bytesRead = socket.bytesRead;
      heardAtMs = performance.now();
      return;
    }
    if (isProbing || performance.now() - heardAtMs < SILENCE_MS) return;
    isProbing = true;
    const answers = await answersProbe(settings);
    isProbing = false;
    if (answers) heardAtMs = Math.max(heardAtMs, performance.now() - SILENCE_MS / 2);
    else if (socket.bytesRead === bytesRead) socket.destroy(new ServerSilentError(heardAtMs));
  };
  const timer = setInterval(() => void check(), CHECK_INTERVAL_MS);
  timer.unref();
  socket.once('close', () => clearInterval(timer));
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
