import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { createRunId, generatedFileName, isLoadableName } from '../../../src/contract/fileNames.js';
import { FileError, UsageError } from '../../../src/platform/errors.js';
import { contents } from '../../platform/files/directories.js';
import { moveOnce, moveSettings, put, startMover } from './harness.js';

const generated = generatedFileName(createRunId(new Date()), 0);

test('a drain moves what is there, waits for what settles, and reports it', async (t) => {
  const settings = moveSettings(t);
  put(settings.from, { 'a.csv': 'abc', 'b.CSV.GZ': 'de', [generated]: 'f' });
  assert.deepEqual(await moveOnce(t, settings), { filesMoved: 3, bytesMoved: 6, filesStillWritten: [] });
  assert.deepEqual(
    [contents(settings.from), contents(settings.to)],
    [{}, { 'a.csv': 'abc', 'b.CSV.GZ': 'de', [generated]: 'f' }],
  );
});

test('a drain of an empty directory ends at once', async (t) => {
  assert.equal((await moveOnce(t, moveSettings(t, { settleMs: 3_600_000 }))).filesMoved, 0);
});

test('only files that this process published need not settle: the name of our generator proves nothing', async (t) => {
  const copied = generatedFileName(createRunId(new Date()), 1);
  const settings = moveSettings(t, { settleMs: 3_600_000, isPublished: (name) => name === generated });
  put(settings.from, { [generated]: 'x', [copied]: 'still being copied', 'a.csv': 'y' });
  const mover = startMover(t, settings);
  assert.deepEqual(await mover.event('fileMoved'), { type: 'fileMoved', name: generated, target: generated, bytes: 1 });
  await mover.stop();
  assert.deepEqual(contents(settings.from), { [copied]: 'still being copied', 'a.csv': 'y' });
});

test('an empty file under a name of our generator is moved once it has settled', async (t) => {
  const settings = moveSettings(t);
  put(settings.from, { [generated]: '' });
  assert.equal((await moveOnce(t, settings)).filesMoved, 1);
  assert.deepEqual(contents(settings.to), { [generated]: '' });
});

test('a file that is being written is moved only when it is whole', async (t) => {
  const settings = moveSettings(t);
  const file = path.join(settings.from, 'a.csv');
  writeFileSync(file, 'part');
  let parts = 1;
  const mover = startMover(t, settings, (event) => {
    if (event.type === 'fileWaiting' && parts < 4) appendFileSync(file, `,part${++parts}`);
  });
  await mover.event('fileMoved');
  assert.deepEqual(contents(settings.to), { 'a.csv': 'part,part2,part3,part4' });
});

test('a drain leaves a file that does not stop changing to the next run', async (t) => {
  // It waits ten times as long: enough for a busy machine to look twice.
  const settings = moveSettings(t, { settleMs: 60 });
  const file = path.join(settings.from, 'a.csv');
  put(settings.from, { 'a.csv': 'x', 'b.csv': 'y' });
  const result = await moveOnce(t, settings, (event) => {
    if (event.type === 'fileWaiting' && event.name === 'a.csv') appendFileSync(file, 'x');
  });
  assert.deepEqual(result, { filesMoved: 1, bytesMoved: 1, filesStillWritten: ['a.csv'] });
});

test('a drain ends although producers go on', async (t) => {
  const settings = moveSettings(t);
  const runId = createRunId(new Date());
  let sequence = 0;
  const next = (): void => put(settings.from, { [generatedFileName(runId, sequence++)]: 'x' });
  next();
  await moveOnce(t, settings, (event) => {
    if (event.type === 'fileMoved' && sequence < 1000) next();
  });
  assert.equal(sequence, 2);
});

test('an empty file waits for its content', async (t) => {
  const settings = moveSettings(t);
  put(settings.from, { 'a.csv': '' });
  const mover = startMover(t, settings);
  assert.deepEqual(await mover.event('fileSkipped'), { type: 'fileSkipped', name: 'a.csv', reason: 'empty' });
  put(settings.from, { 'a.csv': 'x' });
  assert.equal((await mover.event('fileMoved')).bytes, 1);
});

test('hidden, unfinished, other, and irregular names are left alone and the unexpected ones told once', async (t) => {
  const settings = moveSettings(t);
  put(settings.from, {
    '.hidden.csv': '',
    'a.csv.tmp': '',
    'a.csv.part': '',
    'a.csv.crdownload': '',
    'a.csv~': '',
    'readme.txt': '',
  });
  mkdirSync(path.join(settings.from, 'directory.csv'));
  symlinkSync('/etc/hostname', path.join(settings.from, 'symlink.csv'));
  spawnSync('mkfifo', [path.join(settings.from, 'fifo.csv')]);
  const before = readdirSync(settings.from);
  const mover = startMover(t, settings);
  put(settings.from, { [generated]: 'x' });
  await mover.event('fileMoved');
  await mover.drain();
  assert.deepEqual(readdirSync(settings.from), before);
  assert.deepEqual(readdirSync(settings.to), [generated]);
  const skipped = mover.events
    .filter((event) => event.type === 'fileSkipped')
    .map(({ name, reason }) => `${name} ${reason}`);
  assert.deepEqual(skipped.sort(), [
    'directory.csv directory',
    'fifo.csv notRegular',
    'readme.txt otherEnding',
    'symlink.csv notRegular',
  ]);
});

test('names with newlines, quotes, escapes, blanks and any script are moved as they are', async (t) => {
  const settings = moveSettings(t);
  const names = [
    'a\nb.csv',
    `"'\`$(x).csv`,
    '\u001b[31mred.csv',
    ' blank .csv',
    '日本語 🛒.csv',
    '-rf.csv',
    'a\\b.csv',
    'é.csv',
    'e\u0301.csv',
  ];
  put(settings.from, Object.fromEntries(names.map((name) => [name, name])));
  await moveOnce(t, settings);
  assert.deepEqual(contents(settings.to), Object.fromEntries([...names].sort().map((name) => [name, name])));
});

test('a taken name gets a number', async (t) => {
  const settings = moveSettings(t);
  mkdirSync(settings.to);
  put(settings.to, { 'a.csv': 'old' });
  put(settings.from, { 'a.csv': 'new' });
  const mover = startMover(t, settings);
  assert.equal((await mover.event('fileMoved')).target, 'a.1.csv');
  assert.deepEqual(contents(settings.to), { 'a.csv': 'old', 'a.1.csv': 'new' });
});

test('a new file wakes the mover long before the poll interval', async (t) => {
  const settings = moveSettings(t);
  const mover = startMover(t, settings);
  put(settings.from, { 'readme.txt': '' });
  await mover.event('fileSkipped');
  put(settings.from, { [generated]: 'x' });
  await mover.event('fileMoved');
});

test('a source directory that is removed and put back is survived', async (t) => {
  const settings = moveSettings(t, { pollIntervalMs: 20 });
  put(settings.from, { [generated]: 'x' });
  const mover = startMover(t, settings);
  await mover.event('fileMoved');
  renameSync(settings.from, `${settings.from}.away`);
  const { error } = await mover.event('directoryMissing');
  assert.ok(error instanceof FileError);
  mkdirSync(settings.from);
  await mover.event('directoryBack');
  const since = mover.events.length;
  put(settings.from, { [generated]: 'x' });
  assert.equal((await mover.event('fileMoved', since)).target, generated.replace('.csv', '.1.csv'));
});

test('a target directory that is removed is created again', async (t) => {
  const settings = moveSettings(t, { to: path.join(moveSettings(t).from, 'deep', 'er') });
  const mover = startMover(t, settings);
  put(settings.from, { 'a.csv': 'x' });
  await mover.event('fileMoved');
  rmSync(settings.to, { recursive: true });
  const since = mover.events.length;
  put(settings.from, { [generated]: 'x' });
  await mover.event('fileMoved', since);
  assert.deepEqual(readdirSync(settings.to), [generated]);
});

test('never more files than the backlog limit stand in the target', async (t) => {
  const settings = moveSettings(t, { maxBacklog: 3, settleMs: 0 });
  put(settings.from, Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`${index}.csv`, 'x'])));
  mkdirSync(settings.to);
  put(settings.to, { '.hidden.csv': '', 'readme.txt': '' });
  const standing = (): string[] => readdirSync(settings.to).filter(isLoadableName);
  const { filesMoved } = await moveOnce(t, settings, (event) => {
    assert.ok(standing().length <= 3);
    if (event.type === 'backlogFull') {
      assert.deepEqual(event, { type: 'backlogFull', backlog: 3, maxBacklog: 3 });
      unlinkSync(path.join(settings.to, standing()[0]!));
    }
  });
  assert.equal(filesMoved, 10);
  assert.equal(standing().length, 3);
});

test('a full backlog is told once, and does not keep the mover from stopping', async (t) => {
  const settings = moveSettings(t, { maxBacklog: 1, settleMs: 0, pollIntervalMs: 1 });
  put(settings.from, { 'a.csv': 'x', 'b.csv': 'x' });
  const mover = startMover(t, settings);
  await mover.event('backlogFull');
  put(settings.from, { 'readme.txt': '' });
  await mover.event('fileSkipped');
  assert.equal((await mover.stop()).filesMoved, 1);
  assert.equal(mover.events.filter(({ type }) => type === 'backlogFull').length, 1);
});

test('a missing, non-directory or unwritable source is an error at the start', async (t) => {
  const settings = moveSettings(t);
  const missing = path.join(settings.from, 'missing');
  await assert.rejects(moveOnce(t, { ...settings, from: missing }), {
    exitCode: 74,
    errno: 'ENOENT',
    message: /hint: create it/,
  });
  put(settings.from, { file: '' });
  await assert.rejects(moveOnce(t, { ...settings, from: path.join(settings.from, 'file') }), {
    exitCode: 74,
    errno: 'ENOTDIR',
  });
  assert.equal(existsSync(settings.to), false);
});

test('moving a directory to itself is a usage error, also through a symlink', async (t) => {
  const settings = moveSettings(t);
  symlinkSync(settings.from, settings.to);
  await assert.rejects(moveOnce(t, settings), UsageError);
});
