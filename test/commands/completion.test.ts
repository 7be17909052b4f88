import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { project, run } from '../cli/executable.js';

async function script(t: TestContext, shell: string): Promise<string> {
  const { exitCode, stdout } = await run(t, { cwd: project(t) }, 'completion', shell);
  assert.equal(exitCode, 0);
  return stdout;
}

/** What bash offers after these words, the last of which is being typed. */
function offered(completion: string, ...words: string[]): string[] {
  const ask = `${completion}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ecompipe; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', ask, 'bash', ...words], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter(Boolean);
}

test('bash completes commands, and the flags of the command that was given', async (t) => {
  const completion = await script(t, 'bash');
  assert.deepEqual(offered(completion, 'ecompipe', 'str'), ['stream']);
  assert.ok(offered(completion, 'ecompipe', '').includes('run-all'));
  assert.deepEqual(offered(completion, 'ecompipe', 'stream', '--on'), ['--once']);
  assert.deepEqual(offered(completion, 'ecompipe', '--log-level', 'debug', 'generate', '--batch'), [
    '--batch-size',
    '--batches',
  ]);
  assert.deepEqual(offered(completion, 'ecompipe', 'generate', '--once'), []);
  assert.deepEqual(offered(completion, 'ecompipe', 'help', 'ver'), ['verify']);
  // Hidden commands stay hidden.
  assert.deepEqual(offered(completion, 'ecompipe', 'failp'), []);
});

for (const shell of ['zsh', 'fish']) {
  const isThere = spawnSync(shell, ['--version']).status === 0;
  test(`${shell} takes its script`, { skip: isThere ? false : `no ${shell} on this machine` }, async (t) => {
    const file = path.join(project(t), 'completion');
    writeFileSync(file, await script(t, shell));
    const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
  });
}

test('another shell is a usage error', async (t) => {
  const { exitCode, stderr } = await run(t, { cwd: project(t) }, 'completion', 'tcsh');
  assert.equal(exitCode, 2);
  assert.match(stderr, /expected bash, zsh or fish/);
});
