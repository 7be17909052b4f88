import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

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
