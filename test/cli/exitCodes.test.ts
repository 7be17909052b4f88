import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, openSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { csv, emptyDatabase, EXECUTABLE, migratedDatabase, project, run, start } from './executable.js';

/** A project whose processing/ holds one file. */
function withFile(t: TestContext, content: string): string {
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/a.csv'), content);
  return cwd;
}

test('0: what was asked for is done', async (t) => {
  const { exitCode, stdout } = await run(
    t,
    { cwd: project(t) },
    'generate',
    '--interval',
    '0',
    '--events',
    '5',
    '--json',
  );
  assert.deepEqual([exitCode, (JSON.parse(stdout) as { events: number }).events], [0, 5]);
});

test('1: a bug says that it is one, and with --log-level debug where', async (t) => {
  const root = path.dirname(path.dirname(EXECUTABLE));
  const copy = project(t, 'broken');
  for (const name of ['bin', 'dist', 'package.json'])
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
  writeFileSync(
    path.join(copy, 'dist/pipeline/generate/runGenerate.js'),
    "export function runGenerate() { throw new TypeError('planted'); }\n",
  );
  const { exitCode, stderr } = await run(
    t,
    { cwd: project(t), executable: path.join(copy, 'bin/ecompipe.js') },
    'generate',
    '--log-level',
    'debug',
  );
  assert.equal(exitCode, 1);
  assert.match(stderr, /bug in ecompipe, please report it: TypeError: planted\n[^]*TypeError: planted\n +at /);
});

test('2: wrong usage, with the likely right one', async (t) => {
  const cwd = project(t);
  const cases: [RegExp, ...string[]][] = [
    [/unknown command 'genrate'\n\(Did you mean generate\?\)/, 'genrate'],
    [/unknown option '--evnts'\n\(Did you mean --events\?\)/, 'generate', '--evnts', '3'],
    [/unknown command 'nosuch'/, 'help', 'nosuch'],
    [/too many arguments/, 'generate', 'extra'],
    [/--events was given twice/, 'generate', '--events', '1', '--events', '2'],
    [/--max-backlog 3: with --after-load keep/, 'run-all', '--max-backlog', '3', '--after-load', 'keep'],
    [/leave one of the three out/, 'run-all', '--rate', '3', '--batch-size', '2', '--interval', '7'],
    [/^Usage: ecompipe/],
  ];
  const ended = await Promise.all(cases.map(([, ...args]) => run(t, { cwd }, ...args)));
  ended.forEach(({ exitCode, stdout, stderr }, index) => {
    assert.deepEqual([exitCode, stdout], [2, ''], stderr);
    assert.match(stderr, cases[index]![0]);
  });
  assert.deepEqual(readdirSync(cwd), [], 'nothing was created for what cannot run');
});

test('2: a database that does not exist, or has no schema yet', async (t) => {
  const cwd = project(t);
  const { env } = await emptyDatabase(t);
  const [missing, bare] = await Promise.all([
    run(t, { cwd, env: { ...env, POSTGRES_DB: 'nope' } }, 'migrate'),
    run(t, { cwd, env }, 'stream', '--once'),
  ]);
  assert.equal(missing.exitCode, 2);
  assert.match(missing.stderr, /database "nope" does not exist \(SQLSTATE 3D000\)\n +hint: .*createdb/);
  assert.equal(bare.exitCode, 2);
  assert.match(bare.stderr, /hint: run `ecompipe migrate` first/);
});

test('2: TLS required of a server without it, told at once', async (t) => {
  const { env } = await emptyDatabase(t);
  const { exitCode, stderr } = await run(
    t,
    { cwd: project(t), env: { ...env, POSTGRES_SSLMODE: 'require' } },
    'migrate',
  );
  assert.equal(exitCode, 2);
  assert.match(stderr, /does not offer TLS, and sslmode require asks for it\n +hint: .*POSTGRES_SSLMODE=prefer/);
  assert.doesNotMatch(stderr, /trying again/);
});

test('3: rows were rejected under --strict; the good ones are loaded', async (t) => {
  const database = await migratedDatabase(t);
  const { exitCode, stderr } = await run(
    t,
    { cwd: withFile(t, csv(2, 1)), env: database.env },
    'stream',
    '--once',
    '--strict',
  );
  assert.equal(exitCode, 3, stderr);
  assert.deepEqual(
    await database.query(
      'select (select count(*)::int from events) as events, (select count(*)::int from ecompipe.rejected_rows) as rejected',
    ),
    [{ events: 2, rejected: 1 }],
  );
});

test('4: more rejected rows than allowed', async (t) => {
  const database = await migratedDatabase(t);
  const { exitCode, stderr } = await run(
    t,
    { cwd: withFile(t, csv(2, 1)), env: database.env },
    'stream',
    '--once',
    '--max-rejected',
    '10%',
    '--atomic-file',
  );
  assert.equal(exitCode, 4, stderr);
  assert.match(stderr, /a\.csv/);
  assert.deepEqual(await database.query('select count(*)::int as events from events'), [{ events: 0 }]);
});

test('5: a second run-all in the same directory, which generates nothing', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const first = start(t, { cwd, env }, 'run-all', '--interval', '60', '--history', 'none');
  await first.said('generating');
  const second = await run(t, { cwd, env }, 'run-all', '--interval', '0', '--output-dir', 'other');
  assert.equal(second.exitCode, 5);
  assert.match(
    second.stderr,
    /another stream or run-all with the checkpoint directory checkpoints is running\n +this one generated and loaded nothing\n +hint: /,
  );
  assert.deepEqual(readdirSync(path.join(cwd, 'other')), []);
  first.child.kill('SIGINT');
  assert.equal((await first.end).exitCode, 0);
});

test('6: a checkpoint of another database', async (t) => {
  const [first, second] = [await migratedDatabase(t), await migratedDatabase(t)];
  const cwd = withFile(t, csv(2));
  assert.equal((await run(t, { cwd, env: first.env }, 'stream', '--once')).exitCode, 0);
  const { exitCode, stderr } = await run(t, { cwd, env: second.env }, 'stream', '--once');
  assert.equal(exitCode, 6);
  assert.match(stderr, /checkpoint[\s\S]*hint: /);
});

test('7: verify misses a row', async (t) => {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  assert.equal(
    (await run(t, { cwd, env: database.env }, 'run-all', '--interval', '0', '--events', '50', '--until-drained'))
      .exitCode,
    0,
  );
  await database.query('delete from events where event_id = (select min(event_id::text)::uuid from events)');
  const { exitCode, stdout } = await run(t, { cwd, env: database.env }, 'verify');
  assert.deepEqual([exitCode, /lost 1\b/.test(stdout)], [7, true], stdout);
});

test('69: no server, after the retries; the first line already says what to do', async (t) => {
  const env = { POSTGRES_HOST: '127.0.0.1', POSTGRES_PORT: '1' };
  const { exitCode, stderr } = await run(t, { cwd: project(t), env }, 'migrate', '--retry-for', '0.2');
  assert.equal(exitCode, 69);
  assert.match(
    stderr.split('\n').slice(0, 2).join('\n'),
    /ECONNREFUSED.*trying again for up to 1 s \(--retry-for\)\n +hint: check POSTGRES_HOST/,
  );
  assert.match(stderr, /error cannot migrate .*127\.0\.0\.1:1.*\n.*nothing is lost/);
});

test('74: a file to be read that is not there, which nobody is told to create', async (t) => {
  const cwd = project(t);
  for (const args of [
    ['feeds', 'init', 'nope.csv'],
    ['feeds', 'check', 'nope.csv'],
    ['db', 'restore', 'nope.gz'],
    ['rejects', 'replay', 'nope.csv'],
  ]) {
    const { exitCode, stderr } = await run(t, { cwd }, ...args);
    assert.equal(exitCode, 74);
    assert.match(stderr, /cannot read nope\.\w+: ENOENT.*\n +hint: name one that exists\n/);
    // Nothing is made for it.
    assert.ok(!existsSync(path.join(cwd, '.ecompipe')));
  }
});

test('74: a path of containers in .env is named as what it is', async (t) => {
  const cwd = project(t);
  writeFileSync(path.join(cwd, '.env'), 'PROCESSING_PATH=/no-such-volume/processing\n');
  const { exitCode, stderr } = await run(t, { cwd }, 'stream', '--once');
  assert.equal(exitCode, 74);
  assert.match(
    stderr,
    /there is no \/no-such-volume on this machine\n +hint: if PROCESSING_PATH in \.env is a path inside containers/,
  );
});

test('74: a directory that was named and is not there; the default ones are made', async (t) => {
  const cwd = project(t);
  const [move, stream, defaults] = await Promise.all([
    run(t, { cwd }, 'move', '--once', '--from', 'nope'),
    run(t, { cwd }, 'stream', '--once', '--input-dir', 'nope'),
    run(t, { cwd }, 'move', '--once'),
  ]);
  for (const { exitCode, stderr } of [move, stream]) {
    assert.equal(exitCode, 74);
    assert.match(stderr, /nope: ENOENT.*\n +hint: create it, or name another one/);
  }
  assert.equal(defaults.exitCode, 0, defaults.stderr);
  assert.ok(existsSync(path.join(cwd, 'data/incoming')));
  assert.ok(!existsSync(path.join(cwd, '.ecompipe')), 'no database is created for a directory that is not there');
});

test('74: the result cannot be written because the disk is full', async (t) => {
  const { exitCode, stderr } = await run(
    t,
    { cwd: project(t), stdout: openSync('/dev/full', 'w') },
    'generate',
    '--interval',
    '0',
    '--events',
    '1',
  );
  assert.equal(exitCode, 74);
  assert.match(stderr, /cannot write the result: ENOSPC/);
});

test('74: the output directory is full', async (t) => {
  const cwd = project(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'ecompipe-test', cwd], { stdio: 'ignore' });
  } catch {
    t.skip('mounting a small file system takes rights');
    return;
  }
  const { exitCode, stderr } = await run(t, { cwd }, 'generate', '--interval', '0', '--batch-size', '500').finally(() =>
    execFileSync('umount', ['-l', cwd]),
  );
  assert.equal(exitCode, 74);
  assert.match(stderr, /cannot write data\/incoming\/events-.*ENOSPC.*\n +hint: free some space/);
});

test('77: a wrong password, and a missing one, at once', async (t) => {
  const { env } = await emptyDatabase(t);
  const cwd = project(t);
  const [wrong, missing] = await Promise.all([
    run(t, { cwd, env: { ...env, POSTGRES_PASSWORD: 'wrong' } }, 'migrate'),
    run(t, { cwd, env: { ...env, POSTGRES_PASSWORD: '' } }, 'migrate'),
  ]);
  assert.equal(wrong.exitCode, 77);
  assert.match(wrong.stderr, /SQLSTATE 28P01\)\n +hint: check POSTGRES_USER and POSTGRES_PASSWORD/);
  assert.equal(missing.exitCode, 77);
  assert.match(missing.stderr, /none is configured\n +hint: set POSTGRES_PASSWORD/);
  for (const { stderr } of [wrong, missing]) assert.doesNotMatch(stderr, /trying again/);
});
