import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import { describeLedgerProof, proveLedger, type LedgerProof } from '../../src/pipeline/verify/ledgerProof.js';
import { eventFile } from '../helpers/events.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import { load, openShop } from '../pipeline/stream/harness.js';

const BATCH_ID = "batch_id bigint default nullif(current_setting('ecompipe.batch_id', true), '')::bigint";

const feed = (table: string, match: string): string =>
  `match: "${match}"\ntable: ${table}\ncolumns: { sku: sku, level: { sql: "level::int" } }`;

test('the ledger is proved for every table that feeds load into, and says of which it can not', async (t) => {
  const database = await migratedDatabase();
  await database.query(
    `create table public."Stock" (sku text primary key, level integer, ${BATCH_ID});
     create table public.bare (sku text primary key, level integer)`,
  );
  const feeds = [feed('public."Stock"', 'stock*'), feed('public.bare', 'bare*')].map((text, n) => {
    const parsed = parseFeed(`feed${n}`, `feeds/feed${n}.yaml`, text.replace('public."Stock"', `'public."Stock"'`));
    assert.ok(parsed.feed, parsed.problems?.join('\n'));
    return parsed.feed;
  });
  const shop = openShop(t, { feeds });
  shop.put('a.csv', eventFile(0, 10));
  shop.put('stock.csv', 'sku,level\na,1\nb,2\nc,3\n');
  shop.put('bare.csv', 'sku,level\na,1\n');
  await load(shop, database);
  const prove = (): Promise<LedgerProof> => onDatabase(database, {}, (to) => proveLedger(to));

  const proof = await prove();
  assert.deepEqual([proof.ok, proof.findings, proof.unprovedTables], [true, [], ['public.bare']]);
  assert.equal(proof.rows, 13);
  assert.match(describeLedgerProof(proof), /^not proved, for want of a column batch_id: public\.bare$/m);

  await database.query(`delete from public."Stock" where sku = 'b'`);
  assert.deepEqual((await prove()).counts, { lost: 1, surplus: 0, unknownBatch: 0, miscounted: 0 });
  await database.query('drop table public."Stock"');
  const gone = await prove();
  assert.deepEqual([gone.ok, gone.unprovedTables], [true, ['public."Stock"', 'public.bare']]);
});
