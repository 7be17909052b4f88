import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { removeStaleTemporaries, temporaryPath } from '../../../src/platform/files/temporary.js';
import { temporaryDirectory } from './directories.js';

/** Our own temporary name with parts replaced, as another process would have made it. */
function leftBy(t: TestContext, change: (name: string) => string): { directory: string; file: string } {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, change(path.basename(temporaryPath(path.join(directory, 'a.csv')))));
  writeFileSync(file, '');
  return { directory, file };
}

const deadPid = spawnSync(process.execPath, ['--version']).pid;
const ownPart = new RegExp(String.raw`\.${process.pid}-([0-9a-f]{8})-`);

test('a temporary file of a dead process is removed', async (t) => {
  const { directory, file } = leftBy(t, (name) => name.replace(ownPart, `.${deadPid}-$1-`));
  assert.deepEqual(await removeStaleTemporaries(directory), [path.basename(file)]);
  assert.deepEqual(readdirSync(directory), []);
});

test('a temporary file of a living process stays, this one included', async (t) => {
  for (const pid of [process.pid, process.ppid]) {
    const { directory } = leftBy(t, (name) => name.replace(ownPart, `.${pid}-$1-`));
    assert.deepEqual(await removeStaleTemporaries(directory), []);
  }
});

test('a temporary file of an earlier process with our own pid is removed', async (t) => {
  const { directory } = leftBy(t, (name) => name.replace(ownPart, `.${process.pid}-00000000-`));
  assert.equal((await removeStaleTemporaries(directory)).length, 1);
});

test('a temporary file of another machine is removed only after a day', async (t) => {
  const { directory, file } = leftBy(t, (name) =>
    name.replace(/\.[A-Za-z0-9-]*(\.\d+-)/, '.elsewhere$1').replace(ownPart, `.${deadPid}-$1-`),
  );
  assert.deepEqual(await removeStaleTemporaries(directory), []);
  const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 3600;
  utimesSync(file, twoDaysAgo, twoDaysAgo);
  assert.equal((await removeStaleTemporaries(directory)).length, 1);
});

test('files that are not ours are never removed', async (t) => {
  const directory = temporaryDirectory(t);
  const names = [`.a.csv.${deadPid}.tmp`, `a.csv.host.${deadPid}-00000000-0.ecompipe-tmp`, '.a.ecompipe-tmp'];
  for (const name of names) writeFileSync(path.join(directory, name), '');
  assert.deepEqual(await removeStaleTemporaries(directory), []);
  assert.equal(readdirSync(directory).length, names.length);
});

test('nobody can foresee a temporary name from the one before', (t) => {
  const target = path.join(temporaryDirectory(t), 'a.csv');
  const ends = Array.from({ length: 100 }, () => /-([0-9a-f]+)\.ecompipe-tmp$/.exec(temporaryPath(target))?.[1] ?? '');
  assert.ok(ends.every((end) => end.length === 16));
  assert.equal(new Set(ends.map((end) => end.slice(0, 8))).size, 100);
});

test('a temporary name is hidden, new at every call, and fits however long the target is', (t) => {
  const target = path.join(temporaryDirectory(t), `${'日'.repeat(80)}.csv`);
  const [first, second] = [temporaryPath(target), temporaryPath(target)];
  assert.notEqual(first, second);
  assert.match(path.basename(first), /^\./);
  writeFileSync(first, '');
});
