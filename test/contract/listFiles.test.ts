import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { isSelected } from '../../src/contract/leftAlone.js';
import { listFiles } from '../../src/contract/listFiles.js';
import { parseGlobs } from '../../src/contract/inputSettings.js';
import { temporaryDirectory } from '../platform/files/directories.js';

function tree(directory: string, names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(path.join(directory, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(directory, name), 'x');
  }
}

const NAMES = [
  'a.csv',
  'shop 1/ö,"x\'.csv',
  'shop 1/2026/deep/er/still/orders.csv.gz',
  'shop 1/notes.txt',
  'shop2/.hidden.csv',
  'shop2/upload.csv.part',
  'shop2/b.csv',
  'uploads.tmp/c.csv',
  '.git/d.csv',
];

test('subdirectories are listed by relative names; hidden and unfinished ones, and links, are not', async (t) => {
  const directory = temporaryDirectory(t);
  tree(directory, NAMES);
  symlinkSync(path.join(directory, 'shop2'), path.join(directory, 'shop 1', 'link'));
  symlinkSync(directory, path.join(directory, 'loop'));
  const { files, leftAlone, subdirectories } = await listFiles(directory, { recursive: true });
  assert.deepEqual([...files].sort(), [NAMES[0], NAMES[2], NAMES[1], 'shop2/b.csv'].sort());
  assert.deepEqual(leftAlone.map(({ name, reason }) => [name, reason]).sort(), [
    ['loop', 'notRegular'],
    ['shop 1/link', 'notRegular'],
    ['shop 1/notes.txt', 'otherEnding'],
  ]);
  assert.ok(subdirectories.includes('shop 1/2026/deep/er/still'));
  const flat = await listFiles(directory, {});
  assert.deepEqual(flat.files, ['a.csv']);
  assert.deepEqual(
    flat.leftAlone
      .filter(({ reason }) => reason === 'directory')
      .map(({ name }) => name)
      .sort(),
    ['shop 1', 'shop2'],
  );
});

test('a directory of our own is neither looked into nor left alone, whatever path leads to it', async (t) => {
  const home = temporaryDirectory(t);
  tree(home, ['in/archive/2026-11-25/a.csv', 'in/sub/quarantine/b.csv', 'in/sub/c.csv']);
  symlinkSync(path.join(home, 'in/sub'), path.join(home, 'other'));
  const ownDirs = [path.join(home, 'in/archive'), path.join(home, 'other/quarantine'), path.join(home, 'missing')];
  const { files, leftAlone } = await listFiles(path.join(home, 'in'), { recursive: true, ownDirs });
  assert.deepEqual([files, leftAlone], [['sub/c.csv'], []]);
});

test('patterns include and exclude by relative name or by its last part, and excluded directories are left out', async (t) => {
  const directory = temporaryDirectory(t);
  tree(directory, ['a.csv', 'x/a.csv', 'x/b.csv', 'x/test/a.csv', 'y/a.csv', 'y/c.txt']);
  const names = async (include: string, exclude: string): Promise<string[]> => {
    const selection = { recursive: true, include: parseGlobs(include), exclude: parseGlobs(exclude) };
    const { files, leftAlone } = await listFiles(directory, selection);
    for (const name of files) assert.ok(isSelected(name, selection), name);
    return [...files, ...leftAlone.map(({ name }) => `left ${name}`)].sort();
  };
  assert.deepEqual(await names('x/**', ''), ['x/a.csv', 'x/b.csv', 'x/test/a.csv']);
  assert.deepEqual(await names('', 'test,c.txt'), ['a.csv', 'x/a.csv', 'x/b.csv', 'y/a.csv']);
  assert.deepEqual(await names('A.CSV', 'y/**,x/t*'), ['a.csv', 'x/a.csv']);
  assert.deepEqual(await names('{x,y}/[ab].csv', ''), ['x/a.csv', 'x/b.csv', 'y/a.csv']);
  assert.equal(isSelected('x/test/a.csv', { recursive: true, exclude: ['test'] }), false);
  assert.equal(isSelected('.x/a.csv', { recursive: true }), false);
  assert.equal(isSelected('x/a.csv', {}), false);
});

test('patterns that are given together are told apart where the comma is not their own', () => {
  assert.deepEqual(parseGlobs('{a,b}*.csv, c[,;].csv,d\\,e'), ['{a,b}*.csv', 'c[,;].csv', 'd\\,e']);
  assert.throws(() => parseGlobs('a{.csv'), /a \{ without its \}/);
});

for (const isSmall of [false, true])
  test(`a page holds the first of the files that are wanted, in the order of their names, and the next one goes on, ${isSmall ? 'read at once' : 'read bit by bit'}`, async (t) => {
    const directory = temporaryDirectory(t);
    const names = Array.from({ length: 25 }, (_, index) => `${(index * 7) % 25}.csv`);
    tree(directory, [...names, 'x/y.csv', 'z.txt']);
    const wanted = [...names, 'x/y.csv'].filter((name) => !name.startsWith('1')).sort();
    const looked: string[] = [];
    const isWanted = (name: string): boolean => looked.push(name) > 0 && !name.startsWith('1');
    const pages: (readonly string[])[] = [];
    for (let after = ''; ;) {
      const page = { after, size: 4, isSmall, isWanted };
      const { files, hasMore, entries, leftAlone } = await listFiles(directory, { recursive: true }, page);
      assert.deepEqual([entries, leftAlone.length, looked.splice(0).length], [28, 1, 26]);
      pages.push(files);
      if (!hasMore) break;
      after = files.at(-1)!;
    }
    assert.deepEqual(pages.flat(), wanted);
    assert.deepEqual(
      pages.map(({ length }) => length),
      [4, 4, 4, 3],
    );
  });

test('subdirectories of any depth are listed with one descriptor', async (t) => {
  const directory = temporaryDirectory(t);
  tree(directory, ['a.csv']);
  let below = directory;
  for (let level = 0; level < 900; level++) below = path.join(below, 'd');
  mkdirSync(below, { recursive: true });
  const before = readdirSync('/proc/self/fd').length;
  let most = 0;
  const isWanted = (): boolean => (most = Math.max(most, readdirSync('/proc/self/fd').length)) > 0;
  writeFileSync(path.join(below, 'b.csv'), 'x');
  const { files } = await listFiles(directory, { recursive: true }, { after: '', size: 10, isWanted });
  assert.deepEqual([files.length, most - before], [2, 1]);
});
