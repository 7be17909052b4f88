import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { directoryElsewhere, noSecondFileSystem, temporaryDirectory } from '../../platform/files/directories.js';
import { run, spawnEcompipe } from '../../helpers/executable.js';
import { moveOnce, moveSettings, startMover } from './harness.js';

/** Relative name → content of all files of a tree, hidden ones too. */
function treeOf(directory: string): Record<string, string> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = entries.map(({ parentPath, name }) => path.relative(directory, path.join(parentPath, name))).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(path.join(directory, name), 'utf8')]));
}

function putTree(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.join(directory, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(directory, name), content);
  }
}

const FILES = { 'a.csv': '1', 'shop.1/2026/a.csv': '2', 'shop.1/2026/b.csv': '3', 'z z/ü\n.csv': '4' };

test('files of subdirectories keep their paths, a name that is taken gets a number, and emptied directories stay', async (t) => {
  const settings = moveSettings(t, { settleMs: 0, recursive: true, exclude: ['skip'] });
  putTree(settings.from, { ...FILES, 'skip/c.csv': '5', 'shop.1/orders': '6' });
  putTree(settings.to, { 'shop.1/2026/a.csv': 'another' });
  const events: string[] = [];
  const result = await moveOnce(t, settings, (event) => {
    if (event.type === 'fileMoved') events.push(`${event.name} > ${event.target}`);
    if (event.type === 'fileSkipped') events.push(`${event.name} skipped`);
  });
  assert.equal(result.filesMoved, 4);
  assert.deepEqual(events.sort(), [
    'a.csv > a.csv',
    'shop.1/2026/a.csv > shop.1/2026/a.1.csv',
    'shop.1/2026/b.csv > shop.1/2026/b.csv',
    'shop.1/orders skipped',
    'z z/ü\n.csv > z z/ü\n.csv',
  ]);
  const { 'shop.1/2026/a.csv': taken, ...others } = FILES;
  assert.deepEqual(treeOf(settings.to), { ...others, 'shop.1/2026/a.1.csv': taken, 'shop.1/2026/a.csv': 'another' });
  assert.deepEqual(treeOf(settings.from), { 'shop.1/orders': '6', 'skip/c.csv': '5' });
  assert.ok(existsSync(path.join(settings.from, 'shop.1/2026')), 'its producer may be about to write there');
});

test('a running mover hears of files in subdirectories that were there, and that are new', async (t) => {
  const settings = moveSettings(t, { settleMs: 0, recursive: true });
  putTree(settings.from, { 'old/a.csv': '1' });
  const mover = startMover(t, settings);
  assert.equal((await mover.event('fileMoved')).target, 'old/a.csv');
  let seen = mover.events.length;
  writeFileSync(path.join(settings.from, 'old/b.csv'), '2');
  assert.equal((await mover.event('fileMoved', seen)).target, 'old/b.csv');
  seen = mover.events.length;
  putTree(settings.from, { 'new/er/c.csv': '3' });
  assert.equal((await mover.event('fileMoved', seen)).target, 'new/er/c.csv');
  seen = mover.events.length;
  rmSync(path.join(settings.to, 'new'), { recursive: true });
  writeFileSync(path.join(settings.from, 'new/er/d.csv'), '4');
  assert.equal((await mover.event('fileMoved', seen)).target, 'new/er/d.csv', 'its directory is made once more');
  await mover.stop();
});

test('the mover never takes back what is in processing/, archive/, quarantine/ or checkpoints/ below incoming/', async (t) => {
  const home = temporaryDirectory(t);
  putTree(home, {
    'data/in/a.csv': '1',
    'data/processing/p.csv': '2',
    'data/archive/2026-11-25/b.csv': '3',
    'data/quarantine/2026-11-25/c.csv': '4',
    'checkpoints/d.csv': '5',
  });
  const moved = await run(t, { cwd: home }, 'move', '--once', '--recursive', '--from', '.', '--settle', '0');
  assert.equal(moved.exitCode, 0, moved.stderr);
  assert.deepEqual(Object.keys(treeOf(home)), [
    'checkpoints/d.csv',
    'data/archive/2026-11-25/b.csv',
    'data/processing/data/in/a.csv',
    'data/processing/p.csv',
    'data/quarantine/2026-11-25/c.csv',
  ]);
  assert.doesNotMatch(moved.stderr, /alone/);
});

for (const [where, isAcross] of [
  ['one file system', false],
  ['two file systems', true],
] as const) {
  describe(`a mover of subdirectories on ${where}, killed`, { skip: isAcross && noSecondFileSystem }, () => {
    const moments = [
      'before-move',
      'move-linked',
      'after-move',
      ...(isAcross ? ['move-copied', 'move-published'] : []),
    ];
    for (const moment of moments) {
      for (const pass of [1, 3]) {
        test(`at ${moment} the ${pass}. time: each file is whole, and once in the end`, async (t) => {
          const settings = moveSettings(t, {
            settleMs: 0,
            recursive: true,
            ...(isAcross ? { to: directoryElsewhere(t) } : {}),
          });
          putTree(settings.from, FILES);
          const killed = await spawnEcompipe(
            t,
            ['move', '--once', '--recursive', '--settle', '0', '--from', settings.from, '--to', settings.to],
            { ECOMPIPE_FAILPOINT: `${moment}:${pass}=kill` },
            settings.from,
          ).end;
          assert.equal(killed.signal, 'SIGKILL', killed.stderr);
          await moveOnce(t, settings);
          assert.deepEqual([treeOf(settings.from), treeOf(settings.to)], [{}, FILES]);
        });
      }
    }
  });
}
