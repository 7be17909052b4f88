import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tmpdir } from 'node:os';
import { FAILPOINTS } from '../../src/platform/failpoint.js';
import { spawnEcompipe } from '../helpers/executable.js';

test('the fail-points are listed by a command that --help does not show', async (t) => {
  const [list, help] = await Promise.all([
    spawnEcompipe(t, ['failpoints', '--json'], {}, tmpdir()).end,
    spawnEcompipe(t, ['--help'], {}, tmpdir()).end,
  ]);
  assert.deepEqual(Object.keys(JSON.parse(list.stdout) as object), Object.keys(FAILPOINTS));
  assert.ok(!help.stdout.includes('failpoint'));
});
