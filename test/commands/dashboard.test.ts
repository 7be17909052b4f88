import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { embeddedProject } from '../helpers/embeddedProject.js';
import { until } from '../helpers/until.js';
import { migratedDatabase, project, run, start, type Running } from '../cli/executable.js';

function urlOf({ output }: Running): string {
  return /"event":"dashboard_served".*"url":"([^"]+)"/.exec(output())?.[1] ?? '';
}

test('dashboard serves the page on loopback until it is told to stop', async (t) => {
  const { env } = await migratedDatabase(t);
  const running = start(t, { cwd: project(t), env }, 'dashboard', '--port', '0', '--log-format', 'json', '--json');
  await running.said('dashboard_served');
  const url = urlOf(running);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  assert.match(await (await fetch(url)).text(), /<title>ecompipe<\/title>/);
  running.child.kill('SIGINT');
  const { exitCode, stdout } = await running.end;
  assert.deepEqual([exitCode, JSON.parse(stdout)], [0, { url }]);
});

test('dashboard serves metrics and its health beside the page, for Prometheus and for containers', async (t) => {
  const { env } = await migratedDatabase(t);
  const running = start(
    t,
    { cwd: project(t), env },
    ...['dashboard', '--port', '0', '--metrics-port', '0', '--log-format', 'json'],
  );
  await running.said('dashboard_served');
  const port = /"event":"metrics_served".*"port":(\d+)/.exec(running.output())?.[1] ?? '';
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  assert.match(metrics, /^ecompipe_backlog_files\{.*directory="processing".*\} 0$/m);
  assert.match(metrics, /command="dashboard"/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
  running.child.kill('SIGTERM');
  assert.equal((await running.end).exitCode, 0);
});

test('on an address that other machines reach it wants a password, before a database is begun', async (t) => {
  const cwd = project(t);
  for (const args of [
    ['dashboard', '--port', '0', '--host', '0.0.0.0'],
    ['run-all', '--dashboard', '0', '--dashboard-host', '0.0.0.0'],
  ]) {
    const { exitCode, stderr } = await run(t, { cwd }, ...args);
    assert.equal(exitCode, 2, stderr);
    assert.match(stderr, /other machines could read[^]*hint: set ECOMPIPE_DASHBOARD_PASSWORD/);
  }
  assert.deepEqual(readdirSync(cwd), []);
  const { env } = await migratedDatabase(t);
  writeFileSync(path.join(cwd, 'password'), 'open sesame\n');
  const running = start(
    t,
    { cwd, env },
    'dashboard',
    '--port',
    '0',
    '--host',
    '0.0.0.0',
    '--password-file',
    'password',
    '--log-format',
    'json',
  );
  await running.said('dashboard_served');
  const authorization = `Basic ${Buffer.from(':open sesame').toString('base64')}`;
  assert.equal((await fetch(urlOf(running))).status, 401);
  assert.equal((await fetch(urlOf(running), { headers: { authorization } })).status, 200);
});

test('run-all --dashboard shows its own pipeline, with the speed of each stage', { timeout: 120_000 }, async (t) => {
  const { env } = await migratedDatabase(t);
  const running = start(
    t,
    { cwd: project(t), env },
    'run-all',
    '--rate',
    '500',
    '--interval',
    '0.1',
    '--dashboard',
    '0',
    '--log-format',
    'json',
  );
  await running.said('dashboard_served');
  const snapshot = async () =>
    (await fetch(`${urlOf(running)}api/snapshot`)).json() as Promise<{
      stages: { stage: string; rowsPerSecond: number | null; filesPerSecond: number | null }[];
    }>;
  await until(
    'all stages work',
    async () => (await snapshot()).stages.every(({ filesPerSecond }) => filesPerSecond !== null && filesPerSecond > 0),
    30_000,
  );
  running.child.kill('SIGINT');
  assert.equal((await running.end).exitCode, 0);
});

test('a port that means nothing, and one that is taken, are told before anything is generated', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  assert.equal((await run(t, { cwd, env }, 'run-all', '--dashboard', 'x')).exitCode, 2);
  const first = start(t, { cwd, env }, 'dashboard', '--port', '0', '--log-format', 'json');
  await first.said('dashboard_served');
  const second = await run(
    t,
    { cwd, env },
    'run-all',
    '--events',
    '10',
    '--until-drained',
    '--dashboard',
    new URL(urlOf(first)).port,
  );
  assert.equal(second.exitCode, 74);
  assert.match(second.stderr, /hint: another program listens there: choose another port with --dashboard, or 0/);
  const third = await run(t, { cwd, env }, 'dashboard', '--port', new URL(urlOf(first)).port);
  assert.equal(third.exitCode, 74);
  assert.match(third.stderr, /choose another port with --port, or 0/);
});

test(
  'a wrong password ends it with 77, at once or when it becomes wrong, and the page has the reason',
  { timeout: 120_000 },
  async (t) => {
    const database = await migratedDatabase(t);
    const cwd = project(t);
    const wrong = await run(
      t,
      { cwd, env: { ...database.env, POSTGRES_PASSWORD: 'wrong' } },
      'dashboard',
      '--port',
      '0',
    );
    assert.equal(wrong.exitCode, 77, wrong.stderr);
    assert.match(wrong.stderr, /password authentication failed/);

    const role = `guest_${database.database}`;
    await database.query(`create role ${role} login password 'right'`);
    await database.query(`grant usage on schema ecompipe, analytics to ${role}`);
    await database.query(`grant select on all tables in schema ecompipe, analytics, public to ${role}`);
    const env = { ...database.env, POSTGRES_USER: role, POSTGRES_PASSWORD: 'right' };
    const running = start(t, { cwd, env }, 'dashboard', '--port', '0', '--log-format', 'json');
    await running.said('dashboard_served');
    const page = await fetch(`${urlOf(running)}api/events`);
    let received = '';
    const receiving = readAll(page, (text) => (received += text));
    // It has a connection, and was told so.
    await until('the first snapshot is there', () => Promise.resolve(received.includes('"problem":null')));
    await database.query(`alter role ${role} password 'changed'`);
    await database.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);
    assert.equal((await running.end).exitCode, 77);
    await receiving;
    assert.match(received, /"kind":"final"[^\n]*password authentication failed/);
  },
);

test(
  '--retry-for ends it when the database is away so long; without it the page waits',
  { timeout: 120_000 },
  async (t) => {
    const cwd = project(t);
    const env = { POSTGRES_HOST: '127.0.0.1', POSTGRES_PORT: '1', POSTGRES_DB: 'none', POSTGRES_PASSWORD: 'none' };
    const given = await run(t, { cwd, env }, 'dashboard', '--port', '0', '--retry-for', '1s');
    assert.equal(given.exitCode, 69);
    assert.match(given.stderr, /gave up after \d s of retries/);
    const waiting = start(t, { cwd, env }, 'dashboard', '--port', '0', '--log-format', 'json');
    await waiting.said('dashboard_served');
    const snapshot = await fetch(`${urlOf(waiting)}api/snapshot`);
    assert.equal(
      ((await snapshot.json()) as { database: { problem: { kind: string } } }).database.problem.kind,
      'away',
    );
    waiting.child.kill('SIGINT');
    assert.equal((await waiting.end).exitCode, 0);
  },
);

test(
  'in a fresh directory it makes the embedded database with its tables, and waits for the first file',
  { timeout: 120_000 },
  async (t) => {
    const embedded = await embeddedProject(t);
    const env = { ECOMPIPE_EMBEDDED_DIR: embedded };
    const running = start(t, { cwd: project(t), env }, 'dashboard', '--port', '0', '--log-format', 'json');
    await running.said('dashboard_served');
    const snapshot = (await (await fetch(`${urlOf(running)}api/snapshot`)).json()) as {
      database: { problem: unknown };
      batches: unknown[];
    };
    assert.deepEqual([snapshot.database.problem, snapshot.batches], [null, []]);
    running.child.kill('SIGINT');
    assert.equal((await running.end).exitCode, 0);
  },
);

/** Until the server ends it, however. */
async function readAll(response: Response, onText: (text: string) => void): Promise<void> {
  try {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) onText(chunk);
  } catch {
    // The server is gone.
  }
}
