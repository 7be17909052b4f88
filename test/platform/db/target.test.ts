import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finishing, withDatabase } from '../../../src/platform/db/target.js';
import { silentLogger } from '../../../src/platform/log.js';
import { startTestServer } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';

test('what waits for a lock is cancelled after a stop signal, but not the proof that the signal asks for', async (t) => {
  const database = await (await startTestServer()).createDatabase();
  await database.query('create table held (id int)');
  const colleague = await database.connect();
  t.after(() => colleague.end());
  await colleague.query('begin');
  await colleague.query('lock table held in access exclusive mode');
  const { host, port, user, password } = database;
  const address = { host, port, user, password, database: database.database, databaseUrl: undefined };
  const settings = { ...address, sslMode: undefined, sslRootCert: undefined, embeddedDir: 'unused', retryForMs: 1000 };
  await withDatabase(settings, { log: silentLogger, stop: AbortSignal.abort() }, async (target) => {
    const [stopped, proving] = [await target.open(), await finishing(target).open()];
    const proof = proving.client.query('select count(*)::int4 as n from public.held');
    await assert.rejects(stopped.client.query('select from public.held'), { code: '57014' });
    await until('the proof still waits', async () => {
      const [row] = await database.query(
        `select count(*)::int4 as n from pg_locks where not granted and relation = 'public.held'::regclass`,
      );
      return row?.['n'] === 1;
    });
    await colleague.query('insert into held values (1)');
    await colleague.query('commit');
    assert.deepEqual((await proof).rows, [{ n: 1 }]);
    await Promise.all([stopped.close(), proving.close()]);
  });
});
