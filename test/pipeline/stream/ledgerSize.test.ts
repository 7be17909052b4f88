import assert from 'node:assert/strict';
import test from 'node:test';
import { eventFile } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop } from './harness.js';

const LOADED = 200;
const COPIES = 40_000;

test('a small file costs the ledger at most 210 bytes with all its indexes, and a batch no list of columns', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  for (let file = 0; file < LOADED; file++)
    shop.put(`orders-${String(file).padStart(12, '0')}.csv`, eventFile(0, 2, {}, file));
  await load(shop, database);
  assert.deepEqual(
    await database.query(`
      select (select count(*)::int from ecompipe.file_entries where rows = 2) as short, (select count(*)::int from ecompipe.range_entries) as ranges,
             (select count(*)::int from ecompipe.column_lists) as lists`),
    [{ short: LOADED, ranges: 0, lists: 1 }],
  );
  // As the loader made them, with other contents: of so few, half-filled pages would be most of it.
  await database.query(`
    insert into ecompipe.file_entries (batch_id, size, file_stamp, rows, sha256, name)
    select f.batch_id, f.size, f.file_stamp, f.rows, sha256((f.name || n)::bytea), f.name
    from generate_series(1, ${COPIES / LOADED}) as n, ecompipe.file_entries f`);
  const [size] = await database.query<{ file: number; batch: number }>(`
    select (select sum(pg_relation_size(c.oid)) from pg_class c where c.oid = 'ecompipe.file_entries'::regclass
              or c.oid in (select indexrelid from pg_index where indrelid = 'ecompipe.file_entries'::regclass))::float8 / ${COPIES + LOADED} as file,
           (select max(pg_column_size(b.*)) from ecompipe.batches b) as batch`);
  assert(size !== undefined);
  assert(size.file <= 210, `${size.file} bytes a file`);
  assert(size.batch <= 200, `${size.batch} bytes a batch`);
});
