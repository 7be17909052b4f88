import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commands } from '../../src/commands/index.js';
import { project, run } from './executable.js';

test(
  'no line of any help is wider than 80 columns, and every command shows examples',
  { timeout: 120_000 },
  async (t) => {
    const cwd = project(t);
    for (const args of [['--help'], ...commands.map(({ name }) => [name, '--help'])]) {
      const { exitCode, stdout } = await run(t, { cwd }, ...args);
      assert.equal(exitCode, 0);
      assert.deepEqual(
        stdout.split('\n').filter((line) => line.length > 80),
        [],
        args.join(' '),
      );
      if (args.length > 1) assert.match(stdout, /\nExamples:\n/);
    }
  },
);

test('a typing error in a command or a flag gets the name that was meant', async (t) => {
  const cwd = project(t);
  const cases: [args: string[], meant: RegExp][] = [
    [['sttus'], /Did you mean status\?/],
    [['generat'], /Did you mean generate\?/],
    [['stream', '--onec'], /Did you mean --once\?/],
    [['generate', '--batchsize', '5'], /Did you mean --batch-size\?/],
    [['run-all', '--dashbord'], /Did you mean --dashboard\?/],
  ];
  for (const [args, meant] of cases) {
    const { exitCode, stderr } = await run(t, { cwd }, ...args);
    assert.equal(exitCode, 2, args.join(' '));
    assert.match(stderr, meant);
  }
});
