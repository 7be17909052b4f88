import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readdir, readFile, rename, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { asAccount, serverAccount } from '../../../src/platform/db/embedded/account.js';
import { attachEmbeddedServer } from '../../../src/platform/db/embedded/index.js';
import { createdProject, embeddedProject, isAlive, queryAs } from '../../helpers/embeddedProject.js';
import { spawnEmbedded, startEmbeddedProcess } from '../../helpers/embeddedProcess.js';
import { until } from '../../helpers/until.js';

for (const signal of ['SIGKILL', 'SIGINT'] as const) {
  test(`the server stays usable when ${signal} hits its owner's whole process group, and the next last one out stops it`, async (t) => {
    const directory = await createdProject(t);
    const owner = await startEmbeddedProcess(directory);
    await owner.kill(signal);
    assert.ok(await isAlive(owner.serverPid));
    const next = await attachEmbeddedServer({ directory });
    assert.equal(next.server.pid, owner.serverPid);
    await next.release();
    assert.ok(!(await isAlive(owner.serverPid)));
  });
}

test('a first command killed while it creates the database leaves nothing that the next one minds', async (t) => {
  const directory = await embeddedProject(t);
  const child = spawnEmbedded(directory);
  await until('initdb has begun', async () =>
    (await readdir(directory).catch(() => [])).some((name) => name.startsWith('.postgres-')),
  );
  process.kill(-child.pid!, 'SIGKILL');
  assert.ok(!(await readdir(directory)).includes('postgres'));
  const lease = await attachEmbeddedServer({ directory });
  assert.deepEqual(await queryAs('ecompipe test', lease.connection, 'select 1 as one'), [{ one: 1 }]);
  await lease.release();
});

test('a killed server is started again for the commands that use it, on its port and with all that it committed', async (t) => {
  const directory = await createdProject(t);
  const lease = await attachEmbeddedServer({ directory });
  const killed = lease.server.pid;
  await queryAs('ecompipe test', lease.connection, 'create table t as select 42 as answer');
  process.kill(killed, 'SIGKILL');
  await until('another server runs', () => lease.server.pid !== killed);
  assert.deepEqual(await queryAs('ecompipe test', lease.connection, 'select answer from t'), [{ answer: 42 }]);
  await lease.release();
  assert.ok(!(await isAlive(lease.server.pid)), 'the lease on the new server counts');
});

test('a lock file whose pid now belongs to another process of the same user does not keep the server from starting', async (t) => {
  const directory = await createdProject(t);
  const owner = await startEmbeddedProcess(directory);
  const pidFile = path.join(directory, 'postgres', 'data', 'postmaster.pid');
  const content = await readFile(pidFile, 'utf8');
  await owner.kill('SIGKILL');
  process.kill(owner.serverPid, 'SIGKILL');
  await until('the server is gone', async () => !(await isAlive(owner.serverPid)));
  const unrelated = spawn('sleep', ['60'], { ...asAccount(await serverAccount()) });
  t.after(() => unrelated.kill());
  await writeFile(pidFile, content.replace(/^\d+/, String(unrelated.pid)));
  const lease = await attachEmbeddedServer({ directory });
  assert.deepEqual(await queryAs('ecompipe test', lease.connection, 'select 1 as one'), [{ one: 1 }]);
  await lease.release();
  assert.equal(unrelated.exitCode, null);
});

test('an empty lock file, left by a server that died at once, is removed', async (t) => {
  const directory = await createdProject(t);
  const first = await attachEmbeddedServer({ directory });
  await first.release();
  const pidFile = path.join(directory, 'postgres', 'data', 'postmaster.pid');
  await writeFile(pidFile, '');
  await utimes(pidFile, 0, 0);
  const second = await attachEmbeddedServer({ directory });
  await second.release();
});

test('an aborted first command ends at once and leaves nothing behind', async (t) => {
  const directory = await embeddedProject(t);
  const stop = new AbortController();
  const attached = attachEmbeddedServer({ directory, signal: stop.signal });
  await until('initdb has begun', async () =>
    (await readdir(directory).catch(() => [])).some((name) => name.startsWith('.postgres-')),
  );
  stop.abort();
  await assert.rejects(attached, { exitCode: 130 });
  // Files of the server that root's account can't use where they are installed are staged here, for the next command.
  assert.deepEqual(
    (await readdir(directory)).filter((name) => !name.startsWith('server-')),
    [],
  );
});

test('a project that is moved while its server runs keeps that server', async (t) => {
  const directory = await embeddedProject(t);
  const moved = await embeddedProject(t);
  const first = await attachEmbeddedServer({ directory });
  await rename(directory, moved);
  const second = await attachEmbeddedServer({ directory: moved });
  assert.equal(second.server.pid, first.server.pid);
  await first.release();
  await second.release();
  assert.ok(!(await isAlive(first.server.pid)));
});

test('the server comes up on another port when its last one is taken', async (t) => {
  const directory = await createdProject(t);
  const first = await attachEmbeddedServer({ directory });
  await first.release();
  const squatter = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => squatter.listen(first.connection.port, '127.0.0.1', resolve));
  t.after(() => squatter.close());
  const second = await attachEmbeddedServer({ directory });
  assert.notEqual(second.connection.port, first.connection.port);
  assert.deepEqual(await queryAs('ecompipe test', second.connection, 'select 1 as one'), [{ one: 1 }]);
  await second.release();
});

test('a server that does not answer is given up after the deadline, and left alone', async (t) => {
  const directory = await createdProject(t);
  const first = await attachEmbeddedServer({ directory });
  process.kill(first.server.pid, 'SIGSTOP');
  await assert.rejects(attachEmbeddedServer({ directory, deadlineMs: 300 }), {
    exitCode: 69,
    message: /not ready after 0\.3 s/,
  });
  process.kill(first.server.pid, 'SIGCONT');
  await first.release();
});

test('a copy of a project whose server runs gets a server of its own', async (t) => {
  const original = await createdProject(t);
  const copy = await embeddedProject(t);
  const lease = await attachEmbeddedServer({ directory: original });
  await promisify(execFile)('cp', ['-a', original, copy]);
  const other = await attachEmbeddedServer({ directory: copy });
  assert.notEqual(other.server.pid, lease.server.pid);
  await queryAs('ecompipe test', other.connection, 'create table only_in_the_copy ()');
  assert.deepEqual(
    await queryAs('ecompipe test', lease.connection, "select to_regclass('only_in_the_copy') as found"),
    [{ found: null }],
  );
  await other.release();
  await lease.release();
});
