import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { to as copyTo } from 'pg-copy-streams';
import { run } from '../helpers/executable.js';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';
import { documentBlocks, readDocument, ROOT } from './markdown.js';

/** A table as such stacks have it: texts for ids, times without a zone, no key, a row that a retried task wrote twice. */
const OLD_TABLE = `
  create table events (
    event_id varchar(36), event_type varchar(50), user_id varchar(36), product_id varchar(36), category varchar(100),
    price decimal(10,2), event_time timestamp, session_id varchar(36), search_query varchar(255), quantity integer,
    payment_method varchar(50));
  create index idx_events_event_type on events (event_type);
  insert into events values
    ('11111111-1111-4111-8111-111111111111', 'view', 'u1', 'p1', 'books', 9.50, '2025-05-01 10:00', 's1', null, null, null),
    ('22222222-2222-4222-8222-222222222222', 'cart', 'u1', 'p1', 'books', 9.50, '2025-05-01 10:01', 's1', null, null, null),
    ('33333333-3333-4333-8333-333333333333', 'purchase', 'u1', 'p1', 'books', 9.50, '2025-05-01 10:02', 's1', null, 2, 'card'),
    ('33333333-3333-4333-8333-333333333333', 'purchase', 'u1', 'p1', 'books', 9.50, '2025-05-01 10:02', 's1', null, 2, 'card'),
    ('44444444-4444-4444-8444-444444444444', 'search', 'u2', null, null, null, '2025-05-01 10:03', null, 'a "quoted", one', null, null),
    ('55555555-5555-4555-8555-555555555555', 'purchase', 'u2', null, null, 5, '2025-05-01 10:04', null, null, 1, 'card')`;

const LOADED = [
  ['add_to_cart', '2025-05-01 10:01:00', 's1', 1, null, null],
  ['purchase', '2025-05-01 10:02:00', 's1', 2, '33333333-3333-4333-8333-333333333333', null],
  ['search', '2025-05-01 10:03:00', 'u2', null, null, 'a "quoted", one'],
  ['view_item', '2025-05-01 10:00:00', 's1', null, null, null],
];

test('an events table of the old stack is left alone by migrate, and the recipe brings its rows in, each once', async (t) => {
  const database = await (await startTestServer()).createDatabase();
  const cwd = directory(t);
  const ecompipe = (...args: string[]) => run(t, { cwd, env: database.env }, ...args);
  await database.query(OLD_TABLE);
  const refused = await ecompipe('migrate');
  assert.equal(refused.exitCode, 2);
  assert.match(
    refused.stderr,
    /public\.events \(6 rows\) that is not ours[\s\S]*✗ 1 row has the event_id of another row[\s\S]*hint: .*docs\/migrating\.md/,
  );

  await database.query(sqlBlock('old-schema.sql'));
  const migrated = await ecompipe('migrate');
  assert.equal(migrated.exitCode, 0, migrated.stderr);
  const query = sqlBlock('old-events.sql').replace('from events', 'from old.events');
  writeFileSync(path.join(cwd, 'data/incoming/old-events.csv'), await copyOut(database, query));
  for (const args of [
    ['move', '--once'],
    ['stream', '--once'],
  ]) {
    const { exitCode, stderr } = await ecompipe(...args);
    assert.equal(exitCode, 0, stderr);
  }
  assert.deepEqual(await loadedRows(database), LOADED);
  assert.deepEqual(
    await database.query('select rows_inserted::int4, rows_duplicate::int4, rows_rejected::int4 from ecompipe.files'),
    [{ rows_inserted: 4, rows_duplicate: 1, rows_rejected: 1 }],
  );
  const [rejected] = await database.query<{ reason: string }>('select message as reason from ecompipe.rejected_rows');
  assert.match(rejected?.reason ?? '', /events_product_required/);
});

test('files of the old generator are loaded by the feed that the document shows', async (t) => {
  const database = await (await startTestServer()).createDatabase();
  const cwd = directory(t);
  const feed = documentBlocks('docs/migrating.md').find(({ file }) => file === 'feeds/old-events.yaml')!;
  mkdirSync(path.join(cwd, 'feeds'));
  writeFileSync(path.join(cwd, feed.file!), feed.text);
  writeFileSync(path.join(cwd, 'data/processing/events_20250501_100000.csv'), OLD_FILE);
  for (const args of [['migrate'], ['stream', '--once']]) {
    const { exitCode, stderr } = await run(t, { cwd, env: database.env }, ...args);
    assert.equal(exitCode, 0, stderr);
  }
  assert.deepEqual(await loadedRows(database), [LOADED[0], LOADED[1], LOADED[3]]);
});

const OLD_FILE = `event_id,event_type,user_id,product_id,category,price,timestamp,session_id,quantity
11111111-1111-4111-8111-111111111111,view,u1,p1,books,9.50,2025-05-01T10:00:00,s1,
22222222-2222-4222-8222-222222222222,cart,u1,p1,books,9.50,2025-05-01T10:01:00,s1,
33333333-3333-4333-8333-333333333333,purchase,u1,p1,books,9.50,2025-05-01T10:02:00,s1,2
`;

test('the document names every service of the compose file that is there by default, and all variables of the old .env', () => {
  const document = readDocument('docs/migrating.md');
  const names = [
    ...['postgres', 'data-generator', 'file-mover', 'spark-streaming', 'streamer', 'migrate', 'dashboard'],
    ...['POSTGRES_HOST', 'POSTGRES_PORT', 'POSTGRES_DB', 'POSTGRES_USER', 'POSTGRES_PASSWORD'],
    ...['PROCESSING_PATH', 'CHECKPOINT_PATH'],
  ];
  const compose = readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8');
  for (const name of names) {
    assert.match(document, new RegExp(`\`${name}\\b`), name);
    assert.match(compose, new RegExp(`\\b${name}\\b`), name);
  }
});

function sqlBlock(file: string): string {
  const block = documentBlocks('docs/migrating.md').find((candidate) => candidate.file === file);
  assert.ok(block, file);
  return block.text;
}

async function copyOut(database: TestDatabase, query: string): Promise<string> {
  const client = await database.connect();
  try {
    return await text(client.query(copyTo(query)));
  } finally {
    await client.end();
  }
}

async function loadedRows(database: TestDatabase): Promise<unknown[][]> {
  const rows = await database.query<Record<string, unknown>>(
    `select event_type, to_char(event_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as at, session_id, quantity,
            order_id, search_term
     from events order by event_type`,
  );
  return rows.map((row) => Object.values(row));
}

function directory(t: TestContext): string {
  const created = mkdtempSync(path.join(tmpdir(), 'ecompipe-migrating-'));
  t.after(() => rmSync(created, { recursive: true, force: true }));
  for (const name of ['incoming', 'processing']) mkdirSync(path.join(created, 'data', name), { recursive: true });
  return created;
}
