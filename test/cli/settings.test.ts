import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { project, run } from './executable.js';

/** How many events one file of a run holds says which setting won. */
async function batchSize(
  t: Parameters<typeof run>[0],
  cwd: string,
  env: Record<string, string>,
  ...flags: string[]
): Promise<number> {
  const { stdout, stderr } = await run(
    t,
    { cwd, env },
    'generate',
    '--interval',
    '0',
    '--batches',
    '1',
    '--json',
    ...flags,
  );
  assert.notEqual(stdout, '', stderr);
  return (JSON.parse(stdout) as { events: number }).events;
}

test('a flag wins over the environment, that over .env, that over the default', async (t) => {
  const cwd = project(t);
  assert.equal(await batchSize(t, cwd, {}), 10);
  writeFileSync(path.join(cwd, '.env'), 'ECOMPIPE_BATCH_SIZE=11\n');
  writeFileSync(path.join(cwd, 'other.env'), 'ECOMPIPE_BATCH_SIZE=14\n');
  const env = { ECOMPIPE_BATCH_SIZE: '12' };
  assert.deepEqual(
    await Promise.all([
      batchSize(t, cwd, {}),
      batchSize(t, cwd, { ECOMPIPE_BATCH_SIZE: '' }),
      batchSize(t, cwd, env),
      batchSize(t, cwd, env, '--batch-size', '13'),
      batchSize(t, cwd, {}, '--env-file', 'other.env'),
    ]),
    [11, 11, 12, 13, 14],
  );
});

test('all problems are reported together: flags, environment, .env and unknown names', async (t) => {
  const cwd = project(t);
  writeFileSync(path.join(cwd, '.env'), 'ECOMPIPE_SEED=x\nECOMPIPE_BATCHSIZE=3\n');
  const { exitCode, stderr } = await run(
    t,
    { cwd, env: { ECOMPIPE_EVENTS: '-1', ECOMPIPE_NOPE: '1' } },
    'generate',
    '--interval',
    'soon',
  );
  assert.equal(exitCode, 2);
  assert.match(stderr, /^error: 5 problems:\n/);
  for (const part of [
    '--interval "soon": expected a number',
    'ECOMPIPE_EVENTS "-1": expected a whole number',
    'ECOMPIPE_SEED "x"',
    'ECOMPIPE_BATCHSIZE: no such setting (did you mean ECOMPIPE_BATCH_SIZE?)',
    'ECOMPIPE_NOPE: no such setting',
  ]) {
    assert.ok(stderr.includes(`\n  - ${part}`), `${part} in ${stderr}`);
  }
});

test('a wrong setting is a JSON line where JSON was asked for', async (t) => {
  const { exitCode, stderr } = await run(
    t,
    { cwd: project(t), env: { ECOMPIPE_LOG_FORMAT: 'json' } },
    'generate',
    '--seed',
    'x',
  );
  assert.equal(exitCode, 2);
  const line = JSON.parse(stderr) as Record<string, unknown>;
  assert.deepEqual([line['level'], line['event'], line['exitCode']], ['error', 'failed', 2]);
  assert.match(String(line['message']), /--seed "x"/);
});

test('an env file that was asked for and is not there is an error', async (t) => {
  const cwd = project(t);
  // Node reads this flag too, also behind the name of a script, and gives up with 9 before we run, unless `--` comes first.
  const { exitCode, stderr } = await run(
    t,
    { cwd, executable: '--' },
    path.resolve(import.meta.dirname, '../../bin/ecompipe.js'),
    'generate',
    '--env-file',
    'nope.env',
  );
  assert.equal(exitCode, 2);
  assert.match(stderr, /cannot read the env file nope\.env: ENOENT/);
});

test('libpq variables name the database too, and a bad one is told', async (t) => {
  const cwd = project(t);
  const [away, bad] = await Promise.all([
    run(t, { cwd, env: { PGHOST: '127.0.0.1', PGPORT: '1' } }, 'migrate', '--retry-for', '0'),
    run(t, { cwd, env: { PGHOST: '127.0.0.1', PGPORT: 'x' } }, 'migrate'),
  ]);
  assert.equal(away.exitCode, 69);
  assert.match(away.stderr, /127\.0\.0\.1:1\/.*\n +not tried again; nothing is lost/);
  assert.equal(bad.exitCode, 2);
  assert.match(bad.stderr, /PGPORT "x"/);
});
