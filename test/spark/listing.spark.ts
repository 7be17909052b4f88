import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../platform/files/directories.js';
import { compileJobPrograms } from './job.js';

test('a file that leaves the directory while it is listed is left out, and ends nothing', async (t) => {
  const programs = await compileJobPrograms(t);
  for (const scheme of ['', 'file://']) {
    await t.test(scheme === '' ? 'a path' : 'a URI', async (t) => {
      const directory = path.join(temporaryDirectory(t), 'in');
      mkdirSync(directory);
      const child = programs.start('Listing', directory, `${scheme}${directory}`, '5000');
      let said = '';
      for (const output of [child.stdout, child.stderr])
        output.setEncoding('utf8').on('data', (text: string) => (said += text));
      const [exitCode] = (await once(child, 'close')) as [number];
      assert.equal(exitCode, 0, said);
      assert.match(said, /listed 5000 times: [1-9]/);
    });
  }
});
