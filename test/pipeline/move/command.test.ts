import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import test from 'node:test';
import { createRunId, generatedFileName } from '../../../src/contract/fileNames.js';
import { start } from '../../cli/executable.js';
import { spawnMove } from './executable.js';
import { moveSettings, put } from './harness.js';

test('move --once moves what is there, prints the result and exits 0', async (t) => {
  const { from, to } = moveSettings(t);
  put(from, { 'a.csv': 'abc' });
  const { exitCode, stdout } = await spawnMove(t, '--once', '--settle', '10', '--from', from, '--to', to, '--json').end;
  assert.deepEqual([exitCode, JSON.parse(stdout)], [0, { filesMoved: 1, bytesMoved: 3, filesStillWritten: [] }]);
  assert.deepEqual(readdirSync(to), ['a.csv']);
});

test('--settle takes units; a bare number is milliseconds, and one that must be meant as seconds is warned about', async (t) => {
  const { from, to } = moveSettings(t);
  const said = async (settle: string): Promise<string> => {
    put(from, { 'a.csv': 'abc' });
    const args = ['--settle', settle, '--from', from, '--to', to, '--log-level', 'debug'];
    const { child, end, said: saying } = start(t, { cwd: from }, 'move', ...args);
    await saying('must stay unchanged');
    child.kill('SIGTERM');
    return (await end).stderr;
  };
  const short = await said('5');
  assert.match(short, /warn +--settle is 5 ms:.*write 5s if seconds are meant/);
  const long = await said('5s');
  assert.match(long, /must stay unchanged for 5 s first/);
  assert.doesNotMatch(long, /warn/);
  assert.match(await said('2000'), /must stay unchanged for 2 s first/);
});

test('move without its source directory exits 74 with a hint', async (t) => {
  const { from, to } = moveSettings(t);
  const { exitCode, stderr } = await spawnMove(t, '--from', path.join(from, 'missing'), '--to', to).end;
  assert.equal(exitCode, 74);
  assert.match(stderr, /missing.*\n.*hint: create it/);
});

test('move from a directory to itself exits 2', async (t) => {
  const { from } = moveSettings(t);
  assert.equal((await spawnMove(t, '--from', from, '--to', from).end).exitCode, 2);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`move runs until ${signal} and then exits 0`, async (t) => {
    const { from, to } = moveSettings(t);
    put(from, { [generatedFileName(createRunId(new Date()), 0)]: 'x' });
    const { child, end } = spawnMove(t, '--from', from, '--to', to);
    // Its first log line tells of the moved file.
    await once(child.stderr!, 'data');
    child.kill(signal);
    const { exitCode, stdout } = await end;
    assert.equal(exitCode, 0);
    assert.match(stdout, /^moved 1 file \(1 B\) in [\d.]+ m?s\n$/);
  });
}
