import { type IncomingMessage, type ServerResponse, createServer, type RequestListener, type Server } from 'node:http';
import type { Socket, AddressInfo } from 'node:net';
import { EcompipeError, errnoOf, EXIT } from './errors.js';

/**
 * How many connections a server has at once: each costs a descriptor of the process, and without any left the loader can't
 * open its files. The newest always gets in, at the expense of the address that has the most: of its connections the
 * oldest that is idle goes, or else the oldest. Who opens them by the hundred only closes their own.
 */
export class ConnectionBudget {
  /** In the order of their age. */
  private readonly open = new Map<Socket, { readonly address: string; requests: number }>();

  constructor(private readonly maxConnections: number) {}

  admit(socket: Socket): void {
    if (this.open.size >= this.maxConnections) this.victim()?.destroy();
    this.open.set(socket, { address: socket.remoteAddress ?? '', requests: 0 });
    socket.once('close', () => this.open.delete(socket));
  }

  /** Its connection is not idle until the response is finished. */
  observe({ socket }: IncomingMessage, response: ServerResponse): void {
    const state = this.open.get(socket);
    if (state === undefined) return;
    state.requests += 1;
    response.once('close', () => (state.requests -= 1));
  }

  private victim(): Socket | undefined {
    const byAddress = new Map<string, Socket[]>();
    for (const [socket, { address }] of this.open) {
      // Ended by us a moment ago, and about to leave the list.
      if (!socket.destroyed) byAddress.set(address, [...(byAddress.get(address) ?? []), socket]);
    }
    const [most] = [...byAddress.values()].sort((a, b) => b.length - a.length);
    return most?.find((socket) => this.open.get(socket)?.requests === 0) ?? most?.[0];
  }
}

/** Where an HTTP server of ours listens. */
export interface Listening {
  readonly host: string;
  /** The real one, where 0 was asked for. */
  readonly port: number;
  /** Ends it, with the connections that are open. */
  readonly close: () => Promise<void>;
}

export interface ServerSettings {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** What is served, for messages. */
  readonly what: string;
  /** The setting that chooses another port, for the error when this one can't be had. */
  readonly portFlag: string;
  /** A connection serves further requests. For those who ask once a minute it only holds a descriptor. */
  readonly keepAlive: boolean;
}

/** As many as one server has open at once; a process may open 1024 files where nobody has raised the limit. */
export const MAX_CONNECTIONS = 64;
const HEADERS_WITHIN_MS = 5000;
const REQUEST_WITHIN_MS = 10_000;
/** Node looks at these times only so often: by default every 30 s. */
const CHECK_INTERVAL_MS = 1000;
/** Who takes nothing for so long is gone; a stream that is read has a heartbeat more often. */
const IDLE_TIMEOUT_MS = 60_000;

/** Listens on an address. @throws EcompipeError (74, or 77 without the right) when that can't be had. */
export async function listen(settings: ServerSettings, onRequest: RequestListener): Promise<Listening> {
  const { host, port, keepAlive } = settings;
  const budget = new ConnectionBudget(MAX_CONNECTIONS);
  const server = createServer({
    headersTimeout: HEADERS_WITHIN_MS,
    requestTimeout: REQUEST_WITHIN_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    maxHeaderSize: 8192,
  });
  server.timeout = IDLE_TIMEOUT_MS;
  server.on('connection', (socket) => budget.admit(socket));
  server.on('request', (request, response) => {
    budget.observe(request, response);
    if (!keepAlive) response.setHeader('connection', 'close');
    onRequest(request, response);
  });
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  } catch (error) {
    throw cannotListen(error, settings);
  }
  // What a client breaks is the client's loss.
  server.on('error', () => undefined);
  return { host, port: (server.address() as AddressInfo).port, close: () => close(server) };
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

function cannotListen(error: unknown, { what, portFlag, host, port }: ServerSettings): EcompipeError {
  const errno = errnoOf(error);
  const hints: Record<string, string> = {
    EADDRINUSE: `another program listens there: choose another port with ${portFlag}, or 0 for a free one`,
    EACCES: `ports below 1024 are for root: choose a higher one with ${portFlag}`,
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTFOUND: 'name an address of this machine, such as 127.0.0.1 or 0.0.0.0',
  };
  const hint = hints[errno ?? ''];
  return new EcompipeError(errno === 'EACCES' ? EXIT.permission : EXIT.io, {
    what: `cannot serve ${what} on ${host}:${port}`,
    why: error instanceof Error ? error.message : String(error),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
