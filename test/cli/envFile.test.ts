import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { EXECUTABLE, project, run } from './executable.js';

/** Runs a line of bash in which `$ecompipe` is the executable, started as npm's link to it starts it. */
async function bash(cwd: string, line: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], HOME: cwd, ecompipe: EXECUTABLE };
  const running = promisify(execFile)('bash', ['-c', line], { cwd, env, timeout: 120_000 });
  return await running.then(
    (output) => ({ code: 0, ...output }),
    (error: unknown) => error as { code: number; stdout: string; stderr: string },
  );
}

const generate = '"$ecompipe" generate --interval 0 --batches 1 --json --quiet';

test('an env file may be a pipe, a FIFO or stdin, and is read once', async (t) => {
  const cwd = project(t);
  const lines = [
    `${generate} --env-file <(echo ECOMPIPE_BATCH_SIZE=14)`,
    `${generate} --env-file=<(sleep 0.3; echo ECOMPIPE_BATCH_SIZE=14)`,
    `"$ecompipe" --env-file <(echo ECOMPIPE_BATCH_SIZE=14) generate --interval 0 --batches 1 --json --quiet`,
    `mkfifo fifo; (echo ECOMPIPE_BATCH_SIZE=14 > fifo) & ${generate} --env-file fifo`,
    `echo ECOMPIPE_BATCH_SIZE=14 | ${generate} --env-file /dev/stdin`,
  ];
  for (const line of lines) {
    const { stdout, stderr, code } = await bash(cwd, line);
    assert.equal(code, 0, `${line}\n${stderr}`);
    assert.equal((JSON.parse(stdout) as { events: number }).events, 14, line);
  }
});

test('2: an env file that cannot be read is refused, by us', async (t) => {
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'directory'));
  writeFileSync(path.join(cwd, 'latin1'), Buffer.from('POSTGRES_PASSWORD=\xe9\n', 'latin1'));
  writeFileSync(path.join(cwd, 'binary'), 'POSTGRES_HOST=a\0b\n');
  for (const name of ['missing', 'directory', 'latin1', 'binary']) {
    const { code, stderr } = await bash(cwd, `${generate} --env-file ${name}`);
    assert.equal(code, 2, stderr);
    assert.match(stderr, new RegExp(`cannot read the env file ${name}: `));
  }
});

test('NODE_OPTIONS in an env file is nothing to us', async (t) => {
  const cwd = project(t);
  writeFileSync(path.join(cwd, 'x.env'), 'NODE_OPTIONS=--nonsense\nECOMPIPE_BATCH_SIZE=14\n');
  const { code, stderr } = await bash(cwd, `${generate} --env-file x.env`);
  assert.equal(code, 0, stderr);
});

test('a FIFO that nobody writes to is waited for, and a signal ends that', async (t) => {
  const cwd = project(t);
  execFileSync('mkfifo', [path.join(cwd, 'fifo')]);
  const child = spawn(EXECUTABLE, ['generate', '--env-file', 'fifo'], { cwd, stdio: 'ignore' });
  const end = once(child, 'exit');
  // The reader is there as soon as somebody can open the FIFO to write without waiting.
  await promisify(execFile)('bash', ['-c', 'exec 3> fifo; kill "$0"', String(child.pid)], { cwd });
  const [code, signal] = (await end) as [number | null, string | null];
  assert.equal(signal, null);
  assert.notEqual(code, 0);
});

test('on Node 20 a pipe that Node has read already is refused, not taken for empty', async (t) => {
  const cwd = project(t);
  const { code, stderr } = await bash(
    cwd,
    `node "${EXECUTABLE}" generate --batches 1 --env-file <(echo ECOMPIPE_BATCH_SIZE=14)`,
  );
  if (process.versions.node.startsWith('20.')) assert.match(stderr, /Node 20 itself has already read this pipe/);
  assert.equal(code, process.versions.node.startsWith('20.') ? 2 : 0);
});

test('an env file with a byte order mark, or in UTF-16, says what it says', async (t) => {
  const cwd = project(t);
  const text = 'ECOMPIPE_BATCH_SIZE=14\r\n';
  const encodings = {
    utf8: Buffer.from(`\ufeff${text}`),
    utf16le: Buffer.from(`\ufeff${text}`, 'utf16le'),
    utf16be: Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
  };
  for (const [name, bytes] of Object.entries(encodings)) {
    writeFileSync(path.join(cwd, '.env'), bytes);
    const { stdout, stderr } = await run(t, { cwd }, 'generate', '--interval', '0', '--batches', '1', '--json');
    assert.equal((JSON.parse(stdout) as { events: number }).events, 14, `${name}: ${stderr}`);
  }
});

test("libpq's variables count in an env file as well, behind the environment", async (t) => {
  const cwd = project(t);
  writeFileSync(path.join(cwd, '.env'), 'PGHOST=127.0.0.1\nPGPORT=1\nPGDATABASE=shop\n');
  const named = await run(t, { cwd }, 'migrate', '--retry-for', '0s');
  assert.equal(named.exitCode, 69);
  assert.match(named.stderr, /127\.0\.0\.1:1\/shop/);
  const stronger = await run(t, { cwd, env: { PGPORT: '2' } }, 'migrate', '--retry-for', '0s');
  assert.match(stronger.stderr, /127\.0\.0\.1:2\/shop/);
});
