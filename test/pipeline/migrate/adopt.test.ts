import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { emptyDatabase, migratedDatabase, project, run, start, type Ended } from '../../cli/executable.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';

/** A table as the old stack has it: texts for ids, times without a zone, other names for types of events, no key. */
const OLD_TABLE = `
  create table events (
    event_id varchar(36), event_type varchar(50), user_id varchar(36), product_id varchar(36), category varchar(100),
    price double precision, event_time timestamp default now(), session_id varchar(36), quantity bigint, ip_address text);
  create index idx_events_event_type on events (event_type);
  insert into events values
    ('11111111-1111-4111-8111-111111111111', 'view', 'u1', 'p1', 'books', 9.50, '2025-05-01 10:00', 's1', null, '10.0.0.1'),
    ('22222222-2222-4222-8222-22222222222A', 'view_item', 'u1', 'p1', 'books', 19.99, '2025-05-01 10:01', 's1', 2, null),
    ('33333333-3333-4333-8333-333333333333', 'page_view', 'u2', null, null, null, '2025-05-01 10:02', null, null, null)`;

interface Scene {
  readonly database: TestDatabase;
  readonly cwd: string;
  readonly migrate: (...flags: readonly string[]) => Promise<Ended>;
  readonly load: (name: string, text: string) => Promise<Ended>;
}

async function setScene(t: TestContext, table: string): Promise<Scene> {
  const database = await emptyDatabase(t);
  const cwd = project(t, 'adopt');
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  await database.query(table);
  const ecompipe = (...args: readonly string[]): Promise<Ended> => run(t, { cwd, env: database.env }, ...args);
  return {
    database,
    cwd,
    migrate: (...flags) => ecompipe('migrate', ...flags),
    load: async (name, text) => {
      writeFileSync(path.join(cwd, 'data/processing', name), text);
      return await ecompipe('stream', '--once', '--json');
    },
  };
}

/** All that can be said of the table: where it is, its columns, rules, indexes, and rows. */
async function snapshot(database: TestDatabase): Promise<unknown> {
  return [
    await shapeOf(database),
    await database.query('select * from public.events order by event_id::text'),
    await database.query(`select nspname from pg_namespace where nspname !~ '^pg_' order by 1`),
  ];
}

async function shapeOf(database: TestDatabase): Promise<unknown> {
  return await database.query(`
    select 'column' as kind, attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end
             || coalesce(' default ' || (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = attrelid and adnum = attnum), '') as what
    from pg_attribute where attrelid = 'public.events'::regclass and attnum > 0 and not attisdropped
    union all select 'constraint', conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where conrelid = 'public.events'::regclass
    union all select 'index', indexdef from pg_indexes where schemaname = 'public' and tablename = 'events'
    union all select 'trigger', pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'public.events'::regclass
    order by 1, 2`);
}

test('migrate says what of an existing table fits and what does not, names the ways out, and changes nothing', async (t) => {
  const { database, migrate } = await setScene(t, OLD_TABLE);
  const before = await snapshot(database);
  const { exitCode, stderr } = await migrate();
  assert.equal(exitCode, 2);
  for (const line of [
    'public.events (3 rows) that is not ours, and it can be adopted',
    '~ event_id is character varying(36) and becomes uuid',
    '~ event_time is timestamp without time zone and becomes timestamp with time zone',
    '~ price is double precision and becomes numeric(12,2)',
    '~ currency is missing and is added as text',
    '! event_time: its times have no zone and are taken for UTC',
    '! session_id is NULL in 1 of 3 rows',
    '! 1 of 3 rows breaks events_event_type_known: ',
    '! 2 of 3 rows break events_price_has_currency: ',
    'columns of your own stay, and files may bring them: ip_address',
    'migrate --adopt` takes it over',
    'use another database',
    'a feed with its own table',
  ])
    assert.ok(stderr.includes(line), `${line}\n${stderr}`);
  assert.deepEqual(await snapshot(database), before);
});

test('--adopt --dry-run says what --adopt would do, and changes nothing', async (t) => {
  const { database, migrate } = await setScene(t, OLD_TABLE);
  const before = await snapshot(database);
  const { exitCode, stdout } = await migrate('--adopt', '--dry-run');
  assert.equal(exitCode, 0);
  assert.match(
    stdout,
    /public\.events would be adopted with its 3 rows:[\s\S]*~ event_id is character varying\(36\) and becomes uuid/,
  );
  assert.deepEqual(await snapshot(database), before);
});

test('the table of the old stack is adopted with its rows, times read as UTC, and its events load once', async (t) => {
  const { database, migrate, load } = await setScene(t, OLD_TABLE);
  const { exitCode, stderr, stdout } = await migrate('--adopt');
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /warn {2}event_time: its times have no zone and are taken for UTC/);
  assert.match(stderr, /warn {2}the existing rows have no batch_id: the analytics views leave them out/);
  assert.match(stdout, /public\.events was adopted with its 3 rows:/);
  assert.deepEqual(
    await database.query(
      `select event_id, event_type, event_time = timestamptz '2025-05-01 10:00Z' + (row_number() over (order by event_id) - 1) * interval '1 min' as is_utc,
              price::text, quantity, ip_address, batch_id, ingested_at > now() - interval '1 h' as is_now
       from events order by event_id`,
    ),
    [
      ['11111111-1111-4111-8111-111111111111', 'view', '9.50', null, '10.0.0.1'],
      ['22222222-2222-4222-8222-22222222222a', 'view_item', '19.99', 2, null],
      ['33333333-3333-4333-8333-333333333333', 'page_view', null, null, null],
    ].map(([event_id, event_type, price, quantity, ip_address]) => ({
      ...{ event_id, event_type, is_utc: true, price, quantity, ip_address, batch_id: null, is_now: true },
    })),
  );

  // One row that is there, one that is there with another content, one that is new and brings the column of their own.
  const loaded = await load(
    'a.csv',
    `event_id,event_type,event_time,user_id,session_id,ip_address
33333333-3333-4333-8333-333333333333,page_view,2025-05-01T10:02:00Z,u2,,
11111111-1111-4111-8111-111111111111,page_view,2025-05-01T10:00:00Z,u1,s1,10.0.0.1
44444444-4444-4444-8444-444444444444,page_view,2025-05-01T10:03:00Z,u1,s1,10.0.0.9
`,
  );
  assert.equal(loaded.exitCode, 0, loaded.stderr);
  assert.deepEqual(
    await database.query('select rows_inserted::int, rows_duplicate::int, rows_rejected::int from ecompipe.files'),
    [{ rows_inserted: 1, rows_duplicate: 0, rows_rejected: 2 }],
  );
  assert.deepEqual(await database.query(`select ip_address from events where batch_id is not null`), [
    { ip_address: '10.0.0.9' },
  ]);
});

test('events of files that are in the adopted table already count as duplicates', async (t) => {
  const { database, migrate, load } = await setScene(t, OLD_TABLE);
  await migrate('--adopt');
  const { exitCode, stderr } = await load(
    'a.csv',
    `event_id,event_type,event_time,user_id,session_id,product_id,category
22222222-2222-4222-8222-22222222222A,view_item,2025-05-01T10:01:00Z,u1,s1,p1,books
55555555-5555-4555-8555-555555555555,page_view,2025-05-01T10:03:00Z,u1,s1,,
`,
  );
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(
    await database.query('select rows_inserted::int, rows_duplicate::int, rows_rejected::int from ecompipe.files'),
    [{ rows_inserted: 1, rows_duplicate: 1, rows_rejected: 0 }],
  );
  assert.deepEqual(await database.query('select count(*)::int from events'), [{ count: 4 }]);
});

test('existing rows that break a rule stay, new ones are held to it, and later migrations warn and go on', async (t) => {
  const { database, migrate, load } = await setScene(t, OLD_TABLE);
  await migrate('--adopt');
  assert.deepEqual(
    await database.query(
      `select conname as name from pg_constraint where conrelid = 'events'::regclass and not convalidated order by 1`,
    ),
    ['events_event_type_known', 'events_price_has_currency', 'events_session_id_not_null'].map((name) => ({ name })),
  );
  const again = await migrate();
  assert.equal(again.exitCode, 0, again.stderr);
  assert.match(again.stderr, /rows of public\.events break events_event_type_known: it holds for new rows only/);
  await load(
    'a.csv',
    `event_id,event_type,event_time,user_id,session_id
66666666-6666-4666-8666-666666666666,view,2025-05-01T10:01:00Z,u1,s1
77777777-7777-4777-8777-777777777777,page_view,2025-05-01T10:01:00Z,u1,
`,
  );
  assert.deepEqual(await database.query('select constraint_name from ecompipe.rejected_rows order by line'), [
    { constraint_name: 'events_event_type_known' },
    { constraint_name: 'events_session_id_not_null' },
  ]);
});

test('figures are those of loaded rows after a rebuild too, and verify --ledger holds', async (t) => {
  const { database, cwd, migrate, load } = await setScene(t, OLD_TABLE);
  await migrate('--adopt');
  await load(
    'a.csv',
    'event_id,event_type,event_time,user_id,session_id\n66666666-6666-4666-8666-666666666666,page_view,2025-05-01T10:01:00Z,u1,s1\n',
  );
  await database.query('select analytics.rebuild()');
  assert.deepEqual(await database.query('select event_type, events::int from analytics.events_by_type'), [
    { event_type: 'page_view', events: 1 },
  ]);
  const proof = await run(t, { cwd, env: database.env }, 'verify', '--ledger');
  assert.equal(proof.exitCode, 0, proof.stdout + proof.stderr);
});

test('a table with our own shape, and an empty one without any column, become exactly what migrate makes', async (t) => {
  const ours = await migratedDatabase(t);
  const wanted = await shapeOf(ours);
  const ddl = await ours.query<{ ddl: string }>(
    `select 'create table public.events (' || string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod), case when attnotnull then ' not null' else '' end), ', ' order by attnum) || ')' as ddl
     from pg_attribute where attrelid = 'public.events'::regclass and attnum > 0 and not attisdropped`,
  );
  for (const table of [ddl[0]!.ddl, 'create table public.events ()']) {
    const { database, migrate } = await setScene(t, table);
    const { exitCode, stderr } = await migrate('--adopt');
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(await shapeOf(database), wanted, table);
    assert.equal((await migrate('--adopt')).exitCode, 0, 'twice is fine');
  }
});

test('keys, types and values that would be lost are listed together, and nothing is changed', async (t) => {
  const { database, migrate } = await setScene(
    t,
    `create table events (
       id serial primary key, event_id text, event_type text, user_id text not null, price double precision,
       quantity numeric, batch_id text, country jsonb, device text generated always as ('mobile') stored,
       constraint events_quantity_positive check (quantity > -5));
     insert into events (event_id, event_type, user_id, price, quantity, batch_id)
     values ('11111111-1111-4111-8111-111111111111', 'view', 'u', 0.125, 1.5, 'mine'),
            ('11111111-1111-4111-8111-11111111111' || '1', 'view', 'u', 1, 1, null),
            ('not a uuid', 'view', 'u', 1, 1, null), (null, 'view', 'u', 1, 1, null)`,
  );
  const before = await snapshot(database);
  for (const flags of [[], ['--adopt'], ['--adopt', '--dry-run']]) {
    const { exitCode, stderr } = await migrate(...flags);
    assert.equal(exitCode, 2);
    for (const line of [
      'things keep it from being adopted',
      '✗ event_id is text, and 1 value would change or be lost as uuid',
      '✗ event_time (timestamp with time zone) is missing, and the rows must have one',
      '✗ session_id (text) is missing, and the rows must have one',
      '✗ price is double precision, and 1 value would change or be lost as numeric(12,2)',
      '✗ quantity is numeric, and 1 value would change or be lost as integer',
      '✗ batch_id has 1 value that our batches did not set',
      '✗ country is jsonb and should be text',
      '✗ device is generated',
      '✗ its primary key is PRIMARY KEY (id) and should be (event_id)',
      '✗ its constraint events_quantity_positive is not ours: rename it',
      'nothing was changed',
    ])
      assert.ok(stderr.includes(line), `${line}\n${stderr}`);
    assert.deepEqual(await snapshot(database), before);
  }
});

test('event ids that are there twice, in whatever case, or not at all, keep the table from being adopted', async (t) => {
  const { database, migrate } = await setScene(
    t,
    `${OLD_TABLE}, ('22222222-2222-4222-8222-22222222222a', 'view', 'u', null, null, null, now(), 's', null, null),
       (null, 'view', 'u', null, null, null, now(), 's', null, null)`,
  );
  const before = await snapshot(database);
  const { exitCode, stderr } = await migrate('--adopt');
  assert.equal(exitCode, 2);
  assert.match(stderr, /✗ event_id is NULL in 1 of 5 rows/);
  assert.match(stderr, /✗ 1 row has the event_id of another row/);
  assert.deepEqual(await snapshot(database), before);
});

test('what uses a column whose type changes is named', async (t) => {
  const { database, migrate } = await setScene(
    t,
    `${OLD_TABLE}; create view public.latest as select event_id, ip_address from events;
     create function public.noop() returns trigger language plpgsql as 'begin return new; end';
     create trigger noisy before insert on events for each row execute function public.noop()`,
  );
  const { exitCode, stderr } = await migrate('--adopt');
  assert.equal(exitCode, 2);
  assert.match(stderr, /✗ rule _RETURN on view (public\.)?latest uses event_id, whose type changes: drop it/);
  assert.match(stderr, /! its triggers stay, and run for each row that is loaded: noisy/);
  await database.query('drop view public.latest');
  assert.equal((await migrate('--adopt')).exitCode, 0);
});

for (const [what, table, refusal] of [
  ['a view', 'create view events as select 1', /public\.events is a view/],
  ['a partitioned table', 'create table events (event_id uuid) partition by hash (event_id)', /is a partitioned table/],
  ['an unlogged table', 'create unlogged table events (event_id uuid)', /✗ it is unlogged/],
] as const)
  test(`${what} is not adopted`, async (t) => {
    const { migrate } = await setScene(t, table);
    for (const flags of [[], ['--adopt']]) {
      const { exitCode, stderr } = await migrate(...flags);
      assert.equal(exitCode, 2);
      assert.match(stderr, refusal);
    }
  });

test('killed in the middle, the table is as it was, and the next --adopt takes it over', async (t) => {
  const { database, cwd, migrate } = await setScene(
    t,
    // Rewriting the rows builds this index anew, which waits for us when the table is half adopted.
    `${OLD_TABLE};
     create function public.wait(text) returns text language plpgsql immutable as
       'begin perform pg_advisory_xact_lock_shared(4711); return $1; end';
     create index waits on events (public.wait(ip_address))`,
  );
  const before = await snapshot(database);
  const blocker = await database.connect();
  await blocker.query('select pg_advisory_lock(4711)');
  const { child, end } = start(t, { cwd, env: database.env }, 'migrate', '--adopt');
  const waits = async (): Promise<boolean> =>
    (await database.query(`select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`)).length >
    0;
  await until('the adoption waits in its middle', waits, 60_000);
  child.kill('SIGKILL');
  await end;
  await until('the server has noticed', async () => !(await waits()), 60_000);
  await blocker.query('select pg_advisory_unlock(4711)');
  assert.deepEqual(await snapshot(database), before);
  const { exitCode, stderr } = await migrate('--adopt');
  assert.equal(exitCode, 0, stderr);
});
