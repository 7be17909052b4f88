import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { csv, migratedDatabase, project, run } from '../../cli/executable.js';

test('an error of our own in the middle of a batch ends the stream at once with exit code 1, and is not called an outage', async (t) => {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/a.csv'), csv(3));
  const startedAt = performance.now();
  const { exitCode, stderr } = await run(
    t,
    { cwd, env: { ...database.env, ECOMPIPE_FAILPOINT: 'copied:1=bug' } },
    'stream',
    '--once',
    '--retry-for',
    '5m',
  );
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /this is a bug in ecompipe, please report it: Error: fail-point copied/);
  assert.doesNotMatch(stderr, /trying again|when the database is back/);
  assert.ok(performance.now() - startedAt < 120_000, 'it did not wait for --retry-for');
  assert.deepEqual(await database.query('select from public.events'), []);
});
