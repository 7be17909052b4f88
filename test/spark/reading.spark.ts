import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { temporaryDirectory } from '../platform/files/directories.js';
import { compileJobPrograms } from './job.js';

test('pieces of one file are read in one pass, also of a compressed one, which can only be read from its start', async (t) => {
  const programs = await compileJobPrograms(t);
  const child = programs.start('Reading', temporaryDirectory(t));
  let said = '';
  for (const output of [child.stdout, child.stderr])
    output.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [exitCode] = (await once(child, 'close')) as [number];
  assert.equal(exitCode, 0, said);
  for (const name of ['a.csv', 'a.csv.gz']) {
    const tenths = Number(new RegExp(`^${name}: (\\d+) tenths$`, 'm').exec(said)?.[1]);
    assert.ok(tenths >= 9 && tenths <= 12, said);
  }
});
