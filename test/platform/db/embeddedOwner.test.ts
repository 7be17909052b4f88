import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { asAccount, serverAccount } from '../../../src/platform/db/embedded/account.js';
import { program } from '../../../src/platform/db/embedded/binaries.js';
import { attachEmbeddedServer } from '../../../src/platform/db/embedded/index.js';
import { usableServerFiles } from '../../../src/platform/db/embedded/staging.js';
import { silentLogger } from '../../../src/platform/log.js';
import { connectAs, createdProject, embeddedProject, queryAs } from '../../helpers/embeddedProject.js';
import { run } from '../../helpers/executable.js';

/** What a superuser may, and whoever gets a statement of theirs run as one. */
const BEYOND = [
  `copy (select 1) to program 'true'`,
  `copy (select 1) to '/tmp/ecompipe-planted'`,
  `select pg_read_file('postmaster.pid')`,
  `create function public.c() returns int language c as 'libc', 'getpid'`,
  `select lo_import('/etc/passwd')`,
  `grant pg_execute_server_program to ecompipe`,
  `grant postgres to ecompipe`,
  `alter role postgres password 'known'`,
  `alter role ecompipe superuser`,
  `create role stronger superuser`,
  `alter system set log_statement = 'all'`,
  `set role postgres`,
];

test('the role of every command owns the embedded database and may do nothing beyond it', async (t) => {
  const directory = await createdProject(t);
  const lease = await attachEmbeddedServer({ directory });
  const { connection } = lease;
  assert.deepEqual(
    await queryAs(
      'ecompipe test',
      connection,
      `select current_user as role, rolsuper, rolreplication, rolbypassrls, pg_get_userbyid(datdba) as owner
       from pg_roles, pg_database where rolname = current_user and datname = current_database()`,
    ),
    [{ role: 'ecompipe', rolsuper: false, rolreplication: false, rolbypassrls: false, owner: 'ecompipe' }],
  );
  for (const statement of BEYOND)
    await assert.rejects(queryAs('ecompipe test', connection, statement), { code: '42501' }, statement);
  const password = (await readFile(path.join(directory, 'postgres', 'superuser-password'), 'utf8')).trim();
  assert.notEqual(password, connection.password);
  const superuser = { ...connection, user: 'postgres', password };
  assert.deepEqual(await queryAs('ecompipe test', superuser, 'select current_user as role'), [{ role: 'postgres' }]);
  await lease.release();
});

test('every command does its work without a superuser', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const other = path.dirname(await embeddedProject(t));
  const expect = async (exitCode: number, at: string, ...args: string[]): Promise<string> => {
    const ended = await run(t, { cwd: at }, ...args);
    assert.equal(ended.exitCode, exitCode, `${args.join(' ')}: ${ended.stdout}${ended.stderr}`);
    return ended.stdout;
  };
  const generated = ['--events', '300', '--batch-size', '100', '--interval', '0', '--until-drained', '--no-dashboard'];
  await expect(0, cwd, 'run-all', ...generated, '--dirt', 'dirty', '--seed', '7');
  await expect(0, cwd, 'migrate', '--roles');
  await expect(0, cwd, 'verify');
  await expect(0, cwd, 'status');
  await expect(0, cwd, 'rejects', 'list');
  const query = `select event_id, (select encode(sha256, 'hex') from ecompipe.files where rows_inserted > 0 limit 1) as sha from public.events limit 1`;
  const [eventId = '', sha = ''] = (await expect(0, cwd, 'db', 'psql', '--', '-Atc', query)).trim().split('|');
  await expect(0, cwd, 'trace', eventId);
  await expect(0, cwd, 'db', 'dump', 'all.dump.gz');
  await expect(0, other, 'db', 'restore', path.join(cwd, 'all.dump.gz'));
  assert.equal((await expect(0, other, 'db', 'psql', '--', '-Atc', query)).split('|')[0], eventId);
  await expect(0, cwd, 'undo', '--file', sha, '--yes');
  await expect(0, cwd, 'prune', '--older-than', '1h', '--yes');
  await expect(
    0,
    cwd,
    'db',
    'psql',
    '--',
    '-qc',
    'drop schema ecompipe, analytics, public cascade; create schema public',
  );
  await expect(0, cwd, 'db', 'psql', '--', '-qc', 'create table public.events (event_id uuid, event_type text)');
  await expect(0, cwd, 'migrate', '--adopt');
});

test('a guest with another role, even the superuser, keeps the server up', async (t) => {
  const directory = await createdProject(t);
  for (const user of ['postgres', 'analyst']) {
    const lease = await attachEmbeddedServer({ directory });
    const password = (await readFile(path.join(directory, 'postgres', 'superuser-password'), 'utf8')).trim();
    if (user === 'analyst')
      await queryAs('ecompipe test', lease.connection, `create role analyst login password '${password}'`);
    const guest = await connectAs('psql', { ...lease.connection, user, password });
    await lease.release();
    assert.equal((await guest.query('select 1')).rowCount, 1, user);
    await guest.end();
    await (await attachEmbeddedServer({ directory })).release();
  }
});

test('no role that somebody made can keep commands out by the lock of leases', async (t) => {
  const directory = await createdProject(t);
  const lease = await attachEmbeddedServer({ directory });
  await queryAs('ecompipe test', lease.connection, `create role analyst login password 'analyst'`);
  const analyst = { ...lease.connection, user: 'analyst', password: 'analyst' };
  const lock = 'select pg_try_advisory_lock_shared(1701015405, 1)';
  // Locks of this kind are of one database, and leases hold theirs in `postgres`.
  assert.equal((await queryAs('psql', analyst, lock)).length, 1);
  await assert.rejects(queryAs('psql', { ...analyst, database: 'postgres' }, lock), { code: '42501' });
  await lease.release();
});

/** A database as versions before 0.2 made it: its superuser is the role that commands connect as. */
async function createOld(directory: string): Promise<void> {
  const account = await serverAccount();
  const home = path.join(directory, 'postgres');
  const [data, passwordFile] = [path.join(home, 'data'), path.join(home, 'password')];
  await mkdir(data, { recursive: true, mode: 0o700 });
  for (const entered of [directory, home]) await chmod(entered, account === undefined ? 0o700 : 0o711);
  await writeFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  if (account !== undefined) for (const given of [data, passwordFile]) await chown(given, account.uid, account.gid);
  const files = await usableServerFiles(directory, account, silentLogger);
  const args = ['-D', data, '-U', 'ecompipe', '--pwfile', passwordFile, '-A', 'scram-sha-256', '-E', 'UTF8', '-N'];
  await promisify(execFile)(program(files, 'initdb'), [...args, '--locale=C'], { cwd: data, ...asAccount(account) });
  if (account !== undefined) await chown(passwordFile, 0, 0);
}

test('a database whose role is the superuser, as earlier versions made it, works as before, and db status says how to change that', async (t) => {
  const directory = await embeddedProject(t);
  const cwd = path.dirname(directory);
  await createOld(directory);
  const migrated = await run(t, { cwd }, 'migrate', '--roles');
  assert.equal(migrated.exitCode, 0, migrated.stderr);
  const generated = ['--events', '20', '--interval', '0', '--until-drained', '--no-dashboard'];
  const loaded = await run(t, { cwd }, 'run-all', ...generated);
  assert.equal(loaded.exitCode, 0, loaded.stderr);
  const status = await run(t, { cwd }, 'db', 'status');
  assert.match(status.stdout, /^to do +commands connect as a superuser.*db dump FILE.*db restore FILE/m);
  assert.equal((await run(t, { cwd }, 'db', 'dump', 'old.dump.gz')).exitCode, 0);
  await rm(path.join(directory, 'postgres'), { recursive: true });
  const restored = await run(t, { cwd }, 'db', 'restore', 'old.dump.gz');
  assert.equal(restored.exitCode, 0, restored.stderr);
  assert.doesNotMatch((await run(t, { cwd }, 'db', 'status')).stdout, /to do/);
  const count = ['db', 'psql', '--', '-Atc', 'select count(*) from public.events'];
  assert.equal((await run(t, { cwd }, ...count)).stdout, '20\n');
});
