import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { eventFile } from '../helpers/events.js';
import { csv, emptyDatabase, migratedDatabase, project, run, start, type Running } from './executable.js';

const TIMEOUT = { timeout: 120_000 };

/** Somebody else's open transaction, as an index build or a colleague who went to lunch. */
async function openTransaction(
  t: TestContext,
  database: TestDatabase,
  ...statements: readonly string[]
): Promise<pg.Client> {
  const { host, port, user, password } = database;
  const client = new pg.Client({
    host,
    port,
    user,
    password,
    database: database.database,
    application_name: 'colleague',
  });
  client.on('error', () => undefined);
  await client.connect();
  t.after(() => client.end().catch(() => undefined));
  for (const statement of ['begin', ...statements]) await client.query(statement);
  return client;
}

async function assertReportedAndStopped(running: Running, lock: RegExp, exitCode: number): Promise<void> {
  await running.said('colleague');
  assert.match(running.output(), lock);
  assert.doesNotMatch(running.output(), /hunter2/);
  const stoppedAt = performance.now();
  running.child.kill('SIGTERM');
  const ended = await running.end;
  assert(performance.now() - stoppedAt < 20_000, `it took ${Math.round(performance.now() - stoppedAt)} ms to stop`);
  assert.equal(ended.exitCode, exitCode, ended.stderr);
}

async function backends(database: TestDatabase): Promise<number> {
  const [row] = await database.query(
    `select count(*)::int4 as n from pg_stat_activity where datname = current_database() and application_name like 'ecompipe%'`,
  );
  return Number(row?.['n']);
}

const LOCK_EVENTS = `lock table public.events in share mode; select 'password hunter2'`;

test('migrate that waits for another one says for whom, and ends on SIGTERM', TIMEOUT, async (t) => {
  const database = await emptyDatabase(t);
  await openTransaction(t, database, 'select pg_advisory_lock(1701015405)');
  const running = start(t, { cwd: project(t), env: database.env }, 'migrate');
  await assertReportedAndStopped(running, /waiting for a lock on advisory/, 130);
  await until('all of its sessions are gone', async () => (await backends(database)) === 0);
});

for (const [what, batchBytes] of [
  ['a small file', '8MiB'],
  ['a file of many ranges', '4096'],
] as const) {
  test(
    `a stream whose ${what} waits for a lock says who holds it, and ends on SIGTERM with nothing lost`,
    TIMEOUT,
    async (t) => {
      const database = await migratedDatabase(t);
      const home = project(t);
      mkdirSync(path.join(home, 'data/processing'), { recursive: true });
      writeFileSync(path.join(home, 'data/processing/a.csv'), eventFile(0, 200));
      const holder = await openTransaction(t, database, LOCK_EVENTS);
      const running = start(t, { cwd: home, env: database.env }, 'stream', '--batch-bytes', batchBytes);
      await assertReportedAndStopped(running, /waiting for a lock on public.events \(RowExclusiveLock\)/, 0);
      await until('all of its sessions are gone', async () => (await backends(database)) === 0);
      await holder.end();
      const again = await run(t, { cwd: home, env: database.env }, 'stream', '--once');
      assert.equal(again.exitCode, 0, again.stderr);
      assert.deepEqual(await database.query('select count(*)::int4 as n from public.events'), [{ n: 200 }]);
    },
  );
}

test(
  'a stream that is killed while it waits for a lock leaves no session behind that holds anything',
  TIMEOUT,
  async (t) => {
    const database = await migratedDatabase(t);
    const home = project(t);
    mkdirSync(path.join(home, 'data/processing'), { recursive: true });
    writeFileSync(path.join(home, 'data/processing/a.csv'), csv(3));
    await openTransaction(t, database, LOCK_EVENTS);
    const running = start(t, { cwd: home, env: database.env }, 'stream');
    await running.said('colleague');
    running.child.kill('SIGKILL');
    await running.end;
    await until('all of its sessions are gone', async () => (await backends(database)) === 0);
  },
);

for (const [what, args, statements] of [
  ['undo', ['undo', '--file', 'a.csv', '--yes'], [LOCK_EVENTS]],
  ['verify', ['verify', '--ledger'], ['lock table public.events in access exclusive mode']],
  ['stream --once', ['stream', '--once'], ['lock table ecompipe.file_entries in access exclusive mode']],
  ['rejects list', ['rejects', 'list'], ['lock table ecompipe.rejected_rows in access exclusive mode']],
] as const) {
  test(`${what} that waits for a lock says who holds it, and ends on SIGTERM`, TIMEOUT, async (t) => {
    const database = await migratedDatabase(t);
    const home = project(t);
    mkdirSync(path.join(home, 'data/processing'), { recursive: true });
    writeFileSync(path.join(home, 'data/processing/a.csv'), csv(3));
    const first = await run(t, { cwd: home, env: database.env }, 'stream', '--once');
    assert.equal(first.exitCode, 0, first.stderr);
    if (what === 'stream --once') writeFileSync(path.join(home, 'data/processing/b.csv'), eventFile(0, 3));
    await openTransaction(t, database, ...statements);
    const running = start(t, { cwd: home, env: database.env }, ...args);
    await assertReportedAndStopped(running, /waiting for a lock on /, 130);
    await until('all of its sessions are gone', async () => (await backends(database)) === 0);
  });
}
