import assert from 'node:assert/strict';
import { chmodSync, chownSync, readdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { createRunId, generatedFileName } from '../../../src/contract/fileNames.js';
import { FilesNotMovedError } from '../../../src/pipeline/move/runMove.js';
import { contents, directoryElsewhere, noSecondFileSystem } from '../../platform/files/directories.js';
import { spawnEcompipe } from '../../helpers/executable.js';
import { mount, noMount, withFileSystem } from '../../helpers/fileSystems.js';
import { spawnMove } from './executable.js';
import { moveOnce, moveSettings, put, startMover } from './harness.js';

const UNPRIVILEGED = 65_534;
const noRoot = process.getuid?.() === 0 ? false : 'needs root';

/** This process acts as an unprivileged user until the test ends. */
function withoutPrivileges(t: TestContext, ...owned: readonly string[]): void {
  for (const file of owned) chownSync(file, UNPRIVILEGED, UNPRIVILEGED);
  process.seteuid!(UNPRIVILEGED);
  t.after(() => process.seteuid!(0));
}

test('a file whose name is not UTF-8 is named in the error and does not hold up the others', async (t) => {
  const settings = moveSettings(t);
  put(settings.from, { 'a.csv': 'x' });
  writeFileSync(Buffer.concat([Buffer.from(`${settings.from}/caf`), Buffer.from([0xe9]), Buffer.from('.csv')]), 'x');
  await assert.rejects(moveOnce(t, settings), (error) => {
    assert.ok(error instanceof FilesNotMovedError);
    assert.equal(error.exitCode, 74);
    assert.match(error.message, /caf\uFFFD\.csv.*not valid UTF-8/);
    assert.equal(error.result.filesMoved, 1);
    return true;
  });
  assert.deepEqual(readdirSync(settings.to), ['a.csv']);
});

test(
  'an unreadable file does not hold up the others, and is moved once it can be read',
  { skip: noRoot || noSecondFileSystem },
  async (t) => {
    const settings = moveSettings(t, { to: directoryElsewhere(t) });
    const bad = path.join(settings.from, 'bad.csv');
    put(settings.from, { 'bad.csv': 'x', 'good.csv': 'y' });
    chmodSync(bad, 0);
    withoutPrivileges(t, path.dirname(settings.from), settings.from, settings.to, bad);
    const mover = startMover(t, settings);
    const { error, attempt, retryInMs } = await mover.event('fileFailed');
    assert.deepEqual([error.exitCode, attempt, retryInMs], [77, 1, 1000]);
    assert.equal((await mover.event('fileMoved')).name, 'good.csv');
    chmodSync(bad, 0o600);
    const since = mover.events.findIndex(({ type }) => type === 'fileMoved') + 1;
    assert.equal((await mover.event('fileMoved', since)).name, 'bad.csv');
  },
);

test(
  'a drain that lacks permissions exits 77 and tells which file',
  { skip: noRoot || noSecondFileSystem },
  async (t) => {
    const settings = moveSettings(t, { to: directoryElsewhere(t) });
    put(settings.from, { 'bad.csv': 'x' });
    chmodSync(path.join(settings.from, 'bad.csv'), 0);
    withoutPrivileges(t, path.dirname(settings.from), settings.from, settings.to);
    await assert.rejects(moveOnce(t, settings), { exitCode: 77, message: /bad\.csv/ });
  },
);

test('a source directory that may not be written to is refused at the start with 77', { skip: noMount }, async (t) => {
  const settings = moveSettings(t);
  await withFileSystem(settings.from, 'ro', async () => {
    await assert.rejects(moveOnce(t, settings), { exitCode: 77, errno: 'EROFS' });
  });
});

test('a full target keeps the source, leaves no temporary, and is tried again', { skip: noMount }, async (t) => {
  const settings = moveSettings(t);
  await withFileSystem(settings.to, 'size=1m', async () => {
    put(settings.from, { 'big.csv': 'x'.repeat(3_000_000) });
    const mover = startMover(t, settings);
    const { error } = await mover.event('fileFailed');
    assert.deepEqual([error.exitCode, error.facts.hint?.includes('free some space')], [74, true]);
    assert.deepEqual([readdirSync(settings.from), readdirSync(settings.to)], [['big.csv'], []]);
    assert.ok(mount(settings.to, 'remount,size=16m'));
    assert.equal((await mover.event('fileMoved')).bytes, 3_000_000);
    await mover.stop();
    assert.deepEqual([readdirSync(settings.from), readdirSync(settings.to)], [[], ['big.csv']]);
  });
});

test(
  'a mover killed in the middle of a copy leaves the source, and the next one cleans up',
  { skip: noSecondFileSystem },
  async (t) => {
    const settings = moveSettings(t, { to: directoryElsewhere(t) });
    put(settings.from, { 'big.csv': 'x'.repeat(5_000_000) });
    const { signal, stderr } = await spawnEcompipe(
      t,
      ['move', '--once', '--settle', '0', '--from', settings.from, '--to', settings.to],
      { ECOMPIPE_FAILPOINT: 'move-copying:3=kill' },
      settings.from,
    ).end;
    assert.equal(signal, 'SIGKILL', stderr);
    assert.deepEqual(readdirSync(settings.from), ['big.csv']);
    assert.match(readdirSync(settings.to).join(), /^\.big\.csv\..*ecompipe-tmp$/);

    const mover = startMover(t, settings, undefined, true);
    assert.equal((await mover.end).bytesMoved, 5_000_000);
    assert.ok(mover.events.some(({ type }) => type === 'temporaryRemoved'));
    assert.deepEqual([readdirSync(settings.from), readdirSync(settings.to)], [[], ['big.csv']]);
  },
);

/** Distinct contents, so that a lost or doubled file shows; names that collide with what stands in the target. */
function manyFiles(count: number): Record<string, string> {
  const runId = createRunId(new Date());
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      index % 2 === 0 ? generatedFileName(runId, index) : `shop-${index}.csv`,
      `content ${index}`,
    ]),
  );
}

for (const [where, skip, elsewhere] of [
  ['one file system', false, false],
  ['two file systems', noSecondFileSystem, true],
] as const) {
  test(`movers killed again and again publish each file exactly once (${where})`, { skip }, async (t) => {
    const settings = moveSettings(t, { settleMs: 0, ...(elsewhere ? { to: directoryElsewhere(t) } : {}) });
    const files = manyFiles(1200);
    put(settings.from, files);
    for (let kills = 0; kills < 3; kills++) {
      const { child, end } = spawnMove(t, '--once', '--settle', '0', '--from', settings.from, '--to', settings.to);
      const before = readdirSync(settings.from).length;
      // Killed when it has moved some: at another place in each round, wherever the scheduler has put it then.
      while (child.exitCode === null && readdirSync(settings.from).length > before - 50 - kills * 150) await delay(1);
      child.kill('SIGKILL');
      await end;
    }
    await moveOnce(t, settings);
    assert.deepEqual(readdirSync(settings.from), []);
    assert.deepEqual(
      contents(settings.to),
      Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))),
    );
  });

  test(
    `three movers on one directory publish each file exactly once and all end well (${where})`,
    { skip },
    async (t) => {
      const settings = moveSettings(t, elsewhere ? { to: directoryElsewhere(t) } : {});
      const files = manyFiles(1200);
      put(settings.from, files);
      const movers = Array.from({ length: 3 }, () =>
        spawnMove(t, '--once', '--settle', '0', '--from', settings.from, '--to', settings.to, '--json'),
      );
      const ends = await Promise.all(movers.map(({ end }) => end));
      assert.deepEqual(
        ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
        [0, 0, 0],
      );
      assert.deepEqual(readdirSync(settings.from), []);
      assert.deepEqual(
        contents(settings.to),
        Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))),
      );
      const told = ends.map(({ stdout }) => (JSON.parse(stdout) as { filesMoved: number }).filesMoved);
      assert.equal(
        told.reduce((sum, count) => sum + count),
        1200,
      );
    },
  );
}
