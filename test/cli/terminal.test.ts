import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { EXECUTABLE, project } from './executable.js';

const noScript = spawnSync('script', ['--version']).status !== 0 && 'needs script(1)';
const COMMAND = `exec '${process.execPath}' '${EXECUTABLE}' generate --interval 0 --events 20000 --batch-size 1000`;

for (const [columns, rows, isTerminal] of [
  [0, 0, false],
  [0, 24, false],
  [80, 0, false],
  [1, 1, false],
  [80, 24, true],
] as const) {
  test(
    `a terminal of ${columns} columns and ${rows} rows gets ${isTerminal ? 'a progress bar' : 'plain lines, and the command ends'}`,
    { skip: noScript, timeout: 120_000 },
    async (t) => {
      const child = spawn('script', ['-qec', `stty cols ${columns} rows ${rows}; ${COMMAND}`, '/dev/null'], {
        cwd: project(t),
        env: { PATH: process.env['PATH'], TERM: 'xterm', HOME: '/nonexistent' },
        stdio: ['ignore', 'pipe', 'inherit'],
        timeout: 120_000,
        killSignal: 'SIGKILL',
      });
      const output = await text(child.stdout);
      assert.match(output, /20,000 events|20,000 rows|20000/);
      assert.equal(/\u001b\[/.test(output), isTerminal, JSON.stringify(output.slice(0, 300)));
      assert(output.length < 100_000, `${output.length} characters`);
    },
  );
}
