import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { entryOfUsual } from '../../../src/pipeline/stream/ledgerTexts.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { namesIn } from '../../helpers/dayFolders.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { startProxy } from '../../helpers/proxy.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

/** What names may hold that SQL takes for something else, where it is not quoted. */
const ODD_NAMES = [
  "O'Brien's ''orders''.csv",
  'back\\slash \\x41 \\\\.csv',
  "both \\' of them.csv",
  'two\nlines\t.csv',
  'größer – 注文 🛒.csv',
  '$1 $$ %s {a,b} "c" -- ; commit.csv',
].sort();

/** Files in the ledger: each name with its rows and state. */
async function filesOf(database: TestDatabase): Promise<Record<string, unknown>[]> {
  const files = await database.query<{ name: string }>(
    'select name, rows_inserted::int4 as rows, state from ecompipe.files',
  );
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function batchesOf(database: TestDatabase): Promise<Record<string, unknown>[]> {
  return await database.query(
    'select load_path as "loadPath", rows_inserted::int4 as inserted, rows_duplicate::int4 as duplicates from ecompipe.batches order by batch_id',
  );
}

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));

for (const strings of ['on', 'off']) {
  test(`files of any name are entered under it, also by a role with standard_conforming_strings = ${strings}`, async (t) => {
    const database = await migratedDatabase();
    await database.query(`do $$ begin execute format('alter role %I in database %I set standard_conforming_strings = ${strings}',
      current_user, current_database()); end $$`);
    const shop = openShop(t);
    for (const [n, name] of ODD_NAMES.entries()) shop.put(name, eventFile(2 * n, 2 * n + 2));
    await load(shop, database);
    assert.deepEqual(
      await filesOf(database),
      ODD_NAMES.map((name) => ({ name, rows: 2, state: 'loaded' })),
    );
    assert.deepEqual(await batchesOf(database), [
      { loadPath: 'direct', inserted: 2 * ODD_NAMES.length, duplicates: 0 },
    ]);
    assert.deepEqual(namesIn(shop.settings.archiveDir), ODD_NAMES);
    await assertLedger(database);
  });

  test(`the statement says the same where standard_conforming_strings is ${strings}`, async (t) => {
    const database = await migratedDatabase();
    const files = ODD_NAMES.map((name) => ({
      name,
      sha256: createHash('sha256').update(name).digest(),
      size: 7,
      fileStamp: '1:2:7:1764000000000000000',
      rows: 1,
    }));
    const connection = await onDatabase(database, {}, (target) => target.open());
    t.after(() => connection.close());
    const { client } = connection;
    await client.query(
      `set standard_conforming_strings = ${strings}; select set_config('ecompipe.batch_id', '7', false)`,
    );
    await client.query(entryOfUsual(files));
    const { rows: entries } = await client.query<{ name: string; sha256: Buffer; batch_id: number }>(
      'select name, sha256, batch_id from ecompipe.file_entries order by file_id',
    );
    assert.deepEqual(
      entries,
      files.map(({ name, sha256 }) => ({ name, sha256, batch_id: 7 })),
    );
  });
}

test('a new small file takes two queries: one begins, enters and copies it, the other is its ledger and COMMIT', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 10));
  const sent: string[] = [];
  const proxy = await startProxy(database.port, (chunk, fromClient) => {
    if (fromClient) sent.push(chunk.toString('latin1'));
    return 'pass';
  });
  t.after(() => proxy.close());
  await load(shop, database, {}, { via: proxy });
  const about = sent.filter((text) => /file_entries|copy public|into ecompipe\.batches|\0commit\0/.test(text));
  assert.equal(about.length, 2);
  assert.match(about[0] ?? '', /begin;[\s\S]+lock_timeout[\s\S]+ecompipe\.file_entries[\s\S]+copy public\.events/);
  assert.match(about[1] ?? '', /ecompipe\.batches[\s\S]+commit\0/);
  assert.deepEqual(await eventIds(database), ids(0, 10));
  await assertLedger(database);
});

test('where the ledger knows some of a group, those are noted, and the others are loaded in one batch', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('first.csv', eventFile(0, 3));
  await load(shop, database);
  shop.put('again.csv', eventFile(0, 3));
  for (const n of [1, 2, 3]) shop.put(`new${n}.csv`, eventFile(3 * n, 3 * n + 3));
  const result = await load(shop, database);
  assert.deepEqual([result.filesLoaded, result.filesRedelivered, result.batches], [3, 1, 1]);
  assert.deepEqual(await eventIds(database), ids(0, 12));
  assert.deepEqual(await database.query('select name from ecompipe.redeliveries'), [{ name: 'again.csv' }]);
  assert.deepEqual(await batchesOf(database), [
    { loadPath: 'direct', inserted: 3, duplicates: 0 },
    { loadPath: 'direct', inserted: 9, duplicates: 0 },
  ]);
  await assertLedger(database);
});

test('a file that comes again is not loaded again, whatever became of its rows', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('first.csv', eventFile(0, 3));
  await load(shop, database);
  await database.query('delete from public.events');
  shop.put('again.csv', eventFile(0, 3));
  shop.put('new.csv', eventFile(3, 6));
  const result = await load(shop, database);
  assert.deepEqual([result.filesLoaded, result.filesRedelivered, result.batches], [1, 1, 1]);
  assert.deepEqual(await eventIds(database), ids(3, 6));
  assert.deepEqual(await database.query('select name from ecompipe.redeliveries'), [{ name: 'again.csv' }]);
  // Were its rows copied, only the count would tell, and cost the others the direct path.
  assert.deepEqual((await batchesOf(database)).at(-1), { loadPath: 'direct', inserted: 3, duplicates: 0 });
});

test('a row that COPY refuses costs its group the direct path and no neighbour its rows', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 3));
  shop.put('b.csv', [HEADER, eventRow(3), eventRow(4, { quantity: '0' }), eventRow(5), ''].join('\n'));
  const result = await load(shop, database);
  assert.deepEqual(result.rows, { read: 6, inserted: 5, duplicate: 0, rejected: 1 });
  assert.deepEqual(await batchesOf(database), [{ loadPath: 'staged', inserted: 5, duplicates: 0 }]);
  await assertLedger(database);
});

test('a small file whose COMMIT got no reply counts as loaded by this stream, in one batch', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 10));
  let cuts = 0;
  const proxy = await startProxy(database.port, (chunk, fromClient) =>
    !fromClient && chunk.includes('COMMIT\0') && ++cuts === 1 ? 'cut-before' : 'pass',
  );
  t.after(() => proxy.close());
  const result = await load(shop, database, {}, { via: proxy });
  assert.ok(cuts > 0, 'the connection was cut');
  assert.deepEqual([result.filesLoaded, result.filesRedelivered, result.batches], [1, 0, 1]);
  assert.deepEqual(result.rows, { read: 10, inserted: 10, duplicate: 0, rejected: 0 });
  assert.deepEqual(await eventIds(database), ids(0, 10));
  await assertLedger(database);
});

for (const [what, text, fromClient, verdict] of [
  ['before the server hears of it', 'copy public.events', true, 'cut-before'],
  ['when the server has it', 'copy public.events', true, 'cut-after'],
  ['before the rows arrive', ',add_to_cart,', true, 'cut-before'],
  ['when the rows have arrived', ',add_to_cart,', true, 'cut-after'],
  ['before the answer arrives', 'COPY 10\0', false, 'cut-before'],
  ['when the answer has arrived', 'COPY 10\0', false, 'cut-after'],
] as const) {
  test(`a session that is lost ${what} costs a small file nothing but time`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t);
    shop.put('a.csv', eventFile(0, 10));
    let isBegun = false;
    let cuts = 0;
    const proxy = await startProxy(database.port, (chunk, isRequest) => {
      isBegun ||= isRequest && chunk.includes('copy public.events');
      return isBegun && isRequest === fromClient && chunk.includes(text) && ++cuts === 1 ? verdict : 'pass';
    });
    t.after(() => proxy.close());
    const result = await load(shop, database, {}, { via: proxy });
    assert.ok(cuts > 0, 'the connection was cut');
    assert.deepEqual(result.rows, { read: 10, inserted: 10, duplicate: 0, rejected: 0 });
    assert.deepEqual(await eventIds(database), ids(0, 10));
    assert.deepEqual(await batchesOf(database), [{ loadPath: 'direct', inserted: 10, duplicates: 0 }]);
    assert.deepEqual(await filesOf(database), [{ name: 'a.csv', rows: 10, state: 'loaded' }]);
    await assertLedger(database);
  });
}
