import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { InputListing } from '../../../src/pipeline/stream/discover.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

test('a directory that grows from few files to many, and becomes empty again, is listed whole each time', async (t) => {
  const directory = temporaryDirectory(t);
  const listing = new InputListing(directory, {}, () => undefined);
  for (const count of [0, 3, 1500, 1501, 2, 0, 1]) {
    const names = Array.from({ length: count }, (_, n) => `${String(n).padStart(4, '0')}.csv`);
    for (const name of names) writeFileSync(path.join(directory, name), '');
    assert.deepEqual(await listing.next(() => true), { names, isAll: true });
    for (const name of names) rmSync(path.join(directory, name));
  }
});

test('pages follow each other to the last file, whatever comes meanwhile, and only the look that finds no more says so', async (t) => {
  const directory = temporaryDirectory(t);
  const put = (...names: readonly string[]): void => {
    for (const name of names) writeFileSync(path.join(directory, name), '');
  };
  put('b.csv', 'c.csv', 'd.csv', 'e.csv', 'f.csv');
  const skipped: unknown[] = [];
  const listing = new InputListing(directory, {}, (event) => skipped.push(event), 2);
  const taken = new Set<string>();
  const next = async (): Promise<unknown> => {
    const { names, isAll } = await listing.next((name) => !taken.has(name));
    for (const name of names) taken.add(name);
    return [names, isAll];
  };
  assert.deepEqual(await next(), [['b.csv', 'c.csv'], false]);
  // In the order of names these would come first, again and again.
  put('a.csv', 'a.txt');
  rmSync(path.join(directory, 'e.csv'));
  assert.deepEqual(await next(), [['d.csv', 'f.csv'], false]);
  assert.deepEqual(await next(), [['a.csv'], true]);
  assert.deepEqual(await next(), [[], true]);
  assert.deepEqual(skipped, [{ type: 'fileSkipped', name: 'a.txt', reason: 'otherEnding' }]);
});
