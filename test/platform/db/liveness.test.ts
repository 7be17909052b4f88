import assert from 'node:assert/strict';
import { pipeline } from 'node:stream/promises';
import { test, type TestContext } from 'node:test';
import copyFrom from 'pg-copy-streams';
import { openConnection, type Connection } from '../../../src/platform/db/client.js';
import { resolveConnection, type RawDatabaseSettings } from '../../../src/platform/db/connectionSettings.js';
import { askSession, ServerSilentError } from '../../../src/platform/db/liveness.js';
import { classifyError, ConnectionLostError } from '../../../src/platform/db/sqlState.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { startProxy } from '../../helpers/proxy.js';
import { until } from '../../helpers/until.js';

async function throughProxy(t: TestContext, isSilent: () => boolean): Promise<Connection> {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  const { port } = new URL(database.url);
  const proxy = await startProxy(Number(port), () => (isSilent() ? 'drop' : 'pass'));
  t.after(() => proxy.close());
  const url = new URL(database.url);
  url.port = String(proxy.port);
  const settings = resolveConnection({ databaseUrl: url.href } as RawDatabaseSettings, {});
  assert.ok(settings !== undefined, 'the URL names a server');
  const connection = await openConnection(settings);
  t.after(() => connection.close());
  return connection;
}

test('a server that vanishes without a word fails the open statement within half a minute, as a lost connection', async (t) => {
  let isSilent = false;
  const { client } = await throughProxy(t, () => isSilent);
  await client.query('select 1');
  isSilent = true;
  const startedAtMs = performance.now();
  await assert.rejects(client.query('select 2'), (error: unknown) => {
    assert.ok(error instanceof ConnectionLostError);
    assert.equal(classifyError(error), 'retry');
    assert.ok(error.cause instanceof ServerSilentError);
    assert.ok(error.cause.silentSinceMs <= performance.now() - 9000, 'the silence counts from its beginning');
    return true;
  });
  assert.ok(performance.now() - startedAtMs < 30_000);
});

test('a statement that takes long on a server that answers is left alone', async (t) => {
  const { client } = await throughProxy(t, () => false);
  await client.query('select pg_sleep(14)');
});

/** What happens on the way of the first connection only; those that come later get through. */
async function forgetFirst(
  t: TestContext,
  drop: (fromClient: boolean) => boolean,
): Promise<{ readonly connection: Connection; readonly database: TestDatabase; readonly forget: () => void }> {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  const url = new URL(database.url);
  const port = Number(url.port);
  let isForgotten = false;
  const dead = await startProxy(port, (_, fromClient) => (isForgotten && drop(fromClient) ? 'drop' : 'pass'));
  t.after(() => dead.close());
  // The same address for all: what is behind it depends on when a connection comes.
  let connections = 0;
  const front = await startProxy(
    () => (connections++ === 0 ? dead.port : port),
    () => 'pass',
  );
  t.after(() => front.close());
  url.port = String(front.port);
  // To ask for TLS in vain would be the first connection.
  url.searchParams.set('sslmode', 'disable');
  const settings = resolveConnection({ databaseUrl: url.href } as RawDatabaseSettings, {});
  assert.ok(settings !== undefined, 'the URL names a server');
  const connection = await openConnection(settings);
  t.after(() => connection.close());
  return { connection, database, forget: () => void (isForgotten = true) };
}

for (const [what, drop] of [
  ['question', () => true],
  ['answer', (fromClient: boolean) => !fromClient],
] as const)
  test(`a connection that lost the ${what} is given up while the server answers others, and its locks with it`, async (t) => {
    const { connection, database, forget } = await forgetFirst(t, drop);
    const { client } = connection;
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock(7)');
    forget();
    await assert.rejects(client.query('select 2'), (error: unknown) => {
      assert.ok(error instanceof ConnectionLostError);
      assert.equal(classifyError(error), 'retry');
      return true;
    });
    await until('its lock is free', async () => {
      const [row] = await database.query<{ free: boolean }>('select pg_try_advisory_lock(7) as free');
      return row?.free === true;
    });
  });

test('a COPY that nothing arrives of any more is given up while the server answers others', async (t) => {
  const { connection, forget } = await forgetFirst(t, () => true);
  const { client } = connection;
  await client.query('create temp table row (text text)');
  const copy = client.query(copyFrom.from('copy row from stdin'));
  copy.write('first\n');
  forget();
  const rows = Buffer.alloc(64 * 1024, 'text\n');
  await assert.rejects(
    pipeline(function* () {
      // More than the system's buffers take, and not for ever.
      for (let chunk = 0; chunk < 1000; chunk++) yield rows;
    }, copy),
    (error: unknown) => connection.explain(error) instanceof ConnectionLostError,
  );
});

test('a session that works or waits for a lock, and one of another server, is not taken for dead', async (t) => {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  const open = async (): Promise<Connection> => {
    const settings = resolveConnection({ databaseUrl: database.url } as RawDatabaseSettings, {});
    assert.ok(settings !== undefined, 'the URL names a server');
    const connection = await openConnection(settings);
    t.after(() => connection.close());
    return connection;
  };
  const [observed, other] = [await open(), await open()];
  await other.client.query('select pg_advisory_lock(8)');
  const locking = observed.client.query('select pg_advisory_lock(8)');
  const state = (backend = observed.backend): Promise<string> => askSession(other.client, backend);
  await until('it waits for the lock', async () => {
    const { rows } = await other.client.query(
      "select from pg_catalog.pg_locks where locktype = 'advisory' and not granted",
    );
    return rows.length === 1;
  });
  assert.equal(await state(), 'works');
  assert.equal(
    await state({ ...observed.backend, startedAt: '1' }),
    'gone',
    'its process id is of another session now',
  );
  assert.equal(await state({ ...observed.backend, serverStartedAt: '1' }), 'unknown', 'another server, or a new start');
  await other.client.query('select pg_advisory_unlock(8)');
  await locking;
  assert.equal(await state(), 'works', 'its answer may still be on its way');
});
