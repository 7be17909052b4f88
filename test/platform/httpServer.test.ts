import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { RequestListener } from 'node:http';
import { listen, MAX_CONNECTIONS } from '../../src/platform/httpServer.js';
import { until } from '../helpers/until.js';

const OK: RequestListener = (_request, response) => void response.end('ok');

async function serve(t: TestContext, keepAlive: boolean, onRequest = OK): Promise<number> {
  const server = await listen({ host: '127.0.0.1', port: 0, portFlag: '--port', what: 'a test', keepAlive }, onRequest);
  t.after(() => server.close());
  return server.port;
}

interface Client {
  readonly socket: Socket;
  readonly received: () => string;
  readonly isClosed: () => boolean;
}

function client(t: TestContext, port: number, localAddress = '127.0.0.1'): Client {
  let received = '';
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.setEncoding('utf8').on('data', (text: string) => (received += text));
  socket.on('error', () => undefined);
  t.after(() => socket.destroy());
  return { socket, received: () => received, isClosed: () => socket.closed };
}

/** A client that has asked, and has its answer. */
async function answered(t: TestContext, port: number, localAddress?: string): Promise<Client> {
  const asking = client(t, port, localAddress);
  asking.socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until('the answer', () => asking.received().includes('ok'));
  return asking;
}

test('the newest connection always gets in, and the oldest idle one goes', async (t) => {
  const port = await serve(t, true);
  const clients: Client[] = [];
  for (let count = 0; count < MAX_CONNECTIONS + 5; count++) clients.push(await answered(t, port));
  await until('the first five are closed', () => clients.slice(0, 5).every(({ isClosed }) => isClosed()));
  assert.equal(clients.filter(({ isClosed }) => isClosed()).length, 5);
});

test('whoever opens most connections closes its own, not that of another address', async (t) => {
  const port = await serve(t, true);
  const other = await answered(t, port, '127.0.0.2');
  const greedy: Client[] = [];
  for (let count = 0; count < 2 * MAX_CONNECTIONS; count++) greedy.push(await answered(t, port));
  await until('the older ones are closed', () =>
    greedy.slice(0, MAX_CONNECTIONS + 1).every(({ isClosed }) => isClosed()),
  );
  assert.ok(!other.isClosed());
});

test('a request that is being answered is spared while its address has idle connections', async (t) => {
  const port = await serve(t, true, ({ url }, response) => {
    if (url === '/stream') response.write('begun');
    else response.end('ok');
  });
  const streaming = client(t, port);
  streaming.socket.write('GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until('the stream has begun', () => streaming.received().includes('begun'));
  for (let count = 0; count < MAX_CONNECTIONS + 5; count++) await answered(t, port);
  assert.ok(!streaming.isClosed());
});

test('streams cannot shut others out: the oldest ends', async (t) => {
  const port = await serve(t, true, ({ url }, response) => {
    if (url === '/stream') response.write('begun');
    else response.end('ok');
  });
  const streams: Client[] = [];
  for (let count = 0; count < MAX_CONNECTIONS; count++) {
    const streaming = client(t, port);
    streaming.socket.write('GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the stream has begun', () => streaming.received().includes('begun'));
    streams.push(streaming);
  }
  await answered(t, port);
  await until('the oldest has ended', () => streams[0]!.isClosed());
});

test('without keep-alive a connection ends with its answer', async (t) => {
  const port = await serve(t, false);
  const { received, isClosed } = await answered(t, port);
  assert.match(received(), /^connection: close\r$/im);
  await until('it is closed', isClosed);
});

test('a request that does not come to its end is given up within seconds', async (t) => {
  const port = await serve(t, true);
  const [silent, slow] = [client(t, port), client(t, port)];
  slow.socket.write('GET / HTTP/1.1\r\nHost: loc');
  await until('both are closed', () => silent.isClosed() && slow.isClosed(), 9000);
});
