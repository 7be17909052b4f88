import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createFile, replaceFile } from '../../../src/platform/files/atomicWrite.js';
import { temporaryDirectory } from './directories.js';

const OLD = 'what was there before';

async function* broken(): AsyncGenerator<string> {
  yield await Promise.resolve('a part');
  throw new Error('no more');
}

for (const isDurable of [true, false]) {
  test(`a file is replaced whole, and one whose content breaks off stays as it was, durable ${isDurable}`, async (t) => {
    const file = path.join(temporaryDirectory(t), 'file');
    writeFileSync(file, OLD);
    await assert.rejects(replaceFile(file, broken(), { isDurable }), /no more/);
    assert.equal(readFileSync(file, 'utf8'), OLD);

    // While the new one is written, readers find the old one.
    await replaceFile(file, 'new', {
      isDurable,
      mode: 0o600,
      onWritten: () => assert.equal(readFileSync(file, 'utf8'), OLD),
    });
    assert.equal(readFileSync(file, 'utf8'), 'new');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(path.dirname(file)), ['file']);
  });
}

test('a link in the place of the file is replaced, and nothing is written through it', async (t) => {
  const directory = temporaryDirectory(t);
  const [file, elsewhere] = [path.join(directory, 'file'), path.join(directory, 'elsewhere')];
  writeFileSync(elsewhere, OLD);
  symlinkSync(elsewhere, file);
  assert.equal(await createFile(file, 'new'), false);
  await replaceFile(file, 'new');
  assert.deepEqual([readFileSync(elsewhere, 'utf8'), readFileSync(file, 'utf8')], [OLD, 'new']);
});

test('of several who create a file one succeeds, and its content stays', async (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  await assert.rejects(createFile(file, broken()), /no more/);
  assert.deepEqual(readdirSync(path.dirname(file)), []);

  const contents = Array.from({ length: 20 }, (_, index) => `content ${index}`);
  const created = await Promise.all(contents.map((content) => createFile(file, content)));
  assert.deepEqual(created.filter(Boolean), [true]);
  assert.equal(readFileSync(file, 'utf8'), contents[created.indexOf(true)]);
  assert.deepEqual(readdirSync(path.dirname(file)), ['file']);
});
