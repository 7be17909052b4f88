import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { withConnection } from '../../../src/platform/db/target.js';
import type { Trace } from '../../../src/pipeline/trace/types.js';
import { traceEvent } from '../../../src/pipeline/trace/runTrace.js';
import { run } from '../../helpers/executable.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { correctedFile, replay } from '../rejects/corrected.js';
import { load, openShop, type Shop } from '../stream/harness.js';
import { pathIn } from '../../helpers/dayFolders.js';

interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
  readonly trace: (n: number) => Promise<Trace>;
}

async function setScene(t: TestContext, overrides: Parameters<typeof openShop>[1] = {}): Promise<Scene> {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t, overrides);
  const trace = (n: number): Promise<Trace> =>
    onDatabase(database, {}, (target) =>
      withConnection(target, 'cannot trace', (connection) =>
        traceEvent(connection, eventId(n), [shop.settings.archiveDir, shop.settings.inputDir]),
      ),
    );
  return { database, shop, trace };
}

const origins = ({ event }: Trace): unknown => event?.origins.map(({ file, line }) => [file, line]);

test('an event is found at its line: in a small file among others, in a range of a large one, compressed, in capitals', async (t) => {
  const { database, shop, trace } = await setScene(t, { batchBytes: 2048 });
  shop.put('a.csv', eventFile(0, 5));
  shop.put(
    'b.csv',
    `${HEADER}\r\n${eventRow(10, { event_id: eventId(10).toUpperCase(), product_name: '"two\nlines"' })}\r\n${eventRow(11)}\r\n`,
  );
  shop.put('c.csv.gz', gzipSync(eventFile(20, 60)));
  shop.put('large.csv', eventFile(100, 160));
  await load(shop, database);
  assert.deepEqual(await Promise.all([3, 10, 11, 45, 100, 137, 159].map(async (n) => origins(await trace(n)))), [
    [['a.csv', 5]],
    [['b.csv', 2]],
    [['b.csv', 4]],
    [['c.csv.gz', 27]],
    [['large.csv', 2]],
    [['large.csv', 39]],
    [['large.csv', 61]],
  ]);
  const { event } = await trace(137);
  assert.equal(event?.batch?.engine, 'native');
});

test('without the bytes, the range is told, or the files that it can be from', async (t) => {
  const { database, shop, trace } = await setScene(t, { batchBytes: 2048 });
  shop.put('a.csv', eventFile(0, 5));
  shop.put('b.csv', eventFile(10, 12));
  shop.put('large.csv', eventFile(100, 160));
  await load(shop, database);
  rmSync(shop.settings.archiveDir, { recursive: true });
  assert.deepEqual(origins(await trace(3)), [
    ['a.csv', undefined],
    ['b.csv', undefined],
  ]);
  const [range] = (await trace(137)).event?.origins ?? [];
  assert.ok(range !== undefined && range.firstLine <= 39 && range.firstLine + range.rows > 39, JSON.stringify(range));
});

test('each duplicate, conflict, other reject and redelivery of it is told', async (t) => {
  const { database, shop, trace } = await setScene(t);
  shop.put('a.csv', `${HEADER}\n${eventRow(1, { quantity: '0' })}\n${eventRow(1)}\n${eventRow(2)}\n`);
  await load(shop, database);
  shop.put(
    'b.csv',
    `${HEADER}\n${eventRow(1)}\n${eventRow(1, { price: '5' })}\n${eventRow(3, { page_url: eventId(1), quantity: '0' })}\n${eventId(1)},cut\n${eventRow(1)}\n`,
  );
  await load(shop, database);
  shop.put('copy.csv', `${HEADER}\n${eventRow(1, { quantity: '0' })}\n${eventRow(1)}\n${eventRow(2)}\n`);
  await load(shop, database);
  const found = await trace(1);
  assert.deepEqual(origins(found), [['a.csv', 3]], 'not the line that was rejected');
  assert.deepEqual(
    found.duplicates.map(({ file, line }) => [file, line]),
    [
      ['b.csv', 2],
      ['b.csv', 6],
    ],
  );
  assert.deepEqual(
    found.rejects.map(({ file, line, kind, carries }) => [file, line, kind, carries]),
    [
      ['a.csv', 2, 'invalid', 'event_id'],
      ['b.csv', 3, 'conflict', 'event_id'],
      ['b.csv', 4, 'invalid', 'mention'],
      ['b.csv', 5, 'malformed', 'mention'],
    ],
  );
  assert.deepEqual(
    found.redeliveries.map(({ file, name }) => [file, name]),
    [['a.csv', 'copy.csv']],
  );
});

test('a replayed event leads to the reject that it corrects', async (t) => {
  const { database, shop, trace } = await setScene(t);
  shop.put('a.csv', `${HEADER}\n${eventRow(1, { quantity: '0', event_id: 'none' })}\n`);
  await load(shop, database);
  assert.equal((await trace(7)).known, false);
  await replay(
    database,
    await correctedFile(database, shop.home, (row) => ({ ...row, quantity: '1', event_id: eventId(7) })),
  );
  const { event, rejects } = await trace(7);
  assert.deepEqual([event?.batch?.loadPath, event?.replayOf?.file, event?.replayOf?.line], ['replay', 'a.csv', 2]);
  assert.deepEqual(
    rejects.map(({ resolution, carries }) => [resolution, carries]),
    [['inserted', 'event_id']],
  );
});

test('the command says where it came from, exits with 7 when nobody knows it, and with 2 when it is no UUID', async (t) => {
  const { database, shop } = await setScene(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, database);
  const trace = (...args: string[]): ReturnType<typeof run> =>
    run(t, { cwd: shop.home, env: { ...database.env, ARCHIVE_PATH: shop.settings.archiveDir } }, 'trace', ...args);
  const known = await trace(`{${eventId(3).toUpperCase()}}`);
  assert.equal(known.exitCode, 0);
  assert.match(
    known.stdout,
    /in the table: add_to_cart of 2026-11-22T13:00:00\.123Z, loaded at .* by batch \d+ \(native, direct path\)\n {2}from: +a\.csv:5\n$/,
  );
  const unknown = await trace(eventId(9));
  assert.deepEqual(
    [unknown.exitCode, unknown.stdout],
    [7, `event ${eventId(9)} is unknown: neither in the table, nor among duplicates and rejects\n`],
  );
  assert.deepEqual((JSON.parse((await trace(eventId(3), '--json')).stdout) as Trace).event?.origins[0]?.file, 'a.csv');
  assert.equal((await trace('x')).exitCode, 2);
  rmSync(pathIn(shop.settings.archiveDir, 'a.csv'));
  assert.match(
    (await trace(eventId(3))).stdout,
    /from: +a\.csv, one of 5 rows from line 2 on \(bytes 0–\d+\); the file is gone/,
  );
});
