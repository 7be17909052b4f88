import assert from 'node:assert/strict';
import { execFile, type ExecFileException } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { embeddedProject } from '../helpers/embeddedProject.js';

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the executable from its sources, without any database configured. */
async function ecompipe(directory: string, ...args: string[]): Promise<Ended> {
  const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
  const env = { PATH: process.env['PATH'], ECOMPIPE_EMBEDDED_DIR: directory };
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), cli, ...args],
      { cwd: path.dirname(directory), env },
      (error: ExecFileException | null, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr }),
    );
  });
}

test('db url prints one URL on stdout, and on stderr how to stop the server; the password appears nowhere else', async (t) => {
  const directory = await embeddedProject(t);
  const url = await ecompipe(directory, 'db', 'url');
  const password = /^postgresql:\/\/ecompipe:([\w-]+)@127\.0\.0\.1:\d+\/ecompipe\n$/.exec(url.stdout)?.[1];
  assert.ok(password !== undefined, url.stdout);
  assert.match(url.stderr, /ecompipe db stop/);
  const start = await ecompipe(directory, 'db', 'start', '--log-level', 'debug');
  for (const said of [url.stderr, start.stdout, start.stderr]) assert.ok(!said.includes(password));
  assert.deepEqual(JSON.parse((await ecompipe(directory, 'db', 'stop', '--json')).stdout), { stopped: true });
  assert.deepEqual(JSON.parse((await ecompipe(directory, 'db', 'stop', '--json')).stdout), { stopped: false });
});

test('db with an unknown action is a usage error', async (t) => {
  const { code, stderr } = await ecompipe(await embeddedProject(t), 'db', 'restart');
  assert.equal(code, 2);
  assert.match(stderr, /expected url, start or stop/);
});
