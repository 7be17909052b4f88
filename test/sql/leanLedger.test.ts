import assert from 'node:assert/strict';
import test from 'node:test';
import { runMigrate } from '../../src/pipeline/migrate/runMigrate.js';
import { proveLedger } from '../../src/pipeline/verify/ledgerProof.js';
import { silentLogger } from '../../src/platform/log.js';
import { eventFile } from '../helpers/events.js';
import { databaseBefore, migratedDatabase, onDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { load, openShop } from '../pipeline/stream/harness.js';

const LEAN = 13;
const STAMP = '64768:1234:100:1764412800123456789';

/** A database with the schema from before the lean ledger. */
const oldDatabase = (): Promise<TestDatabase> => databaseBefore(LEAN);

/** What an older version leaves: small files, one that came in two ranges, with a reject, in quarantine, begun, pruned. */
const OLD_LEDGER = `
  insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at, columns)
  values (1, 'native', 'direct', 30, 30, 0, 0, 300, '2026-01-01 00:00:00Z', '{event_id,event_type}'),
         (2, 'native', 'staged', 20, 18, 1, 1, 200, '2026-01-01 00:00:01Z', '{event_type,event_id}'),
         (3, 'native', 'direct', 10, 10, 0, 0, 100, '2026-01-01 00:00:02Z', '{event_id,event_type}');
  insert into ecompipe.files (name, sha256, size, file_stamp, committed_offset, committed_lines, committed_records, state, rows_read, rows_inserted, rows_duplicate, rows_rejected, reason, finished_at)
  select name, sha256(name::bytea), size, '${STAMP}', committed, lines, rows, state, rows, rows - duplicate - rejected, duplicate, rejected, reason, case when state <> 'loading' then clock_timestamp() end
  from (values
    ('small-1.csv', 100, 100, 11, 'loaded', 10, 0, 0, null),
    ('small-2.csv', 100, 100, 11, 'loaded', 10, 0, 0, null),
    ('two-headers-lines.csv', 100, 100, 12, 'loaded', 10, 0, 0, null),
    ('dirty.csv', 100, 100, 11, 'loaded', 10, 1, 1, null),
    ('large.csv', 200, 200, 21, 'loaded', 20, 0, 0, null),
    ('unreadable.csv', 100, 0, 0, 'quarantined', 0, 0, 0, 'no header'),
    ('begun.csv', 900, 0, 0, 'loading', 0, 0, 0, null),
    ('pruned.csv', 100, 100, 11, 'pruned', 10, 0, 0, null)
  ) as f (name, size, committed, lines, state, rows, duplicate, rejected, reason);
  insert into ecompipe.batch_ranges (batch_id, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected)
  select batch_id, file_id, start_offset, end_offset, first_line, rows, rows - duplicate - rejected, duplicate, rejected
  from (values
    (1, 'small-1.csv', 0, 100, 2, 10, 0, 0),
    (1, 'small-2.csv', 0, 100, 2, 10, 0, 0),
    (1, 'two-headers-lines.csv', 0, 100, 3, 10, 0, 0),
    (2, 'dirty.csv', 0, 100, 2, 10, 1, 1),
    (2, 'large.csv', 0, 100, 2, 10, 0, 0),
    (3, 'large.csv', 100, 200, 12, 10, 0, 0)
  ) as r (batch_id, name, start_offset, end_offset, first_line, rows, duplicate, rejected) join ecompipe.files using (name);
  insert into ecompipe.redeliveries (file_id, name) select file_id, 'again.csv' from ecompipe.files where name = 'small-1.csv'`;

const FILES = `
  select file_id, encode(sha256, 'hex') as sha256, name, size, committed_offset, committed_lines, committed_records, state,
         rows_read, rows_inserted, rows_duplicate, rows_rejected, reason, finished_at is null as open
  from ecompipe.files order by file_id`;
const RANGES = 'select * from ecompipe.batch_ranges order by file_id, start_offset';

const migrate = async (database: TestDatabase): Promise<void> => {
  await onDatabase(database, {}, (target) => runMigrate(target, 'apply', { log: silentLogger }));
};

test('an old ledger says after the migration what it said before, and its small files have become short', async () => {
  const database = await oldDatabase();
  await database.query(OLD_LEDGER);
  const before = [await database.query(FILES), await database.query(RANGES)];
  await migrate(database);
  assert.deepEqual([await database.query(FILES), await database.query(RANGES)], before);
  assert.deepEqual(
    await database.query(
      'select name, batch_id::int as batch, rows from ecompipe.file_entries where rows is not null order by name',
    ),
    [
      { name: 'small-1.csv', batch: 1, rows: 10 },
      { name: 'small-2.csv', batch: 1, rows: 10 },
    ],
  );
  assert.deepEqual(
    await database.query(
      'select batch_id::int as id, ecompipe.columns_of(b) as columns from ecompipe.batches b order by 1 limit 2',
    ),
    [
      { id: 1, columns: ['event_id', 'event_type'] },
      { id: 2, columns: ['event_type', 'event_id'] },
    ],
  );
  assert.deepEqual(await database.query('select distinct (file_stamp >> 20)::text as ms from ecompipe.files'), [
    { ms: '1764412800123' },
  ]);
  const proof = await onDatabase(database, {}, (target) => proveLedger(target));
  assert.deepEqual([proof.counts.miscounted, proof.files], [2, 8], 'only a reject and a duplicate that are not kept');
});

test('contents that an older version loaded are not loaded again, and a file that it read is no redelivery', async (t) => {
  const database = await oldDatabase();
  const shop = openShop(t);
  const content = eventFile(0, 2);
  await database.query(
    `insert into ecompipe.files (name, sha256, size, file_stamp, committed_offset, committed_lines, committed_records, state, rows_read, rows_inserted, finished_at)
     values ('a.csv', sha256($1), $2, '${STAMP}', $2, 3, 2, 'loaded', 2, 2, now())`,
    [Buffer.from(content), Buffer.byteLength(content)],
  );
  await migrate(database);
  shop.put('b.csv', content);
  const { filesRedelivered, filesLoaded } = await load(shop, database);
  assert.deepEqual([filesLoaded, filesRedelivered], [0, 1]);
});

test('a process of an older version that still runs cannot write the ledger', async () => {
  const database = await oldDatabase();
  await migrate(database);
  const written = `insert into ecompipe.files (sha256, name, size, file_stamp, committed_offset) values (sha256('a'), 'a.csv', 1, '${STAMP}', 0)`;
  await assert.rejects(database.query(`${written} on conflict (sha256) do nothing`));
  await assert.rejects(database.query(written));
  await assert.rejects(
    database.query(
      'insert into ecompipe.batch_ranges (batch_id, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected) values (1, 1, 0, 1, 1, 0, 0, 0, 0)',
    ),
  );
});

test('what belongs to one content, file or batch is found without reading the whole ledger', async () => {
  const database = await migratedDatabase();
  await database.query(`
    insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at)
    select n, 'native', 'direct', 10, 10, 0, 0, 100, now() from generate_series(1, 100) as n;
    insert into ecompipe.file_entries (batch_id, size, file_stamp, rows, sha256, name)
    select n % 100 + 1, 10, 0, 1, sha256(n::text::bytea), n || '.csv' from generate_series(1, 50000) as n;
    analyze ecompipe.batches, ecompipe.file_entries`);
  const queries = [
    "select * from ecompipe.files where ecompipe.content_key(sha256) = ecompipe.content_key(sha256('7'))",
    "select * from ecompipe.files where ecompipe.content_key(sha256) = any (array(select ecompipe.content_key(s) from unnest (array[sha256('7')]) as s))",
    'select * from ecompipe.files where file_id = 7',
    'select * from ecompipe.files order by file_id desc limit 1000',
    'select * from ecompipe.batch_ranges where file_id = any (array[7, 8])',
    'select * from ecompipe.batch_ranges where batch_id = any (array[7, 8])',
    "select from ecompipe.file_entries where state = 'quarantined' and finished_at > now() - interval '1 hour'",
    "update ecompipe.file_entries f set committed_offset = 1 from unnest (array[7, 8]) as p (file_id) where f.file_id = p.file_id and f.state = 'loading'",
  ];
  for (const sql of queries) {
    const plan = await database.query<{ 'QUERY PLAN': string }>(`explain ${sql}`);
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    assert.doesNotMatch(text, /Seq Scan on file_entries/, `${sql}\n${text}`);
  }
});

test('whoever could write or read the ledger still can', async () => {
  const database = await oldDatabase();
  await database.query(`
    create role lean_loader; create role lean_reader;
    grant usage on schema ecompipe to lean_loader, lean_reader;
    grant select, insert, update on ecompipe.files to lean_loader;
    grant select, insert on ecompipe.batches, ecompipe.batch_ranges to lean_loader;
    grant select on ecompipe.files to lean_reader`);
  await migrate(database);
  const [rights] = await database.query(`
    select has_table_privilege('lean_loader', 'ecompipe.file_entries', 'insert') as "enters", has_table_privilege('lean_loader', 'ecompipe.file_entries', 'update') as "advances",
           has_table_privilege('lean_loader', 'ecompipe.range_entries', 'insert') as "ranges", has_table_privilege('lean_loader', 'ecompipe.column_lists', 'insert') as "columns",
           has_table_privilege('lean_reader', 'ecompipe.files', 'select') as "reads", has_table_privilege('lean_reader', 'ecompipe.file_entries', 'insert') as "mustNot"`);
  assert.deepEqual(rights, {
    enters: true,
    advances: true,
    ranges: true,
    columns: true,
    reads: true,
    mustNot: false,
  });
});
