import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseError } from '../../../src/platform/db/errors.js';
import { openConnection } from '../../../src/platform/db/client.js';
import { resolveConnection, type ConnectionSettings } from '../../../src/platform/db/connectionSettings.js';
import { run } from '../../helpers/executable.js';
import { eventFile } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { startPooler, type PoolOrder } from '../../helpers/pooler.js';
import { openShop } from '../../pipeline/stream/harness.js';

function settingsOf(url: string): ConnectionSettings {
  const settings = resolveConnection({ databaseUrl: url } as Parameters<typeof resolveConnection>[0], {});
  assert.ok(settings);
  return settings;
}

const POOLS: readonly { readonly order: PoolOrder; readonly sessions: number }[] = [
  { order: 'last', sessions: 1 },
  { order: 'last', sessions: 3 },
  { order: 'in turn', sessions: 2 },
  { order: 'in turn', sessions: 5 },
];

for (const { order, sessions } of POOLS) {
  test(`a pooler that lends ${sessions} sessions ${order} by transaction is recognised, and nothing stays behind in them`, async (t) => {
    const database = await migratedDatabase();
    const { url } = await startPooler(t, database, { mode: 'transaction', order, sessions });
    await assert.rejects(
      openConnection(settingsOf(url)),
      (error: unknown) =>
        error instanceof DatabaseError &&
        error.exitCode === 2 &&
        /connection pooler in transaction mode/.test(error.message),
    );
    const locks = await database.query(
      `select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
    );
    assert.deepEqual(locks, []);
  });
}

test('every command says so at once, with what to connect to instead', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 10));
  const { url } = await startPooler(t, database, { mode: 'transaction', order: 'last', sessions: 2 });
  const env = { DATABASE_URL: url };
  for (const args of [
    ['stream', '--once', '--input-dir', shop.settings.inputDir],
    ['migrate'],
    ['verify', '--ledger'],
  ]) {
    const { exitCode, stderr } = await run(t, { cwd: shop.home, env }, ...args);
    assert.equal(exitCode, 2, `${args[0]}: ${stderr}`);
    assert.match(stderr, /pooler in transaction mode(.|\n)*hint: connect to the server itself, or .* session mode/);
  }
});

for (const sessions of [1, 8]) {
  test(`a pooler that lends ${sessions === 1 ? 'its only session' : 'sessions'} for as long as a client stays can be used`, async (t) => {
    const database = await migratedDatabase();
    const { url } = await startPooler(t, database, { mode: 'session', order: 'last', sessions });
    const connection = await openConnection(settingsOf(url));
    const { rows } = await connection.client.query('select 1 as one');
    assert.deepEqual(rows, [{ one: 1 }]);
    await connection.close();
  });
}
