import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createLogger } from '../../../src/platform/log.js';
import { eventFile, eventId } from '../../helpers/events.js';
import { noMount, withFileSystem } from '../../helpers/fileSystems.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { ownedDirectory, takeOwnership } from '../../../src/contract/streamOwner.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const checkpointOf = ({ settings }: Shop): string => path.join(settings.checkpointDir, 'stream.json');
const NEVER = new AbortController().signal;
const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => eventId(n));

/** What may happen to a checkpoint file between two runs: the second one goes on by the ledger. */
const HARMLESS: Readonly<
  Record<string, { readonly change: (file: string, older: string) => void; readonly warns: boolean }>
> = {
  kept: { change: () => undefined, warns: false },
  deleted: { change: (file) => rmSync(file), warns: false },
  'cut short': { change: (file) => writeFileSync(file, readFileSync(file).subarray(0, 40)), warns: true },
  emptied: { change: (file) => writeFileSync(file, ''), warns: true },
  'overwritten with other JSON': { change: (file) => writeFileSync(file, '{"version":1,"files":[null]}'), warns: true },
  'put back to an older one': { change: (file, older) => writeFileSync(file, older), warns: false },
};

for (const [what, { change, warns }] of Object.entries(HARMLESS)) {
  test(`a load goes on by the ledger when the checkpoint was ${what}`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes: 1024 });
    shop.put('first.csv', eventFile(0, 20));
    await load(shop, database);
    const older = readFileSync(checkpointOf(shop), 'utf8');
    shop.put('second.csv', eventFile(20, 100));
    const stop = new AbortController();
    await load(
      shop,
      database,
      {},
      { stop: stop.signal, onEvent: ({ type }) => type === 'batchCommitted' && stop.abort() },
    );
    change(checkpointOf(shop), older);
    const warnings: string[] = [];
    await load(
      shop,
      database,
      { batchBytes: 3000 },
      { log: createLogger({ level: 'warn', format: 'json', color: false }, (line) => warnings.push(line)) },
    );
    assert.deepEqual(await eventIds(database), ids(100));
    assert.equal(
      warnings.some((line) => line.includes('checkpoint_rebuilt')),
      warns,
    );
    const { lastBatchId, files } = JSON.parse(readFileSync(checkpointOf(shop), 'utf8')) as {
      lastBatchId: number;
      files: object;
    };
    const [last] = await database.query<{ id: number }>(
      "select batch_id::int4 as id from ecompipe.batch_ranges join ecompipe.files using (file_id) where name = 'second.csv' order by start_offset desc limit 1",
    );
    assert.deepEqual({ lastBatchId, files }, { lastBatchId: last?.id, files: {} });
    await assertLedger(database);
  });
}

test('a checkpoint of another database ends the start with exit code 6, and nothing is loaded', async (t) => {
  const [database, other] = [await migratedDatabase(), await migratedDatabase()];
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, other);
  shop.put('b.csv', eventFile(5, 10));
  await assert.rejects(load(shop, database), { name: 'IntegrityError', exitCode: 6 });
  assert.deepEqual(await eventIds(database), []);
});

test('a checkpoint that is ahead of the ledger ends the start with exit code 6, and nothing is loaded', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  shop.put('a.csv', eventFile(0, 40));
  const stop = new AbortController();
  await load(
    shop,
    database,
    {},
    { stop: stop.signal, onEvent: ({ type }) => type === 'batchCommitted' && stop.abort() },
  );
  const checkpoint = readFileSync(checkpointOf(shop), 'utf8');
  // As after a restore from an older backup.
  await database.query(
    'truncate public.events, ecompipe.batches, ecompipe.range_entries, ecompipe.file_entries, ecompipe.rejected_rows, ecompipe.duplicate_rows, ecompipe.redeliveries',
  );
  await assert.rejects(load(shop, database), { name: 'IntegrityError', exitCode: 6 });
  const seen = JSON.parse(checkpoint) as object;
  writeFileSync(checkpointOf(shop), JSON.stringify({ ...seen, lastBatchId: null, recent: [] }));
  await assert.rejects(
    load(shop, database),
    { name: 'IntegrityError', exitCode: 6 },
    'also by the offset of a file alone',
  );
  assert.deepEqual(await eventIds(database), []);
  rmSync(checkpointOf(shop));
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(40));
});

test('a checkpoint at a URI is refused: only Spark reaches it', async (t) => {
  const shop = openShop(t, { checkpointDir: 's3a://bucket/checkpoints' });
  await assert.rejects(load(shop, await migratedDatabase()), {
    name: 'UsageError',
    message: /--checkpoint "s3a:.*expected a directory of this machine, .* --engine spark/,
  });
});

test('a second stream with the same checkpoint directory ends with exit code 5, and can start when the first is gone', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, database);
  await onDatabase(database, {}, async (target) => {
    const owner = await target.connect();
    await takeOwnership(owner, ownedDirectory(shop.settings.checkpointDir), NEVER);
    await assert.rejects(load(shop, database), { name: 'AlreadyRunningError', exitCode: 5 });
    await owner.close();
  });
  await load(shop, database);
});

test(
  'a checkpoint that finds no room is told, leaves nothing behind, and stops no load; it is there when there is room again',
  { skip: noMount },
  async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes: 1024 });
    const { checkpointDir } = shop.settings;
    await withFileSystem(checkpointDir, 'size=8k', async () => {
      // One page is for the owner's id; the other one is taken.
      writeFileSync(path.join(checkpointDir, 'filler'), Buffer.alloc(4096));
      shop.put('first.csv', eventFile(0, 40));
      const warnings: string[] = [];
      const log = createLogger({ level: 'warn', format: 'json', color: false }, (line) => warnings.push(line));
      await load(shop, database, {}, { log });
      assert.ok(warnings.length > 0 && warnings.every((line) => line.includes('ENOSPC')), warnings.join('\n'));
      assert.deepEqual(readdirSync(checkpointDir).sort(), ['filler', 'owner-id']);
      rmSync(path.join(checkpointDir, 'filler'));
      shop.put('second.csv', eventFile(40, 80));
      await load(shop, database);
      assert.deepEqual(readdirSync(checkpointDir).sort(), ['owner-id', 'stream.json']);
      assert.deepEqual(await eventIds(database), ids(80));
    });
  },
);
