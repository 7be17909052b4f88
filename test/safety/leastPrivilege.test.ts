import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import { csv, migratedDatabase, project, run, start } from '../cli/executable.js';
import { guideBlocks } from '../docs/guide.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';

const PASSWORD = 'only to load';

interface Scene {
  readonly database: TestDatabase;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly put: (name: string, text: string) => void;
}

function guideBlock(language: string, text: string): string {
  const block = guideBlocks().find((candidate) => candidate.language === language && candidate.text.includes(text));
  assert.ok(block, text);
  return block.text;
}

/** A database with the role of the guide, made by the guide's own lines. */
async function setScene(t: TestContext, group = 'ecompipe_loader'): Promise<Scene> {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  const [, ...args] = guideBlock('sh', 'migrate --roles').trim().split(' ');
  const made = await run(t, { cwd, env: database.env }, ...args);
  assert.equal(made.exitCode, 0, made.stderr);
  const role = `${group.replace('ecompipe_', '')}_${database.database}`;
  await database.query(
    guideBlock('sql', 'create role shop_loader')
      .replaceAll('shop_loader', role)
      .replace('ecompipe_loader', group)
      .replace('choose one', PASSWORD),
  );
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  return {
    database,
    cwd,
    env: { ...database.env, POSTGRES_USER: role, POSTGRES_PASSWORD: PASSWORD },
    put: (name, text) => writeFileSync(path.join(cwd, 'data/processing', name), text),
  };
}

test('the role of the guide can stream, list, correct and replay rejects, trace, and look at the status', async (t) => {
  const { database, env, cwd, put } = await setScene(t);
  put('a.csv', csv(5, 2));
  const step = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(t, { cwd, env }, ...args);
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  await step('stream', '--once');
  put('again.csv', csv(6));
  put('copy.csv', csv(5, 2));
  await step('stream', '--once');
  assert.match(await step('rejects', 'list'), /^2 open rejects/);
  await step('rejects', 'export', '--output', 'r.csv');
  const file = path.join(cwd, 'r.csv');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^([^,]+),no_such_type/gm, '$1,page_view'));
  assert.match(await step('rejects', 'replay', 'r.csv'), /1 inserted, 1 in the table already/);
  assert.match(await step('trace', '00000000-0000-7000-8000-000000000001'), /a\.csv:3/);
  await step('status');
  assert.deepEqual(await database.query('select count(*)::int from public.events'), [{ count: 7 }]);
});

test('the role of the guide can replay what a feed rejected, also a record that becomes several rows', async (t) => {
  const { database, env, cwd, put } = await setScene(t);
  mkdirSync(path.join(cwd, 'feeds'));
  writeFileSync(
    path.join(cwd, 'feeds/visits.yaml'),
    `match: "*.jsonl"
format: { type: jsonl }
rows: "jsonb_array_elements_text(record) as item"
columns:
  event_id: { derive: [{ sql: item }], repeats: distinct }
  event_type: { value: page_view }
  event_time: { value: "2026-11-22T10:00:00Z" }
  user_id: { sql: item }
  session_id: { value: s }
`,
  );
  put('a.jsonl', '["x"\n');
  for (const args of [
    ['stream', '--once'],
    ['rejects', 'export', '--output', 'r.csv'],
  ])
    assert.equal((await run(t, { cwd, env }, ...args)).exitCode, 0);
  const file = path.join(cwd, 'r.csv');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^"[^,]+,/m, '"[""x"", ""y""]",'));
  const { stdout, stderr } = await run(t, { cwd, env }, 'rejects', 'replay', 'r.csv');
  assert.match(stdout, /^1 row of r\.csv: 1 inserted/, stderr);
  assert.deepEqual(await database.query('select count(*)::int from public.events'), [{ count: 2 }]);
});

test('a stream as that role keeps the analytics views fast, and says nothing about it', async (t) => {
  const { database, env, cwd, put } = await setScene(t);
  put('a.csv', csv(5));
  const { child, end } = start(t, { cwd, env }, 'stream');
  await until(
    'the batch is in the rollups',
    async () =>
      (
        await database.query<{ done: boolean }>(
          'select pending_batches = 0 and (select count(*) from public.events) = 5 as done from analytics.freshness',
        )
      )[0]?.done === true,
    60_000,
  );
  child.kill('SIGTERM');
  const { exitCode, stderr } = await end;
  assert.equal(exitCode, 0, stderr);
  assert.doesNotMatch(stderr, /warn|error/);
});

test('it can neither alter, drop, truncate, update nor delete, and undo ends with exit code 77 and says what to do', async (t) => {
  const { database, env, cwd, put } = await setScene(t);
  put('a.csv', csv(5));
  await run(t, { cwd, env }, 'stream', '--once');
  const client = new pg.Client({
    host: database.host,
    port: database.port,
    database: database.database,
    user: env['POSTGRES_USER'],
    password: PASSWORD,
  });
  await client.connect();
  const forbidden = [
    'alter table public.events add column more text',
    'drop table public.events',
    'truncate public.events',
    "update public.events set user_id = 'x'",
    'delete from public.events',
    'drop schema ecompipe cascade',
    'delete from ecompipe.file_entries',
    'delete from ecompipe.rejected_rows',
    "update ecompipe.rejected_rows set message = ''",
    'update ecompipe.batches set rows_read = 0',
    "insert into ecompipe.event_types (event_type) values ('mine')",
    'create table public.mine (id int)',
  ];
  try {
    for (const sql of forbidden) await assert.rejects(client.query(sql), { code: '42501' }, sql);
  } finally {
    await client.end();
  }
  const { exitCode, stderr } = await run(t, { cwd, env }, 'undo', '--file', 'a.csv', '--yes');
  assert.equal(exitCode, 77, stderr);
  assert.match(stderr, /permission denied .*\(SQLSTATE 42501\)\n +hint: grant the role/);
  assert.deepEqual(await database.query('select count(*)::int from public.events'), [{ count: 5 }]);
});

test('it can load by a feed', async (t) => {
  const { database, env, cwd, put } = await setScene(t);
  mkdirSync(path.join(cwd, 'feeds'));
  writeFileSync(
    path.join(cwd, 'feeds/visits.yaml'),
    `match: "visits*.csv"
columns:
  event_id: { derive: [who, at] }
  event_type: { value: page_view }
  event_time: { from: at, time: iso }
  user_id: who
  session_id: who
`,
  );
  put('visits.csv', 'who,at\nu1,2026-11-01T10:00:00Z\nu2,2026-11-01T10:00:01Z\n');
  const { exitCode, stderr } = await run(t, { cwd, env }, 'stream', '--once');
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(
    await database.query('select name, (select count(*)::int from public.events) as rows from ecompipe.feeds'),
    [{ name: 'visits', rows: 2 }],
  );
});

test('a reader can look at everything and load nothing', async (t) => {
  const { env, cwd, put } = await setScene(t, 'ecompipe_reader');
  for (const args of [['status'], ['verify', '--ledger'], ['rejects', 'list']]) {
    const { exitCode, stderr } = await run(t, { cwd, env }, ...args);
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  }
  put('a.csv', csv(1));
  assert.equal((await run(t, { cwd, env }, 'stream', '--once')).exitCode, 77);
});

test('an admin can also undo and prune', async (t) => {
  const { database, env, cwd, put } = await setScene(t, 'ecompipe_admin');
  const step = async (...args: string[]): Promise<void> => {
    const { exitCode, stderr, stdout } = await run(t, { cwd, env }, ...args);
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  };
  put('a.csv', csv(5, 1));
  await step('stream', '--once');
  put('b.csv', csv(7, 1));
  put('again.csv', csv(5, 1));
  await step('stream', '--once');
  await step('rejects', 'export', '--output', 'r.csv');
  const file = path.join(cwd, 'r.csv');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^([^,]+),no_such_type/gm, '$1,page_view'));
  await step('rejects', 'replay', 'r.csv');
  await database.query('select analytics.refresh()');
  await step('undo', '--file', 'a.csv', '--yes');
  await database.query(`update ecompipe.file_entries set finished_at = finished_at - interval '1 day'`);
  await database.query(`update ecompipe.batches set committed_at = committed_at - interval '1 day'`);
  await step('prune', '--older-than', '1h', '--events', '--ledger', '--yes');
  assert.deepEqual(
    await database.query(
      `select (select count(*)::int from events) as events, (select count(*)::int from ecompipe.rejected_rows) as rejects,
              (select json_agg(distinct state) from ecompipe.files) as states`,
    ),
    [{ events: 0, rejects: 0, states: ['pruned'] }],
  );
});
