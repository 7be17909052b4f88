import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { startProxy } from '../helpers/proxy.js';
import { until } from '../helpers/until.js';
import { csv, EXECUTABLE, migratedDatabase, project, run, start, type Running } from '../cli/executable.js';

/** The value of a series in the exposition format. */
function valueOf(text: string, series: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** Where it says, in its JSON log, that the metrics are; it must have said so. */
function portOf({ output }: Running): number {
  return Number(/"event":"metrics_served".*"port":(\d+)/.exec(output())?.[1]);
}

test('the metrics of a running pipeline are what its tables hold', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase(t);
  const running = start(
    t,
    { cwd: project(t), env: database.env },
    'run-all',
    '--interval',
    '0',
    '--events',
    '3000',
    '--batch-size',
    '100',
    '--dirt',
    'wrong-type=2%,unknown-column=0.1',
    '--metrics-port',
    '0',
    '--log-format',
    'json',
  );
  await running.said('generating_finished');
  const port = portOf(running);
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const done = 'select count(*)::int as files from ecompipe.files where state <> $1';
  await until(
    'all files are loaded',
    async () =>
      (await database.query<{ files: number }>(done, ['loading']))[0]!.files ===
      valueOf(await scrape(), 'ecompipe_generated_files_total{command="run-all"}'),
  );
  const [tables] = await database.query<
    Record<string, number>
  >(`select count(*)::int as inserted, (select count(*)::int from ecompipe.rejected_rows) as rejected, (select count(*)::int from ecompipe.batches) as batches,
    (select count(*)::int from ecompipe.files where state = 'loaded') as loaded, (select count(*)::int from ecompipe.files where state = 'quarantined') as quarantined from events`);
  const sample = (text: string): Record<string, number | undefined> => {
    const of = (name: string, label: string): number | undefined =>
      valueOf(text, `ecompipe_${name}{${label},command="run-all"}`);
    return {
      inserted: of('rows_total', 'outcome="inserted"'),
      rejected: of('rows_total', 'outcome="rejected"'),
      batches: of('batches_total', 'load_path="direct"')! + of('batches_total', 'load_path="staged"')!,
      loaded: of('files_total', 'outcome="loaded"'),
      quarantined: of('files_total', 'outcome="quarantined"'),
    };
  };
  // The counter follows the commit.
  await until(
    'the counters have caught up',
    async () => JSON.stringify(sample(await scrape())) === JSON.stringify(tables),
  );
  assert.ok(tables!['rejected']! > 0 && tables!['quarantined']! > 0);
  running.child.kill('SIGTERM');
  assert.equal((await running.end).exitCode, 0);
});

test('a run from cron leaves its metrics in a textfile, also when it failed', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/a.csv'), csv(3, 1));
  const textfile = path.join(cwd, 'stream.prom');
  const stream = async (extra: Record<string, string> = {}, ...args: string[]): Promise<[number | null, string]> => {
    const { exitCode } = await run(
      t,
      { cwd, env: { ...env, ...extra } },
      'stream',
      '--once',
      '--strict',
      '--metrics-textfile',
      textfile,
      ...args,
    );
    return [exitCode, readFileSync(textfile, 'utf8')];
  };
  const [strict, first] = await stream();
  assert.deepEqual(
    [
      strict,
      valueOf(first, 'ecompipe_last_run_exit_code{command="stream"}'),
      valueOf(first, 'ecompipe_rows_total{outcome="inserted",command="stream"}'),
    ],
    [3, 3, 3],
  );
  const [away, second] = await stream({ POSTGRES_PORT: '1' }, '--retry-for', '0.2');
  assert.deepEqual([away, valueOf(second, 'ecompipe_last_run_exit_code{command="stream"}')], [69, 69]);
  assert.ok(valueOf(second, 'ecompipe_database_retries_total{sqlstate_class="network",command="stream"}')! > 0);
  const { exitCode, stderr } = await run(
    t,
    { cwd, env },
    'stream',
    '--once',
    '--metrics-textfile',
    '/nonexistent/a.prom',
  );
  assert.equal(exitCode, 74);
  assert.match(stderr, /cannot write metrics into \/nonexistent/);
});

test('a port that is taken is told before anything is loaded', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const first = start(t, { cwd, env }, 'move', '--metrics-port', '0', '--log-format', 'json');
  await first.said('metrics_served');
  const port = portOf(first);
  const second = await run(t, { cwd, env }, 'stream', '--once', '--metrics-port', String(port));
  assert.equal(second.exitCode, 74);
  assert.match(second.stderr, /EADDRINUSE[^]*hint: another program listens there/);
});

test('hundreds of clients take no descriptors that the loader needs', async (t) => {
  const { env, query } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  const shell = path.join(cwd, 'limited.js');
  // Node raises the soft limit of open files to the hard one: both are low here.
  writeFileSync(
    shell,
    `const { spawn } = require('node:child_process');
     const child = spawn('sh', ['-c', 'ulimit -n 200; exec "$0" "$@"', process.execPath, ${JSON.stringify(EXECUTABLE)}, ...process.argv.slice(2)], { stdio: 'inherit' });
     process.on('SIGTERM', () => child.kill('SIGTERM'));
     child.on('exit', (code) => process.exit(code));`,
  );
  const running = start(t, { cwd, env, executable: shell }, 'stream', '--metrics-port', '0', '--log-format', 'json');
  await running.said('stream_started');
  const port = portOf(running);
  // They hold their connections for as long as they may: none of them says what it wants to the end.
  const clients = Array.from({ length: 400 }, async () => {
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.write('GET /healthz HTTP/1.1\r\nHost: local');
    await once(socket, 'connect');
    socket.on('error', () => undefined);
  });
  await Promise.all(clients);
  writeFileSync(path.join(cwd, 'data/processing/a.csv'), csv(3));
  await until(
    'the file is loaded',
    async () => (await query<{ count: number }>('select count(*)::int as count from events'))[0]!.count === 3,
  );
  running.child.kill('SIGTERM');
  assert.equal((await running.end).exitCode, 0);
});

test('the token for other machines comes from the environment or a file, and without one nothing is begun', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  writeFileSync(path.join(cwd, 'token'), 'from a file\n');
  const args = ['move', '--metrics-port', '0', '--metrics-host', '0.0.0.0', '--log-format', 'json'];
  const open = await run(t, { cwd, env }, ...args);
  assert.equal(open.exitCode, 2);
  assert.match(open.stderr, /--metrics-host 0\.0\.0\.0: other machines[^]*ECOMPIPE_METRICS_TOKEN/);
  const both = { ...env, ECOMPIPE_METRICS_TOKEN: 'x', ECOMPIPE_METRICS_TOKEN_FILE: 'token' };
  assert.equal((await run(t, { cwd, env: both }, ...args)).exitCode, 2);
  for (const [extra, token] of [
    [{ ECOMPIPE_METRICS_TOKEN: 'from the environment' }, 'from the environment'],
    [{ ECOMPIPE_METRICS_TOKEN_FILE: 'token' }, 'from a file'],
  ] as const) {
    const running = start(t, { cwd, env: { ...env, ...extra } }, ...args);
    await running.said('metrics_served');
    const url = `http://127.0.0.1:${portOf(running)}/metrics`;
    assert.equal((await fetch(url)).status, 401);
    assert.equal((await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status, 200);
    running.child.kill('SIGTERM');
    const { stderr } = await running.end;
    assert.ok(!stderr.includes(token), 'it is not logged');
  }
});

test(
  'an idle stream is not ready while its database is silent, and ready again afterwards',
  { timeout: 120_000 },
  async (t) => {
    const { env, port } = await migratedDatabase(t);
    const cwd = project(t);
    let isSilent = false;
    const proxy = await startProxy(port, () => (isSilent ? 'drop' : 'pass'));
    t.after(() => proxy.close());
    const running = start(
      t,
      { cwd, env: { ...env, POSTGRES_PORT: String(proxy.port) } },
      'stream',
      '--metrics-port',
      '0',
      '--log-format',
      'json',
    );
    await running.said('stream_started');
    const url = `http://127.0.0.1:${portOf(running)}`;
    const readiness = async (): Promise<number> => (await fetch(`${url}/readyz`)).status;
    assert.equal(await readiness(), 200);
    isSilent = true;
    await until('it is not ready', async () => (await readiness()) === 503, 30_000);
    assert.equal(valueOf(await (await fetch(`${url}/metrics`)).text(), 'ecompipe_database_up{command="stream"}'), 0);
    isSilent = false;
    // TCP loses no bytes: what got lost on the way would be sent again, or the connection that lost them is reset. Left as
    // it is, it would wait for an answer to a question that nobody has heard, while the server answers everybody else.
    proxy.cutAll();
    await until('it is ready again', async () => (await readiness()) === 200, 60_000);
    running.child.kill('SIGTERM');
    assert.equal((await running.end).exitCode, 0);
  },
);
