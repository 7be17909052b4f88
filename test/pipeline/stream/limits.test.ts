import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

/** 100 rows of which every tenth, from the fifth on, is bad. */
const tenBad = [
  HEADER,
  ...Array.from({ length: 100 }, (_, n) => eventRow(n, n % 10 === 5 ? { price: 'free' } : {})),
  '',
].join('\n');
const good = Array.from({ length: 100 }, (_, n) => eventId(n)).filter((_, n) => n % 10 !== 5);

for (const batchBytes of [8 * 2 ** 20, 1024]) {
  for (const atomicFile of [false, true]) {
    const how = `${batchBytes === 1024 ? 'in ranges' : 'whole'}${atomicFile ? ' with --atomic-file' : ''}`;
    for (const maxRejected of [{ rows: 10 }, { share: 0.5 }, undefined]) {
      test(`as many bad rows as ${maxRejected === undefined ? 'no limit' : JSON.stringify(maxRejected)} allows are rejected, and the file is loaded ${how}`, async (t) => {
        const database = await migratedDatabase();
        const shop = openShop(t, { batchBytes, atomicFile, maxRejected });
        shop.put('a.csv', tenBad);
        await load(shop, database);
        assert.deepEqual(await eventIds(database), good);
        assert.deepEqual(await database.query('select count(*)::int4 as rows from ecompipe.rejected_rows'), [
          { rows: 10 },
        ]);
        await assertLedger(database);
      });
    }
    for (const maxRejected of [{ rows: 9 }, { rows: 0 }, { share: 0.05 }]) {
      test(`one bad row more than ${JSON.stringify(maxRejected)} ends the load ${how} with exit code 4, and the file stays`, async (t) => {
        const database = await migratedDatabase();
        const shop = openShop(t, { batchBytes, atomicFile, maxRejected });
        shop.put('a.csv', tenBad);
        await assert.rejects(load(shop, database), { name: 'RejectLimitError', exitCode: 4 });
        const [counts] = await database.query<{ events: number; rejected: number }>(
          'select (select count(*) from public.events)::int4 as events, (select count(*) from ecompipe.rejected_rows)::int4 as rejected',
        );
        if (atomicFile || batchBytes > 1024) assert.deepEqual(counts, { events: 0, rejected: 0 }, 'rolled back whole');
        else assert.ok((counts?.rejected ?? 99) <= ('rows' in maxRejected ? maxRejected.rows : 5));
        assert.deepEqual(readdirSync(shop.settings.inputDir), ['a.csv']);
        await assertLedger(database);
        // What was rolled back is loaded by a later run with a higher limit.
        await load(shop, database, { maxRejected: { rows: 10 } });
        assert.deepEqual(await eventIds(database), good);
        await assertLedger(database);
      });
    }
  }
}

test('the limit of one file leaves files without bad rows alone', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { maxRejected: { rows: 1 } });
  shop.put('a.csv', eventFile(200, 220));
  shop.put('b.csv', tenBad);
  await assert.rejects(load(shop, database), { exitCode: 4 });
  const ids = await eventIds(database);
  assert.ok(ids.length === 20 || ids.length === 0, 'whole or not at all');
  assert.ok(existsSync(`${shop.settings.inputDir}/b.csv`));
});
