import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventIds, eventsIn } from './tables.js';

const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => eventId(n));
const rival = (home: string, name = 'rival'): { checkpointDir: string } => ({ checkpointDir: path.join(home, name) });

for (const atomicFile of [false, true]) {
  test(`two streams that meet on a file of many ranges load it once between them${atomicFile ? ', with --atomic-file' : ''}`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes: 1024, atomicFile });
    shop.put('a.csv', eventFile(0, 400).replace('u7,', ',').replace('u300,', ','));
    await Promise.all([
      load(shop, database),
      load(shop, database, rival(shop.home)),
      load(shop, database, rival(shop.home, 'third')),
    ]);
    assert.deepEqual(
      await eventIds(database),
      ids(400).filter((_, n) => n !== 7 && n !== 300),
    );
    await assertLedger(database);
  });
}

test('two streams that meet on many small files load each once between them', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 4096 });
  for (let n = 0; n < 200; n++) shop.put(`${n}.csv`, eventFile(n, n + 1));
  await Promise.all([load(shop, database), load(shop, database, rival(shop.home))]);
  assert.deepEqual(await eventIds(database), ids(200));
  await assertLedger(database);
});

for (const connections of [1, 2, 4]) {
  test(`an event that comes again in a range which loads at the same time is a conflict, and the earlier row wins, with ${connections} connections`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes: 1024, connections });
    const rows = Array.from({ length: 48 }, (_, n) =>
      [eventRow(n, { price: '1.00' }), ...(n < 9 ? [] : [eventRow(n - 9, { price: '2.00' })])].join('\n'),
    );
    shop.put('a.csv', [HEADER, ...rows, ''].join('\n'));
    await load(shop, database);
    assert.deepEqual(
      (await eventsIn(database)).map(({ event_id, price }) => [event_id, price]),
      ids(48).map((id) => [id, '1.00']),
    );
    const [rejected] = await database.query(
      `select count(*)::int4 as rows, min(kind) as kind from ecompipe.rejected_rows`,
    );
    assert.deepEqual(rejected, { rows: 39, kind: 'conflict' });
    await assertLedger(database);
  });
}

test('a small file that holds the events of a large one in other words loads beside it', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  shop.put('large.csv', eventFile(0, 200));
  for (let n = 0; n < 200; n += 10) shop.put(`small-${n}.csv`, eventFile(n, n + 2, { price: '2.00' }));
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(200));
  await assertLedger(database);
});
