import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { csv, migratedDatabase, project, run, start } from '../cli/executable.js';

test('status exits 0 and shows one screen, 7 with --check when a limit does not hold, 69 when the database is away', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/a.csv'), csv(3, 1));
  const loaded = await run(t, { cwd, env }, 'stream', '--once');
  assert.equal(loaded.exitCode, 0, loaded.stderr);
  const plain = await run(t, { cwd, env }, 'status');
  assert.equal(plain.exitCode, 0, plain.stderr);
  assert.match(plain.stdout, /loaded +3 rows from 1 file\n/);
  assert.equal((await run(t, { cwd, env }, 'status', '--check', '--max-pending', '0')).exitCode, 0);
  const failed = await run(t, { cwd, env }, 'status', '--check', '--max-reject-rate', '20%', '--json');
  assert.equal(failed.exitCode, 7);
  assert.deepEqual(
    (JSON.parse(failed.stdout) as { check: { violations: { limit: string }[] } }).check.violations.map(
      ({ limit }) => limit,
    ),
    ['maxRejectShare'],
  );
  writeFileSync(path.join(cwd, 'data/processing/b.csv'), 'x');
  const away = await run(t, { cwd, env: { ...env, POSTGRES_PORT: '1' } }, 'status', '--check');
  assert.equal(away.exitCode, 69);
  assert.match(away.stdout, /processing +1 file, 1 B/);
});

test('status in an empty directory creates nothing', async (t) => {
  const cwd = project(t);
  const { exitCode, stdout } = await run(t, { cwd }, 'status');
  assert.equal(exitCode, 69);
  assert.match(stdout, /there is no database yet/);
  assert.ok(!existsSync(path.join(cwd, '.ecompipe')) && !existsSync(path.join(cwd, 'data')));
});

test('status --watch goes on until a signal; with --json each look is a line', async (t) => {
  const { env } = await migratedDatabase(t);
  const { child, end } = start(t, { cwd: project(t), env }, 'status', '--watch', '--every', '10ms', '--json');
  await new Promise<void>((resolve) => {
    let lines = 0;
    child.stdout!.on('data', (text: string) => {
      lines += text.split('\n').filter(Boolean).length;
      if (lines >= 3) resolve();
    });
  });
  child.kill('SIGTERM');
  const { exitCode, stdout } = await end;
  assert.equal(exitCode, 0);
  for (const line of stdout.trim().split('\n').filter(Boolean)) assert.ok(JSON.parse(line));
});
