import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AlreadyRunningError } from '../../../src/platform/errors.js';
import { silentLogger } from '../../../src/platform/log.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { LOCK_SPACE, ownershipKey } from '../../../src/contract/streamOwner.js';
import { eventFile, eventId } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';
import { load, openShop, type Shop } from './harness.js';
import { eventIds } from './tables.js';

async function startStream(
  shop: Shop,
  database: TestDatabase,
  stop: AbortController,
): Promise<{ readonly end: Promise<unknown> }> {
  const events: StreamEvent[] = [];
  const end = onDatabase(database, { stop: stop.signal }, (target) =>
    runStream(shop.settings, target, {
      stop: stop.signal,
      drain: new AbortController().signal,
      log: silentLogger,
      emit: (event) => events.push(event),
    }),
  ).catch((error: unknown) => error);
  await until('it has started', () => events.some(({ type }) => type === 'streamStarted'));
  return { end };
}

async function owners(database: TestDatabase): Promise<number> {
  const [row] = await database.query(
    `select count(*)::int4 as n from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()
     where locktype = 'advisory' and classid = ${LOCK_SPACE} and granted`,
  );
  return Number(row?.['n']);
}

const terminateAll = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name like 'ecompipe%' and pid <> pg_backend_pid()`;

test('a stream whose connections are terminated owns its checkpoint directory again, goes on, and a second one ends with 5', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { pollIntervalMs: 20 });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const { end } = await startStream(shop, database, stop);
  for (let round = 0; round < 2; round++) {
    await database.query(terminateAll);
    await until('the lock is taken again', async () => (await owners(database)) === 1);
    shop.put(`${round}.csv`, eventFile(round, round + 1));
    await until('what comes is loaded', async () => (await eventIds(database)).length === round + 1);
  }
  await assert.rejects(load(shop, database), AlreadyRunningError);
  stop.abort();
  await end;
  assert.equal(await owners(database), 0);
});

test('a stream that finds its checkpoint directory owned by another one after an interruption ends with 5', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { pollIntervalMs: 20 });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const { end } = await startStream(shop, database, stop);
  const key = await ownershipKey(shop.settings.checkpointDir);
  // The other one, which waits for the lock and so gets it before ours is back.
  const other = await database.connect();
  t.after(() => other.end());
  const taking = other.query(`select pg_advisory_lock(${LOCK_SPACE}, ${key})`);
  await until('it waits', async () => {
    const [row] = await database.query(
      `select count(*)::int4 as n from pg_locks where locktype = 'advisory' and not granted`,
    );
    return row?.['n'] === 1;
  });
  await database.query(terminateAll);
  await taking;
  const error = await end;
  assert(error instanceof AlreadyRunningError, String(error));
  assert.equal(error.exitCode, 5);
});

test(
  'a file whose name is not UTF-8 fails with its bytes, --once ends, and others load',
  { timeout: 120_000 },
  async (t) => {
    const { writeFileSync } = await import('node:fs');
    const database = await migratedDatabase();
    const shop = openShop(t);
    for (const bytes of [[0xe9], [0x80, 0xff]])
      writeFileSync(
        Buffer.concat([Buffer.from(`${shop.settings.inputDir}/caf`), Buffer.from(bytes), Buffer.from('.csv')]),
        eventFile(0, 3),
      );
    shop.put('good.csv', eventFile(3, 5));
    await assert.rejects(load(shop, database), (error: Error) => {
      assert.match(error.message, /caf\\xe9\.csv: its name is not valid UTF-8/);
      assert.match(error.message, /caf\\x80\\xff\.csv/);
      return true;
    });
    assert.deepEqual(await eventIds(database), [eventId(3), eventId(4)]);
  },
);
