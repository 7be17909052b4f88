import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { openConnection, type Connection } from '../../../src/platform/db/client.js';
import { resolveConnection, type RawDatabaseSettings } from '../../../src/platform/db/connectionSettings.js';
import { ServerSilentError } from '../../../src/platform/db/liveness.js';
import { classifyError, ConnectionLostError } from '../../../src/platform/db/sqlState.js';
import { startTestServer } from '../../helpers/postgres.js';
import { startProxy } from '../../helpers/proxy.js';

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
