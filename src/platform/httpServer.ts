import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EcompipeError, errnoOf, EXIT } from './errors.js';

/** Where an HTTP server of ours listens. */
export interface Listening {
  readonly host: string;
  /** The real one, where 0 was asked for. */
  readonly port: number;
  /** Ends it, with the connections that are open. */
  readonly close: () => Promise<void>;
}

/** What is served, for the error when its address can't be had. */
export interface Served {
  readonly name: string;
  /** The setting that chooses another port. */
  readonly portFlag: string;
}

/** Listens on an address. @throws EcompipeError (74, or 77 without the right) when that can't be had. */
export async function listen(
  host: string,
  port: number,
  served: Served,
  onRequest: RequestListener,
): Promise<Listening> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 8192 }, onRequest);
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  } catch (error) {
    throw cannotListen(error, served, host, port);
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

function cannotListen(error: unknown, { name, portFlag }: Served, host: string, port: number): EcompipeError {
  const errno = errnoOf(error);
  const hints: Record<string, string> = {
    EADDRINUSE: `another program listens there: choose another port with ${portFlag}, or 0 for a free one`,
    EACCES: `ports below 1024 are for root: choose a higher one with ${portFlag}`,
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTFOUND: 'name an address of this machine, such as 127.0.0.1 or 0.0.0.0',
  };
  const hint = hints[errno ?? ''];
  return new EcompipeError(errno === 'EACCES' ? EXIT.permission : EXIT.io, {
    what: `cannot serve ${name} on ${host}:${port}`,
    why: error instanceof Error ? error.message : String(error),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
