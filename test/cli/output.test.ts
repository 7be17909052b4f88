import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { commands } from '../../src/commands/index.js';
import { csv, emptyDatabase, migratedDatabase, project, run } from './executable.js';

const ANSI = /\u001b/;

test('stdout is the result and nothing else, stderr without a terminal has no ANSI codes', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t, 'with a space');
  const verbose = ['--log-level', 'debug', '--json'];
  const runAll = await run(
    t,
    { cwd, env },
    'run-all',
    '--interval',
    '0',
    '--events',
    '20',
    '--until-drained',
    ...verbose,
  );
  const others = await Promise.all([
    run(t, { cwd, env }, 'generate', '--interval', '0', '--batches', '1', ...verbose),
    run(t, { cwd, env }, 'migrate', ...verbose),
    run(t, { cwd, env }, 'stream', '--once', ...verbose),
    run(t, { cwd, env }, 'verify', '--allow-pending', ...verbose),
  ]);
  for (const { exitCode, stdout, stderr } of [runAll, ...others]) {
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^\{.*\}\n$/);
    JSON.parse(stdout);
    assert.doesNotMatch(stdout + stderr, ANSI);
  }
  const { generated, loaded } = JSON.parse(runAll.stdout) as { generated: { rows: number }; loaded: { rows: number } };
  assert.equal(generated.rows, loaded.rows);
});

test('every line of a JSON log is JSON', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/bad.csv'), csv(1, 1));
  const { stderr } = await run(
    t,
    { cwd, env },
    'stream',
    '--once',
    '--strict',
    '--log-format',
    'json',
    '--log-level',
    'debug',
  );
  const events = stderr
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { event: string }).event);
  assert.ok(events.includes('rows_rejected'), stderr);
});

test('--quiet leaves warnings on stderr, and prints nothing of what went well', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  const nothing = await run(t, { cwd, env }, 'stream', '--once', '-q');
  assert.deepEqual([nothing.stderr, nothing.stdout], ['', '']);
  writeFileSync(path.join(cwd, 'data/processing/bad.csv'), csv(1, 1));
  const warned = await run(t, { cwd, env }, 'stream', '--once', '-q');
  assert.match(warned.stderr, /^\S+ warn +bad\.csv: 1 row rejected/);
  assert.equal(warned.stdout, '');
});

test('every result says how much, how long and how fast; nothing loaded says what to do', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const step = async (...args: string[]): Promise<string> => (await run(t, { cwd, env }, ...args)).stdout;
  const pace = 'in [\\d.]+ (?:ms|s) \\([\\d,]+ rows/s\\)\\n';
  assert.match(
    await step('generate', '--interval', '0', '--events', '2000', '--batch-size', '1000', '--seed', '1'),
    new RegExp(`^generated 2,000 events \\(2,000 rows\\) in 2 files ${pace}`),
  );
  assert.match(
    await step('stream', '--once'),
    /^loaded 0 rows from 0 files in .*\n {2}2 files wait in data\/incoming: `ecompipe move --once` brings them here\n$/,
  );
  assert.match(await step('move', '--once'), /^moved 2 files \([\d.]+ kB\) in [\d.]+ m?s\n$/);
  assert.match(await step('stream', '--once'), new RegExp(`^loaded 2,000 rows from 2 files ${pace}$`));
});

test('the same smoke test a second time says why nothing was loaded', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const smoke = ['run-all', '--events', '20', '--batch-size', '10', '--interval', '0', '--seed', '1'];
  const again = [...smoke, '--start', '2026-11-01', '--until-drained'];
  assert.equal((await run(t, { cwd, env }, ...again)).exitCode, 0);
  const { stdout } = await run(t, { cwd, env }, ...again);
  assert.match(
    stdout,
    /^generated 20 rows in 2 files .*\nloaded 0 rows from 0 files in .*\n {2}20 rows in 2 files whose content was loaded before: not loaded again\n/,
  );
});

test('file names cannot move the cursor of whoever reads the log', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/a\u001b[2J.csv'), 'no,header\n');
  const { stderr } = await run(t, { cwd, env }, 'stream', '--once');
  assert.match(stderr, /a\\u001b\[2J\.csv can't be read/);
  assert.doesNotMatch(stderr, ANSI);
});

test('the help of every command shows what it is for, its flags and examples', async (t) => {
  const cwd = project(t);
  const helps = await Promise.all(commands.map(({ name }) => run(t, { cwd }, name, '--help')));
  helps.forEach(({ exitCode, stdout }, index) => {
    const { name, summary } = commands[index]!;
    assert.equal(exitCode, 0);
    // Help is wrapped to the width of a terminal.
    assert.ok(stdout.replace(/\s+/g, ' ').includes(summary), name);
    assert.match(stdout, /--json[\s\S]*\nExamples:\n {2}[$#] /);
  });
});

test('a password is in no output of any failing command', async (t) => {
  const planted = 'pl4nted%Secret';
  const { host, port, database, user } = await emptyDatabase(t);
  const target = {
    POSTGRES_HOST: host,
    POSTGRES_PORT: String(port),
    POSTGRES_DB: database,
    POSTGRES_USER: user,
    POSTGRES_PASSWORD: planted,
  };
  const url = (rest: string, password = encodeURIComponent(planted)): Record<string, string> => ({
    DATABASE_URL: `postgresql://${user}:${password}@${rest}`,
  });
  const cases: [env: Record<string, string>, ...args: string[]][] = [
    [target, 'migrate'],
    [target, 'stream', '--once', '--json'],
    [target, 'run-all', '--events', '5', '--until-drained', '--log-format', 'json'],
    [target, 'verify'],
    [{ ...target, POSTGRES_SSLMODE: 'require' }, 'migrate'],
    [{ ...target, POSTGRES_PORT: '1' }, 'migrate', '--retry-for', '0.1'],
    [{ ...target, POSTGRES_PORT: 'x' }, 'migrate'],
    [url(`${host}:${port}/${database}`), 'migrate'],
    [url(`${host}:1/x`), 'stream', '--once', '--retry-for', '0.1'],
    [url(`${host}:99999/x`), 'migrate', '--retry-for', '0'],
    [url(`[nonsense/x`), 'migrate'],
    [url(`${host}:${port}/${database}?sslmode=bogus`), 'migrate'],
    [url(`${host}:1/x`, planted), 'migrate', '--retry-for', '0'],
    [{ DATABASE_URL: `mysql://u:${planted}@h/x` }, 'migrate'],
    [{ DATABASE_URL: planted }, 'run-all'],
    [{ ...target, ECOMPIPE_NOPE: '1' }, 'migrate', '--help'],
    [{ ...target, ECOMPIPE_NOPE: '1' }, 'migrate'],
  ];
  const cwd = project(t);
  const ended = await Promise.all(
    cases.map(([env, ...args]) =>
      run(t, { cwd, env }, ...args, ...(args.includes('--help') ? [] : ['--log-level', 'debug'])),
    ),
  );
  ended.forEach(({ exitCode, stdout, stderr }, index) => {
    const said = stdout + stderr;
    assert.ok(
      [planted, encodeURIComponent(planted), 'Secret'].every((secret) => !said.includes(secret)),
      `${JSON.stringify(cases[index])}: ${said}`,
    );
    assert.ok(
      exitCode !== 1 && exitCode !== null && (exitCode !== 0 || cases[index]!.includes('--help')),
      `${JSON.stringify(cases[index])} ended with ${exitCode}: ${said}`,
    );
  });
});
