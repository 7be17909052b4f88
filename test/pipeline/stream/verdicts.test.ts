import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { silentLogger } from '../../../src/platform/log.js';
import { runMigrate } from '../../../src/pipeline/migrate/runMigrate.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import { runUndo } from '../../../src/pipeline/undo/runUndo.js';
import { remakeRows } from '../../../src/pipeline/stream/feeds/remakeRows.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';
import { namesIn, pathIn } from '../../helpers/dayFolders.js';

/** A continuous stream beside the test; ended with it. */
async function withStream(
  t: TestContext,
  database: TestDatabase,
  action: (shop: Shop, put: (name: string, content: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const shop = openShop(t, { pollIntervalMs: 50 });
  const stop = new AbortController();
  const running = onDatabase(database, { stop: stop.signal }, (target) =>
    runStream(shop.settings, target, {
      stop: stop.signal,
      drain: new AbortController().signal,
      log: silentLogger,
      emit: () => undefined,
    }),
  );
  try {
    await action(shop, async (name, content) => {
      const hidden = path.join(shop.home, name);
      writeFileSync(hidden, content);
      renameSync(hidden, path.join(shop.settings.inputDir, name));
      await until(`${name} is out of the way`, () => !existsSync(path.join(shop.settings.inputDir, name)));
    });
  } finally {
    stop.abort();
    await running;
  }
}

test('a running stream follows what its table becomes: a new event type, a new column, a dropped rule', async (t) => {
  const database = await migratedDatabase();
  await withStream(t, database, async (shop, put) => {
    await put('first.csv', eventFile(0, 2));
    await database.query("insert into ecompipe.event_types (event_type, needs_product) values ('share', true)");
    await put('share.csv', [HEADER, eventRow(2, { event_type: 'share' }), 'poison', ''].join('\n'));
    await database.query('alter table public.events add column language text');
    await put('language.csv', `${HEADER},language\n${eventRow(3)},de\n`);
    await put('dirty.csv', `${HEADER},language\n${eventRow(4)},fr\npoison\n`);
    await database.query('alter table public.events drop constraint events_device_known');
    await put('device.csv', [HEADER, eventRow(5, { device: 'watch' }), 'poison', ''].join('\n'));
    assert.ok(namesIn(shop.settings.quarantineDir).length === 0);
  });
  assert.deepEqual(
    await eventIds(database),
    [0, 1, 2, 3, 4, 5].map((n) => eventId(n)),
  );
  assert.deepEqual(await database.query("select count(*)::int from ecompipe.rejected_rows where raw <> 'poison'"), [
    { count: 0 },
  ]);
});

test('a table with a key of two columns of any types is loaded like that of events', async (t) => {
  const database = await migratedDatabase();
  await database.query(
    'create table public."Stock Levels" (shop text, day date, units integer not null check (units >= 0), primary key (shop, day))',
  );
  const shop = openShop(t, { table: 'public."Stock Levels"' });
  shop.put('a.csv', 'day,units,shop\n2026-11-22,1,de\n2026-11-23,2,de\n');
  shop.put('b.csv', 'shop,day,units\nde,2026-11-22,1\nde,2026-11-23,3\nfr,2026-11-22,-1\nfr,2026-11-23,4\n');
  assert.deepEqual((await load(shop, database)).rows, { read: 6, inserted: 3, duplicate: 1, rejected: 2 });
  assert.deepEqual(await database.query('select key from ecompipe.duplicate_rows'), [{ key: '["de", "2026-11-22"]' }]);
  assert.deepEqual(
    await database.query('select kind, column_name, constraint_name from ecompipe.rejected_rows order by byte_offset'),
    [
      { kind: 'conflict', column_name: 'units', constraint_name: 'Stock Levels_pkey' },
      { kind: 'invalid', column_name: 'units', constraint_name: 'Stock Levels_units_check' },
    ],
  );
});

test('a table without a primary key is refused with exit code 2', async (t) => {
  const database = await migratedDatabase();
  await database.query('create table public.things (id integer)');
  const shop = openShop(t, { table: 'public.things' });
  await assert.rejects(load(shop, database), { exitCode: 2, message: /public\.things has no primary key/ });
});

test('4,000 rows that a foreign key refuses are rejected one by one within seconds', async (t) => {
  const database = await migratedDatabase();
  await database.query('create table public.countries (code text primary key)');
  await database.query(
    'alter table public.events add constraint known_country foreign key (country) references public.countries',
  );
  for (const atomicFile of [false, true]) {
    const shop = openShop(t, { atomicFile });
    shop.put('a.csv', eventFile(0, 4000, { session_id: String(atomicFile) }));
    const startedAt = performance.now();
    const { rows } = await load(shop, database);
    const tookMs = performance.now() - startedAt;
    assert.deepEqual(rows, { read: 4000, inserted: 0, duplicate: 0, rejected: 4000 });
    // Two seconds on two free cores; savepoints that pile up made minutes of it.
    assert.ok(tookMs < 60_000, `${tookMs} ms`);
  }
});

test('the first row of a key that the table takes wins, also when one before it is refused', async (t) => {
  const database = await migratedDatabase();
  await database.query("alter table public.events add constraint one check (user_id <> 'refused')");
  await database.query('create unique index on public.events (session_id)');
  const shop = openShop(t);
  const rows = [
    eventRow(1, { user_id: 'refused' }),
    eventRow(1, { user_id: 'second' }),
    eventRow(1, { user_id: 'third' }),
    eventRow(2, { session_id: 's1' }),
    eventRow(2, { session_id: 'other' }),
  ];
  shop.put('a.csv', [HEADER, ...rows, ''].join('\n'));
  assert.deepEqual((await load(shop, database)).rows, { read: 5, inserted: 2, duplicate: 0, rejected: 3 });
  assert.deepEqual(await database.query('select user_id, session_id from public.events order by event_id'), [
    { user_id: 'second', session_id: 's1' },
    { user_id: 'u2', session_id: 'other' },
  ]);
});

test('a thousand rows of one key that are all refused take no longer than others', async (t) => {
  const database = await migratedDatabase();
  await database.query('create table public.countries (code text primary key)');
  await database.query(
    'alter table public.events add constraint known_country foreign key (country) references public.countries',
  );
  const shop = openShop(t);
  shop.put('a.csv', [HEADER, ...Array.from({ length: 3000 }, () => eventRow(1)), ''].join('\n'));
  const startedAt = performance.now();
  assert.equal((await load(shop, database)).rows.rejected, 3000);
  assert.ok(performance.now() - startedAt < 60_000);
});

test('under row security each row is judged by the policy, and its neighbours are loaded', async (t) => {
  const database = await migratedDatabase();
  const role = `loader_${database.database}`;
  await database.query(`create role ${role} login password 'x'`);
  await database.query(`grant usage on schema ecompipe, analytics to ${role}`);
  await database.query(`grant all on all tables in schema ecompipe, analytics, public to ${role}`);
  await database.query(`grant all on all sequences in schema ecompipe to ${role}`);
  await database.query('alter table public.events enable row level security');
  await database.query("create policy german on public.events using (true) with check (country = 'DE')");
  const shop = openShop(t);
  shop.put('a.csv', [HEADER, eventRow(1), eventRow(2, { country: 'FR' }), eventRow(3), ''].join('\n'));
  const { rows } = await load(shop, { ...database, user: role, password: 'x' });
  assert.deepEqual(rows, { read: 3, inserted: 2, duplicate: 0, rejected: 1 });
  assert.deepEqual(await database.query('select sql_state from ecompipe.rejected_rows'), [{ sql_state: '42501' }]);
});

test('migrate and stream refuse a database that can not hold UTF-8, with exit code 2', async (t) => {
  const server = await startTestServer();
  const admin = await server.createDatabase();
  await admin.query(
    "create database latin encoding 'LATIN1' locale_provider libc lc_collate 'C' lc_ctype 'C' template template0",
  );
  const latin = { ...admin, database: 'latin' };
  const refusal = { exitCode: 2, message: /encoding is LATIN1/ };
  await assert.rejects(
    onDatabase(latin, {}, (target) => runMigrate(target, 'apply', { log: silentLogger })),
    refusal,
  );
  const shop = openShop(t);
  await assert.rejects(load(shop, latin), refusal);
});

/** Rows of which all are junk, as a column that was dumped by mistake. */
const junk = (rows: number): string => `${HEADER}\n${'1\n'.repeat(rows)}`;

test('of a file that is mostly rejects the rest is not loaded: it goes to quarantine, and its neighbours are loaded', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 2 ** 20 });
  const mostlyJunk = `${eventFile(0, 100)}${'1\n'.repeat(200_000)}`;
  shop.put('junk.csv', mostlyJunk);
  shop.put('good.csv', eventFile(1000, 1010));
  const result = await load(shop, database);
  assert.deepEqual([result.filesLoaded, result.filesQuarantined, result.rows.inserted], [1, 1, 110]);
  assert.ok(result.rows.rejected >= 10_000 && result.rows.rejected < 200_000, String(result.rows.rejected));
  const reason = JSON.parse(readFileSync(pathIn(shop.settings.quarantineDir, 'junk.csv.reason.json'), 'utf8')) as {
    reason: string;
  };
  assert.match(reason.reason, /rows were rejected, so the rest was not loaded/);
  await assertLedger(database);
  // Delivered again, it is known for what it is.
  shop.put('again.csv', mostlyJunk);
  const again = await load(shop, database);
  assert.deepEqual([again.filesQuarantined, again.rows.read], [1, 0]);
  // And what was committed of it can be taken out.
  await onDatabase(database, {}, (target) =>
    runUndo(
      {
        file: 'junk.csv',
        batchId: undefined,
        dryRun: false,
        loadedDirs: [shop.settings.quarantineDir],
        waitingDirs: [],
      },
      target,
      remakeRows,
    ),
  );
  assert.equal((await eventIds(database)).length, 10);
});

test('--max-rejected none loads whatever comes, and a small file of junk has no rest to give up', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 2 ** 20, maxRejected: 'none' });
  shop.put('junk.csv', junk(120_000));
  assert.equal((await load(shop, database)).rows.rejected, 120_000);
  shop.put('small.csv', junk(20_000));
  const small = await load(shop, database, { maxRejected: undefined });
  assert.deepEqual([small.filesLoaded, small.rows.rejected], [1, 20_000]);
  await assertLedger(database);
});

test('with --atomic-file nothing of a file that is mostly rejects stays', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 2 ** 18, atomicFile: true });
  shop.put('junk.csv', `${HEADER}\n${eventRow(0)}\n${'1\n'.repeat(200_000)}`);
  const result = await load(shop, database);
  assert.deepEqual([result.filesLoaded, result.filesQuarantined], [0, 1]);
  assert.deepEqual(
    await database.query(
      'select (select count(*) from public.events)::int as events, (select count(*) from ecompipe.rejected_rows)::int as rejects',
    ),
    [{ events: 0, rejects: 0 }],
  );
});

test('adding an event type makes nobody wait for a look at all rows, and migrate looks later', async () => {
  const database = await migratedDatabase();
  await database.query(
    `insert into public.events (event_id, event_type, event_time, user_id, session_id) select gen_random_uuid(), 'page_view', now(), 'u', 's' from generate_series(1, 1000)`,
  );
  const validated = async (): Promise<unknown[]> =>
    await database.query(
      `select conname as name, convalidated as validated from pg_constraint where conname in ('events_event_type_known', 'events_order_required') order by 1`,
    );
  await database.query("insert into ecompipe.event_types (event_type) values ('share')");
  assert.deepEqual(await validated(), [
    { name: 'events_event_type_known', validated: false },
    { name: 'events_order_required', validated: true },
  ]);
  await onDatabase(database, {}, (target) => runMigrate(target, 'apply', { log: silentLogger }));
  assert.deepEqual((await validated())[0], { name: 'events_event_type_known', validated: true });
});

test('a price is required where the type of event says so, and nowhere at first', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', [HEADER, eventRow(1, { price: '', currency: '' }), ''].join('\n'));
  assert.equal((await load(shop, database)).rows.inserted, 1);
  await database.query("update ecompipe.event_types set needs_price = true where event_type = 'add_to_cart'");
  shop.put('b.csv', [HEADER, eventRow(2, { price: '', currency: '' }), eventRow(3), ''].join('\n'));
  assert.deepEqual((await load(shop, database)).rows, { read: 2, inserted: 1, duplicate: 0, rejected: 1 });
});

test('dates that can be read in two ways are rejected by both paths alike, and others loaded', async (t) => {
  const dates: readonly (readonly [string, boolean])[] = [
    ['01.02.2026', false],
    ['1/2/2026', false],
    ['01/02/03', false],
    ['now', false],
    ['yesterday', false],
    ['epoch', false],
    ['2026-11-22 allballs', false],
    ['20261122T130000Z', true],
    ['Nov 22 2026', true],
    ['2026-11-22 13:00 EST', true],
  ];
  for (const neighbour of [[], ['poison']]) {
    const database = await migratedDatabase();
    const shop = openShop(t);
    // Each in a file of its own, so that no other date sends it to the stage.
    for (const [n, [date]] of dates.entries())
      shop.put(`${n}.csv`, [HEADER, eventRow(n, { event_time: date }), ...neighbour, ''].join('\n'));
    await load(shop, database, { maxRejected: { rows: 10 } });
    assert.deepEqual(
      await eventIds(database),
      dates.flatMap(([, isClear], n) => (isClear ? [eventId(n)] : [])),
    );
    assert.deepEqual(
      await database.query("select distinct sql_state, column_name from ecompipe.rejected_rows where raw <> 'poison'"),
      [{ sql_state: '22007', column_name: 'event_time' }],
    );
  }
});

test('the end of COPY’s data on the last of a million short lines holds up nothing', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', `${HEADER}\n${eventRow(1)}\n${'1\n'.repeat(1_000_000)}\\.\n`);
  const startedAt = performance.now();
  assert.equal((await load(shop, database)).rows.inserted, 1);
  assert.ok(performance.now() - startedAt < 60_000);
});
