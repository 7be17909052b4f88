import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import {
  attachEmbeddedServer,
  embeddedUrl,
  startEmbedded,
  stopEmbedded,
  withEmbeddedServer,
} from '../../../src/platform/db/embedded/index.js';
import { AlreadyRunningError } from '../../../src/platform/errors.js';
import { connectAs, createdProject, embeddedProject, isAlive, queryAs } from '../../helpers/embeddedProject.js';
import { startEmbeddedProcess } from '../../helpers/embeddedProcess.js';
import { until } from '../../helpers/until.js';

test('the first command creates a durable UTF-8 database that only we can log in to', async (t) => {
  const directory = await embeddedProject(t);
  const lease = await attachEmbeddedServer({ directory });
  const settings = await queryAs(
    'ecompipe test',
    lease.connection,
    `select current_database() as database, current_setting('server_encoding') as encoding,
    current_setting('fsync') as fsync, current_setting('synchronous_commit') as sync, current_setting('full_page_writes') as pages,
    current_setting('listen_addresses') as listens, current_setting('unix_socket_directories') as sockets`,
  );
  assert.deepEqual(settings, [
    { database: 'ecompipe', encoding: 'UTF8', fsync: 'on', sync: 'on', pages: 'on', listens: '127.0.0.1', sockets: '' },
  ]);
  assert.equal((await stat(path.join(directory, 'postgres', 'password'))).mode & 0o777, 0o600);
  await assert.rejects(queryAs('ecompipe test', { ...lease.connection, password: 'guess' }, 'select 1'), {
    code: '28P01',
  });
  await lease.release();
});

test('a second command attaches to the running server, and only the last one out stops it', async (t) => {
  const directory = await createdProject(t);
  const first = await startEmbeddedProcess(directory);
  const second = await startEmbeddedProcess(directory);
  assert.equal(second.serverPid, first.serverPid);
  assert.equal(await first.leave(), 0);
  assert.deepEqual(await queryAs('ecompipe test', second.connection, 'select 1 as one'), [{ one: 1 }]);
  assert.equal(await second.leave(), 0);
  assert.ok(!(await isAlive(first.serverPid)));
});

test('first commands at once share one database', async (t) => {
  const directory = await embeddedProject(t);
  const processes = await Promise.all([1, 2, 3, 4].map(() => startEmbeddedProcess(directory)));
  assert.equal(new Set(processes.map(({ serverPid }) => serverPid)).size, 1);
  assert.equal(new Set(processes.map(({ connection }) => connection.password)).size, 1);
  assert.deepEqual(await readdir(directory), ['postgres']);
  assert.deepEqual(await Promise.all(processes.map(({ leave }) => leave())), [0, 0, 0, 0]);
  assert.ok(!(await isAlive(processes[0]!.serverPid)));
});

test('commands that come and go at the same time always find a server they can use', async (t) => {
  const directory = await createdProject(t);
  let last = 0;
  const commands = async (): Promise<void> => {
    for (let round = 0; round < 6; round++) {
      const lease = await attachEmbeddedServer({ directory });
      last = lease.server.pid;
      assert.deepEqual(await queryAs('ecompipe test', lease.connection, 'select 1 as one'), [{ one: 1 }]);
      await lease.release();
    }
  };
  await Promise.all([commands(), commands(), commands()]);
  assert.ok(!(await isAlive(last)), 'the last one out stopped it');
});

test('a kept server outlives its commands until it is stopped, and starting or stopping it twice is fine', async (t) => {
  const directory = await createdProject(t);
  const { port } = await startEmbedded({ directory });
  assert.equal((await startEmbedded({ directory })).port, port);
  const pid = await withEmbeddedServer({ directory }, (_connection, { server }) => Promise.resolve(server.pid));
  assert.ok(await isAlive(pid));
  assert.equal(await stopEmbedded({ directory }), true);
  assert.ok(!(await isAlive(pid)));
  assert.equal(await stopEmbedded({ directory }), false);
});

test('the last one out leaves the server to a connected psql, and the next last one stops it', async (t) => {
  const directory = await createdProject(t);
  const first = await attachEmbeddedServer({ directory });
  const guest = await connectAs('psql', first.connection);
  await first.release();
  assert.equal((await guest.query('select 1')).rowCount, 1);
  const second = await attachEmbeddedServer({ directory });
  assert.equal(second.server.pid, first.server.pid);
  await guest.end();
  const guests = "select 1 from pg_stat_activity where application_name = 'psql'";
  await until(
    'the server has noticed that the guest left',
    async () => (await queryAs('ecompipe test', second.connection, guests)).length === 0,
  );
  await second.release();
  assert.ok(!(await isAlive(second.server.pid)));
});

test('a server in use is not stopped without force; with it, its commands are told and do not start it again', async (t) => {
  const directory = await createdProject(t);
  const user = await startEmbeddedProcess(directory);
  await assert.rejects(stopEmbedded({ directory }), (error: unknown) => {
    assert.ok(error instanceof AlreadyRunningError);
    assert.equal(error.exitCode, 5);
    assert.match(error.message, new RegExp(`\\b${user.child.pid}\\b`));
    return true;
  });
  assert.ok(await isAlive(user.serverPid));
  assert.equal(await stopEmbedded({ directory, force: true }), true);
  assert.ok(!(await isAlive(user.serverPid)));
  assert.equal(await user.leave(), 0);
  assert.equal(await stopEmbedded({ directory }), false);
});

test('psql connects with the printed URL', async (t) => {
  const directory = await createdProject(t);
  const url = await embeddedUrl({ directory });
  const { stdout } = await promisify(execFile)('psql', [url, '-Atc', 'select current_user']);
  assert.equal(stdout, 'ecompipe\n');
});

test('a dropped database is created again, empty', async (t) => {
  const directory = await createdProject(t);
  const first = await attachEmbeddedServer({ directory });
  await queryAs('ecompipe test', { ...first.connection, database: 'postgres' }, 'drop database ecompipe');
  const second = await attachEmbeddedServer({ directory });
  assert.deepEqual(await queryAs('ecompipe test', second.connection, 'select 1 as one'), [{ one: 1 }]);
  await second.release();
  await first.release();
});

test('an aborted attach ends at once with exit code 130', async (t) => {
  const directory = await embeddedProject(t);
  await assert.rejects(attachEmbeddedServer({ directory, signal: AbortSignal.abort() }), { exitCode: 130 });
});

test("the user's PG* settings for another server do not reach the embedded one", async (t) => {
  const directory = await createdProject(t);
  const planted = {
    PGSSLMODE: 'require',
    PGOPTIONS: '-c default_transaction_read_only=on',
    PGSSLNEGOTIATION: 'direct',
  };
  Object.assign(process.env, planted);
  t.after(() => {
    for (const name of Object.keys(planted)) Reflect.deleteProperty(process.env, name);
  });
  const lease = await attachEmbeddedServer({ directory });
  await lease.release();
});
