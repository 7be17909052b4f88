import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { EcompipeError, EXIT } from '../../../src/platform/errors.js';
import type { StreamEvent, StreamSettings } from '../../../src/pipeline/stream/streamEvents.js';
import { eventFile, eventId } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

/** A trigger that takes away what is written for bad.csv, as a policy of row-level security could hide it. */
async function skipWrites(
  database: TestDatabase,
  when: 'insert' | 'update',
  table: string,
  condition: string,
): Promise<void> {
  await database.query(`
    create function public.skip() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger skipping before ${when} on ${table} for each row when (${condition}) execute function public.skip()`);
}

const cases: readonly (readonly [string, Partial<StreamSettings>])[] = [
  ['a small file', {}],
  ['a file of many ranges', { batchBytes: 1024 }],
  ['a file that is loaded whole', { atomicFile: true }],
];

for (const [what, overrides] of cases) {
  for (const when of ['insert', 'update'] as const) {
    // A small file's entry is made as loaded: nothing updates it.
    if (when === 'update' && Object.keys(overrides).length === 0) continue;
    test(
      `${what} whose entry in the ledger a trigger ${when === 'insert' ? 'takes away' : 'keeps from advancing'} fails with the trigger's name, and others load`,
      { timeout: 120_000 },
      async (t) => {
        const database = await migratedDatabase();
        const shop = openShop(t, overrides);
        await skipWrites(database, when, 'ecompipe.file_entries', "new.name = 'bad.csv'");
        shop.put('bad.csv', eventFile(0, 40));
        shop.put('good.csv', eventFile(40, 80));
        const failed = await load(shop, database, {}, { retryForMs: 1500 }).then(
          () => undefined,
          (error: unknown) => error,
        );
        assert(failed instanceof EcompipeError, String(failed));
        assert.equal(failed.exitCode, EXIT.usage);
        assert.match(failed.message, /bad\.csv/);
        assert.match(failed.message, /trigger skipping on ecompipe\.file_entries/);
        assert(existsSync(path.join(shop.settings.inputDir, 'bad.csv')), 'it is where it was');
        assert.deepEqual(
          await eventIds(database),
          Array.from({ length: 40 }, (_, n) => eventId(40 + n)),
        );
        await assertLedger(database);
      },
    );
  }
}

test('a redelivery that the ledger does not take is not tried without end', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('first.csv', eventFile(0, 3));
  await load(shop, database);
  await skipWrites(database, 'insert', 'ecompipe.redeliveries', 'true');
  shop.put('again.csv', eventFile(0, 3));
  await assert.rejects(load(shop, database), /again\.csv[^]*trigger skipping on ecompipe\.redeliveries/);
});

for (const [what, overrides] of cases) {
  test(
    `${what} with a row for which a trigger raises a failure that is retried fails with the trigger's function, and others load`,
    { timeout: 120_000 },
    async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t, overrides);
      await database.query(`
        create function public.busy() returns trigger language plpgsql as
          $$ begin raise exception 'come again later' using errcode = '40001'; end $$;
        create trigger busy before insert on public.events for each row when (new.user_id = 'u7') execute function public.busy()`);
      shop.put('bad.csv', eventFile(0, 40));
      shop.put('good.csv', eventFile(40, 80));
      const events: StreamEvent[] = [];
      const failed = await load(shop, database, {}, { retryForMs: 1500, onEvent: (event) => events.push(event) }).then(
        () => undefined,
        (error: unknown) => error,
      );
      assert(failed instanceof EcompipeError, String(failed));
      assert.equal(failed.exitCode, EXIT.usage);
      assert.match(failed.message, /bad\.csv/);
      assert.match(failed.message, /PL\/pgSQL function public\.busy\(\)|PL\/pgSQL function busy\(\)/);
      const loaded = events.flatMap((event) => (event.type === 'fileLoaded' ? [event.file] : []));
      assert.deepEqual(loaded, ['good.csv']);
      await assertLedger(database);
    },
  );
}
