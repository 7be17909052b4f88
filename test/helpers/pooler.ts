import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import pg from 'pg';
import type { TestDatabase } from './postgres.js';

export type PoolMode = 'transaction' | 'session';

/** Which of the free server sessions comes next: the one that was used last, as with PgBouncer, or each in turn. */
export type PoolOrder = 'last' | 'in turn';

/**
 * A connection pooler: clients log in to it, and it lends each of them one of its own sessions, for a transaction or for
 * as long as the client stays. Its clients' passwords are not looked at.
 */
export async function startPooler(
  t: TestContext,
  database: TestDatabase,
  { mode, order, sessions }: { mode: PoolMode; order: PoolOrder; sessions: number },
): Promise<{ readonly url: string }> {
  const pool = new Pool(order);
  const clients: pg.Client[] = [];
  for (let n = 0; n < sessions; n++) {
    const client = new pg.Client({ connectionString: database.url });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    stream.removeAllListeners('data');
    pool.give(stream);
  }
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    serve(socket, pool, mode);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    for (const client of clients) (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
  });
  const url = new URL(database.url);
  url.port = String((server.address() as AddressInfo).port);
  return { url: url.href };
}

class Pool {
  private readonly free: Socket[] = [];
  private readonly waiting: ((server: Socket) => void)[] = [];

  constructor(private readonly order: PoolOrder) {}

  give(server: Socket): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free.push(server);
    else next(server);
  }

  take(use: (server: Socket) => void): void {
    const server = this.order === 'last' ? this.free.pop() : this.free.shift();
    if (server === undefined) this.waiting.push(use);
    else use(server);
  }
}

const SSL_REQUEST = 80877103;

function serve(client: Socket, pool: Pool, mode: PoolMode): void {
  let server: Socket | undefined;
  let isWaiting = false;
  let isStarted = false;
  let pending = Buffer.alloc(0);
  const release = (): void => {
    server?.removeAllListeners('data');
    if (server !== undefined) pool.give(server);
    server = undefined;
  };
  const lend = (lent: Socket): void => {
    isWaiting = false;
    if (client.destroyed) {
      pool.give(lent);
      return;
    }
    server = lent;
    let replies = Buffer.alloc(0);
    lent.on('data', (chunk: Buffer) => {
      client.write(chunk);
      replies = Buffer.concat([replies, chunk]);
      for (; replies.length >= 5 && replies.length > replies.readInt32BE(1);) {
        const length = 1 + replies.readInt32BE(1);
        // ReadyForQuery outside a transaction.
        const isOver = replies[0] === 0x5a && replies[5] === 0x49;
        replies = replies.subarray(length);
        if (isOver && mode === 'transaction') release();
      }
    });
    lent.write(pending);
    pending = Buffer.alloc(0);
  };
  client.on('data', (chunk: Buffer) => {
    if (!isStarted) {
      if (chunk.readInt32BE(4) === SSL_REQUEST) {
        client.write('N');
        return;
      }
      isStarted = true;
      client.write(greeting());
      return;
    }
    // Terminate: the pool's session goes on.
    if (chunk[0] === 0x58) return;
    if (server !== undefined) {
      server.write(chunk);
      return;
    }
    pending = Buffer.concat([pending, chunk]);
    if (isWaiting) return;
    isWaiting = true;
    pool.take(lend);
  });
  client.on('close', () => {
    if (server === undefined) return;
    server.removeAllListeners('data');
    cleanUp(server, () => release());
  });
}

/** Ends what a client that went away has left open in the session that it was lent. */
function cleanUp(server: Socket, done: () => void): void {
  const text = 'rollback';
  const query = Buffer.alloc(6 + text.length);
  query.write('Q', 'latin1');
  query.writeInt32BE(5 + text.length, 1);
  query.write(text, 5, 'latin1');
  let last = '';
  server.on('data', (chunk: Buffer) => {
    last = (last + chunk.toString('latin1')).slice(-6);
    if (last === 'Z\0\0\0\x05I') done();
  });
  server.write(query);
}

/** AuthenticationOk, BackendKeyData with a process id of its own making, ReadyForQuery (PostgreSQL manual, 55.7). */
function greeting(): Buffer {
  const key = Buffer.from('K\0\0\0\x0c\0\0\0\0\0\0\0\0', 'latin1');
  key.writeInt32BE(2_000_000_001, 5);
  return Buffer.concat([Buffer.from('R\0\0\0\x08\0\0\0\0', 'latin1'), key, Buffer.from('Z\0\0\0\x05I', 'latin1')]);
}
