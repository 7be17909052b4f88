import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { access, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { attachEmbeddedServer, stopEmbedded } from '../../../src/platform/db/embedded/index.js';
import { AlreadyRunningError } from '../../../src/platform/errors.js';
import { createLogger } from '../../../src/platform/log.js';
import { createdProject, isAlive, queryAs } from '../../helpers/embeddedProject.js';
import { startEmbeddedProcess } from '../../helpers/embeddedProcess.js';
import { until } from '../../helpers/until.js';

/** A container of its own: what `docker run` separates, as far as process ids go. */
const CONTAINER = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
const hasContainers = spawnSync(CONTAINER[0]!, [...CONTAINER.slice(1), 'true']).status === 0;

const holderOf = (directory: string): string => path.join(directory, 'postgres', 'holder.json');
const ELSEWHERE = { host: 'shop-2', bootId: 'another', pidNamespace: 'pid:[1]', since: '2026-11-01T00:00:00.000Z' };

/** What a server on another machine, or in another container, does to the volume. */
function beatUntilEnd(t: TestContext, file: string): () => void {
  const timer = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), 200);
  const stop = (): void => clearInterval(timer);
  t.after(stop);
  return stop;
}

test('data that a server elsewhere uses is refused at its first sign of life, also by db stop, and nothing is touched', async (t) => {
  const directory = await createdProject(t);
  const lockFile = path.join(directory, 'postgres', 'data', 'postmaster.pid');
  await writeFile(holderOf(directory), JSON.stringify(ELSEWHERE));
  await writeFile(lockFile, '1\n/elsewhere\n1\n5432\n\n127.0.0.1\n\nready\n');
  const stop = beatUntilEnd(t, holderOf(directory));
  const refusal = (error: unknown): boolean =>
    error instanceof AlreadyRunningError && error.exitCode === 5 && /machine or container shop-2/.test(error.message);
  await assert.rejects(attachEmbeddedServer({ directory }), refusal);
  await assert.rejects(stopEmbedded({ directory }), refusal);
  assert.match(await readFile(lockFile, 'utf8'), /elsewhere/);
  assert.deepEqual(JSON.parse(await readFile(holderOf(directory), 'utf8')), ELSEWHERE);
  stop();
});

test('data that a server elsewhere left is taken over after ten seconds without a sign of life, and by one of several', async (t) => {
  const directory = await createdProject(t);
  await writeFile(holderOf(directory), JSON.stringify(ELSEWHERE));
  const lines: string[] = [];
  const log = createLogger({ level: 'info', format: 'json', color: false }, (line) => lines.push(line));
  const leases = await Promise.all([1, 2, 3].map(() => attachEmbeddedServer({ directory, log })));
  assert.equal(new Set(leases.map(({ server }) => server.pid)).size, 1);
  assert.ok(lines.some((line) => line.includes('database_taken_over')));
  assert.equal((JSON.parse(await readFile(holderOf(directory), 'utf8')) as { host: string }).host, os.hostname());
  await Promise.all(leases.map((lease) => lease.release()));
  await assert.rejects(access(holderOf(directory)), 'a stopped server holds nothing');
});

test('a damaged holder file is one of somebody who gives no sign of life', async (t) => {
  const directory = await createdProject(t);
  await writeFile(holderOf(directory), '{"host":');
  await (await attachEmbeddedServer({ directory })).release();
});

test('a server that is killed and started again in its own place keeps the hold, with a heartbeat', async (t) => {
  const directory = await createdProject(t);
  const lease = await attachEmbeddedServer({ directory });
  const killed = lease.server.pid;
  process.kill(killed, 'SIGKILL');
  await until('another server runs', () => lease.server.pid !== killed);
  await utimes(holderOf(directory), 0, 0);
  await until('a heartbeat', async () => (await readMtime(holderOf(directory))) > 0);
  await lease.release();
});

test(
  'a second container with the same volume finds the data in use, and free again after the first has crashed',
  { skip: hasContainers ? false : 'needs the right to make a pid namespace' },
  async (t) => {
    const directory = await createdProject(t);
    const first = await startEmbeddedProcess(directory, CONTAINER);
    await queryAs('ecompipe test', first.connection, 'create table t as select 42 as answer');
    await assert.rejects(attachEmbeddedServer({ directory }), AlreadyRunningError);
    assert.deepEqual(await queryAs('ecompipe test', first.connection, 'select answer from t'), [{ answer: 42 }]);
    await first.kill('SIGKILL');
    const lease = await attachEmbeddedServer({ directory });
    assert.deepEqual(await queryAs('ecompipe test', lease.connection, 'select answer from t'), [{ answer: 42 }]);
    await lease.release();
    assert.ok(!(await isAlive(lease.server.pid)));
  },
);

async function readMtime(file: string): Promise<number> {
  return (await stat(file)).mtimeMs;
}
