import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * What a proxy does with a chunk on its way: passes it on, cuts both connections before it, or after it, passes it on
 * and takes no more from its sender until `go` is called, passes it on later and takes no more until then, or drops it
 * and goes on: a cable that was pulled.
 */
export type Verdict =
  | 'pass'
  | 'drop'
  | 'cut-before'
  | 'cut-after'
  | { readonly stall: (go: () => void) => void }
  | { readonly delayMs: number };

/** Sees each chunk that passes; `fromClient` bytes are requests, the others replies. Counts are per proxy, over all connections. */
export type Judge = (chunk: Buffer, fromClient: boolean) => Verdict;

export interface Proxy {
  readonly port: number;
  readonly close: () => Promise<void>;
  /** Cuts all connections that are open. */
  readonly cutAll: () => void;
}

/** A TCP proxy on loopback that can break connections at any byte. @param targetPort asked for each new connection where it is a function. */
export async function startProxy(targetPort: number | (() => number), judge: Judge): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(typeof targetPort === 'number' ? targetPort : targetPort(), '127.0.0.1');
    const cut = (): void => {
      reset(client);
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', () => {
        sockets.delete(socket);
        cut();
      });
    }
    const forward = (from: Socket, to: Socket, fromClient: boolean): void => {
      from.on('data', (chunk: Buffer) => {
        const verdict = judge(chunk, fromClient);
        if (verdict === 'drop') return;
        if (verdict === 'cut-before') {
          cut();
          return;
        }
        if (verdict === 'cut-after') {
          to.end(chunk, () => client.resetAndDestroy());
          return;
        }
        if (typeof verdict === 'object' && 'delayMs' in verdict) {
          from.pause();
          setTimeout(() => {
            if (to.writable) to.write(chunk);
            from.resume();
          }, verdict.delayMs);
          return;
        }
        to.write(chunk);
        if (verdict === 'pass') return;
        from.pause();
        verdict.stall(() => from.resume());
      });
    };
    forward(client, upstream, true);
    forward(upstream, client, false);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cutAll = (): void => {
    for (const socket of sockets) reset(socket);
  };
  const close = async (): Promise<void> => {
    cutAll();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as AddressInfo).port, close, cutAll };
}

/** A socket that is reset while it still writes, or ends, keeps Node 20 from ending: it waits for a request that nobody completes. */
function reset(socket: Socket): void {
  if (socket.writableLength > 0 || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
