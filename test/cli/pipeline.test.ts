import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TestDatabase } from '../helpers/postgres.js';
import { emptyDatabase, EXECUTABLE, migratedDatabase, project, run, start } from './executable.js';

/** Of `run-all --seed 1 --start 2026-11-01 --events 2000`, on every machine. */
const KNOWN_ANSWER = {
  add_payment_info: 3,
  add_shipping_info: 3,
  add_to_cart: 14,
  add_to_wishlist: 8,
  begin_checkout: 5,
  page_view: 840,
  purchase: 7,
  search: 41,
  select_item: 245,
  session_start: 164,
  view_cart: 5,
  view_item: 401,
  view_item_list: 264,
};
const SMOKE = ['--events', '2000', '--batch-size', '200', '--interval', '0', '--seed', '1', '--start', '2026-11-01'];

async function eventsByType(database: TestDatabase): Promise<Record<string, number>> {
  const rows = await database.query<{ event_type: string; count: number }>(
    'select event_type, count(*)::int as count from events group by 1',
  );
  return Object.fromEntries(rows.map(({ event_type, count }) => [event_type, count]));
}

interface Published {
  readonly sha256: string;
  readonly rows: number;
}

/** What the manifests of a project say was published: all files but one that a kill left in staging. */
function published(cwd: string): Published[] {
  const incoming = path.join(cwd, 'data/incoming');
  const manifests = readdirSync(path.join(incoming, '.manifest')).map((name) =>
    readFileSync(path.join(incoming, '.manifest', name), 'utf8'),
  );
  const lines = manifests.flatMap((text) =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Published & { line: string; staged: string }),
  );
  return lines.filter(({ line, staged }) => line === 'file' && !existsSync(path.join(incoming, staged)));
}

/** The ledger and the table hold what was published, once. */
async function assertExactlyOnce(database: TestDatabase, files: readonly Published[]): Promise<void> {
  const ledger = await database.query<{ sha256: string; rows: number }>(
    `select encode(sha256, 'hex') as sha256, rows_inserted::int as rows from ecompipe.files where state = 'loaded' order by 1`,
  );
  assert.deepEqual(
    ledger,
    files.map(({ sha256, rows }) => ({ sha256, rows })).sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)),
  );
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  assert.deepEqual(
    await database.query('select count(*)::int as rows, count(distinct event_id)::int as ids from events'),
    [{ rows, ids: rows }],
  );
}

test('the smoke test has its known answer, in an empty database', async (t) => {
  const database = await emptyDatabase(t);
  const { exitCode, stdout, stderr } = await run(
    t,
    { cwd: project(t), env: database.env },
    'run-all',
    ...SMOKE,
    '--until-drained',
    '--json',
  );
  assert.equal(exitCode, 0, stderr);
  const { generated, loaded } = JSON.parse(stdout) as { generated: { rows: number }; loaded: { rows: number } };
  assert.deepEqual([generated.rows, loaded.rows], [2000, 2000]);
  assert.deepEqual(await eventsByType(database), KNOWN_ANSWER);
});

test('stream --once a second time loads nothing', async (t) => {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  const stream = ['stream', '--once', '--after-load', 'keep', '--json'];
  assert.equal((await run(t, { cwd }, 'generate', ...SMOKE, '--output-dir', 'data/processing')).exitCode, 0);
  const loaded = [
    await run(t, { cwd, env: database.env }, ...stream),
    await run(t, { cwd, env: database.env }, ...stream),
  ].map(({ stdout }) => (JSON.parse(stdout) as { rows: { inserted: number } }).rows.inserted);
  assert.deepEqual(loaded, [2000, 0]);
  assert.deepEqual(await eventsByType(database), KNOWN_ANSWER);
});

/** Waits until a query gives a row. */
async function until(t: TestContext, database: TestDatabase, sql: string): Promise<void> {
  while ((await database.query(sql)).length === 0) t.signal.throwIfAborted();
}

test('three commands in three processes, started in any order', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase(t);
  const { env } = database;
  const cwd = project(t);
  const stream = start(t, { cwd, env }, 'stream');
  const move = start(t, { cwd, env }, 'move');
  const generate = start(t, { cwd, env }, 'generate', ...SMOKE);
  assert.equal((await generate.end).exitCode, 0);
  await until(t, database, 'select from events having count(*) = 2000');
  for (const { child } of [move, stream]) child.kill('SIGTERM');
  const ended = await Promise.all([move.end, stream.end]);
  assert.deepEqual(
    ended.map(({ exitCode }) => exitCode),
    [0, 0],
    ended.map(({ stderr }) => stderr).join(),
  );
  assert.deepEqual(await eventsByType(database), KNOWN_ANSWER);
  assert.equal((await run(t, { cwd, env }, 'verify')).exitCode, 0);
});

test('SIGINT drains run-all: the table holds all that was generated', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  const { child, end } = start(t, { cwd, env: database.env }, 'run-all', '--interval', '0', '--batch-size', '100');
  await until(t, database, 'select from ecompipe.batches limit 1');
  child.kill('SIGINT');
  const { exitCode, stdout, stderr } = await end;
  assert.equal(exitCode, 0, stderr);
  assert.match(
    stdout,
    /^generated [\d,]+ rows in [\d,]+ files \(seed \d+\)\nloaded [\d,]+ rows from [\d,]+ files in .*\nlost 0 · duplicated 0 · corrupted 0\n/,
  );
  await assertExactlyOnce(database, published(cwd));
});

test(
  'after SIGKILL in the middle a second run-all leaves nothing lost and nothing doubled',
  { timeout: 120_000 },
  async (t) => {
    const database = await migratedDatabase(t);
    const { env } = database;
    const cwd = project(t);
    const first = start(t, { cwd, env }, 'run-all', '--interval', '0', '--batch-size', '100', '--batch-bytes', '20000');
    await until(t, database, 'select from ecompipe.batches having count(*) >= 3');
    first.child.kill('SIGKILL');
    assert.equal((await first.end).signal, 'SIGKILL');
    const { exitCode, stderr } = await run(
      t,
      { cwd, env },
      'run-all',
      '--interval',
      '0',
      '--events',
      '100',
      '--until-drained',
    );
    assert.equal(exitCode, 0, stderr);
    await assertExactlyOnce(database, published(cwd));
  },
);

test('an unprivileged user needs nothing but a directory of its own', { timeout: 120_000 }, async (t) => {
  const nobody = 65_534;
  if (process.getuid?.() !== 0 || spawnSync('test', ['-r', EXECUTABLE], { uid: nobody, gid: nobody }).status !== 0) {
    t.skip('only root can become somebody else, and that somebody must be able to read the checkout');
    return;
  }
  const cwd = project(t, 'not root');
  const { exitCode, stdout, stderr } = await run(t, { cwd, uid: nobody }, 'run-all', ...SMOKE, '--until-drained');
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /generated 2,000 rows in 10 files \(seed 1\)\nloaded 2,000 rows from 10 files in /);
  const readOnly = await run(t, { cwd: '/', uid: nobody }, 'generate', '--events', '1');
  assert.equal(readOnly.exitCode, 77);
  assert.match(readOnly.stderr, /EACCES.*\n +hint: give this user the right/);
});
