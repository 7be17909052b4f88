import assert from 'node:assert/strict';
import { appendFileSync, lstatSync, renameSync, utimesSync, writeFileSync, type BigIntStats } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Settling } from '../../../src/pipeline/move/candidates.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

const HOUR_NS = 3_600_000_000_000n;

const lookAt = (file: string): BigIntStats => lstatSync(file, { bigint: true });

/** The same file as a server sees it whose clock is `hours` ahead of ours. */
function withClock(stats: BigIntStats, hours: number): BigIntStats {
  const ctimeNs = stats.ctimeNs + BigInt(hours) * HOUR_NS;
  return Object.assign(Object.create(stats) as BigIntStats, { ctimeNs, ctimeMs: ctimeNs / 1_000_000n });
}

test('a file is finished when two looks settleMs apart see the same', (t) => {
  const file = path.join(temporaryDirectory(t), 'a.csv');
  writeFileSync(file, 'x');
  const settling = new Settling(1000);
  assert.equal(settling.look('a.csv', lookAt(file), 5000), 'changed');
  assert.equal(settling.dueAt('a.csv'), 6000);
  assert.equal(settling.look('a.csv', lookAt(file), 5999), 'waiting');
  assert.equal(settling.look('a.csv', lookAt(file), 6000), 'finished');
});

test('a file that grew starts to settle anew', (t) => {
  const file = path.join(temporaryDirectory(t), 'a.csv');
  writeFileSync(file, 'x');
  const settling = new Settling(1000);
  settling.look('a.csv', lookAt(file), 0);
  appendFileSync(file, 'y');
  assert.equal(settling.look('a.csv', lookAt(file), 1000), 'changed');
  assert.equal(settling.look('a.csv', lookAt(file), 1999), 'waiting');
});

test('a change that puts size and mtime back is seen all the same', (t) => {
  const file = path.join(temporaryDirectory(t), 'a.csv');
  writeFileSync(file, 'x');
  utimesSync(file, 1, 1);
  const before = lookAt(file);
  const settling = new Settling(1000);
  settling.look('a.csv', before, 0);
  // The clock of ctime ticks every few milliseconds: write until it has.
  while (lookAt(file).ctimeNs === before.ctimeNs) {
    writeFileSync(file, 'y');
    utimesSync(file, 1, 1);
  }
  assert.equal(settling.look('a.csv', lookAt(file), 1000), 'changed');
});

test('another file under the same name starts to settle anew', (t) => {
  const directory = temporaryDirectory(t);
  const [file, other] = [path.join(directory, 'a.csv'), path.join(directory, 'b')];
  writeFileSync(file, 'x');
  writeFileSync(other, 'y');
  const settling = new Settling(1000);
  settling.look('a.csv', lookAt(file), 0);
  renameSync(other, file);
  assert.equal(settling.look('a.csv', lookAt(file), 1000), 'changed');
});

for (const hours of [-23, -1, 1, 48]) {
  test(`a file server whose clock is ${hours} h off neither hurries nor blocks a file`, (t) => {
    const file = path.join(temporaryDirectory(t), 'a.csv');
    writeFileSync(file, 'x');
    const stats = withClock(lookAt(file), hours);
    const settling = new Settling(1000);
    assert.equal(settling.look('a.csv', stats, 0), 'changed');
    assert.equal(settling.look('a.csv', stats, 1000), 'finished');
  });
}

test('a file that did not change for more than a day needs no second look', (t) => {
  const file = path.join(temporaryDirectory(t), 'a.csv');
  writeFileSync(file, 'x');
  assert.equal(new Settling(1000).look('a.csv', withClock(lookAt(file), -25), 0), 'finished');
});

test('a name that went and came back starts to settle anew', (t) => {
  const file = path.join(temporaryDirectory(t), 'a.csv');
  writeFileSync(file, 'x');
  const settling = new Settling(1000);
  settling.look('a.csv', lookAt(file), 0);
  settling.keepOnly(new Set());
  assert.equal(settling.look('a.csv', lookAt(file), 1000), 'changed');
});
