import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, cp, lstat, mkdtemp, readFile, readlink, realpath, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { asAccount, canReach, parsePasswd, serverAccount } from '../../../src/platform/db/embedded/account.js';
import {
  findServerFiles,
  program,
  repairServerFiles,
  type ServerFiles,
} from '../../../src/platform/db/embedded/binaries.js';
import { attachEmbeddedServer } from '../../../src/platform/db/embedded/index.js';
import { serverSettings } from '../../../src/platform/db/embedded/server.js';
import { usableServerFiles, withShellSafeFiles } from '../../../src/platform/db/embedded/staging.js';
import { createLogger, silentLogger } from '../../../src/platform/log.js';
import { embeddedProject, queryAs } from '../../helpers/embeddedProject.js';

const needsRoot = { skip: process.getuid?.() === 0 ? false : 'needs root' };

test('it works in a directory with a space, quotes, a dollar sign and an umlaut in its name', async (t) => {
  const directory = await embeddedProject(t, { name: `Büro "l'été" $HOME` });
  for (const round of ['created', 'started again']) {
    const lease = await attachEmbeddedServer({ directory });
    assert.deepEqual(await queryAs('ecompipe test', lease.connection, `select '${round}' as round`), [{ round }]);
    await lease.release();
  }
});

test(
  'as root below a directory that is closed to others, the data goes elsewhere, and one log line says so',
  needsRoot,
  async (t) => {
    const directory = await embeddedProject(t, { mode: 0o700 });
    const lines: string[] = [];
    const log = createLogger({ level: 'info', format: 'json', color: false }, (line) => lines.push(line));
    for (let round = 0; round < 2; round++) {
      const lease = await attachEmbeddedServer({ directory, log });
      assert.deepEqual(await queryAs('ecompipe test', lease.connection, 'select 1 as one'), [{ one: 1 }]);
      await lease.release();
    }
    const home = await readlink(path.join(directory, 'postgres'));
    assert.equal((await stat(path.join(home, 'password'))).mode & 0o777, 0o600);
    assert.equal((await stat(path.join(home, 'password'))).uid, 0);
    const said = lines
      .map((line) => JSON.parse(line) as { event: string; message: string })
      .filter(({ event }) => event === 'database_elsewhere');
    assert.equal(said.length, 1);
    assert.match(said[0]!.message, /links to it/);
  },
);

test('commands of root that start at once below a closed directory share one database', needsRoot, async (t) => {
  const directory = await embeddedProject(t, { mode: 0o700 });
  const leases = await Promise.all([1, 2, 3].map(() => attachEmbeddedServer({ directory })));
  assert.equal(new Set(leases.map(({ server }) => server.pid)).size, 1);
  await Promise.all(leases.map(({ release }) => release()));
});

test('a link that leads to lost data is an error that says what to do, not an empty database', needsRoot, async (t) => {
  const directory = await embeddedProject(t, { mode: 0o700 });
  const lease = await attachEmbeddedServer({ directory });
  await lease.release();
  await rm(await realpath(path.join(directory, 'postgres')), { recursive: true });
  await assert.rejects(attachEmbeddedServer({ directory }), { exitCode: 74, message: /remove the link/ });
});

test('library links and exec bits that npm did not make are made', async (t) => {
  const files = await installation(t, { mode: 0o755 });
  assert.ok(await repairServerFiles(files));
  assert.ok((await lstat(path.join(files.root, 'lib', 'libpq.so.5'))).isSymbolicLink());
  assert.match(await version(files), /^initdb \(PostgreSQL\)/);
});

test('server files that the account can not reach are copied to where it can, once', needsRoot, async (t) => {
  const files = await installation(t, { mode: 0o700 });
  const place = await scratch(t);
  const account = await serverAccount();
  const [first, second] = await Promise.all([1, 2].map(() => usableServerFiles(place, account, silentLogger, files)));
  assert.equal(path.dirname(first!.root), place);
  assert.equal(second!.root, first!.root);
  assert.ok(await canReach(path.join(first!.root, 'bin'), account));
  assert.match(await version(first!), /^initdb \(PostgreSQL\)/);
});

test('initdb never sees a path that its shell would read otherwise', async (t) => {
  const parent = await scratch(t);
  const files: ServerFiles = { root: path.join(parent, 'a "quoted" $HOME'), version: '18' };
  await cp((await findServerFiles()).root, files.root, { recursive: true, verbatimSymlinks: true });
  const seen = await withShellSafeFiles(files, await serverAccount(), async (safe) => {
    assert.match(await version(safe), /^initdb \(PostgreSQL\)/);
    return safe.root;
  });
  assert.doesNotMatch(seen, /["$]/);
  await assert.rejects(stat(seen), { code: 'ENOENT' });
});

test('an account never is root under another name', () => {
  const accounts = parsePasswd('toor:x:0:0::/root:/bin/sh\npostgres:x:70:71::/var/lib/postgresql:/bin/sh\nbroken\n');
  assert.deepEqual([...accounts.keys()], ['postgres']);
  assert.deepEqual(asAccount(accounts.get('postgres')), { uid: 70, gid: 71 });
});

test('settings fit small and large machines', () => {
  const tiny = serverSettings({ memoryBytes: 256 * 2 ** 20, freeDiskBytes: 2 ** 30 }, 5432);
  assert.equal(tiny['shared_buffers'], '32MB');
  assert.equal(tiny['max_wal_size'], '256MB');
  const large = serverSettings({ memoryBytes: 2 ** 38, freeDiskBytes: 2 ** 42 }, 5432);
  assert.equal(large['shared_buffers'], '1024MB');
  assert.equal(large['max_wal_size'], '4096MB');
});

/** A copy of the installed server files as npm leaves them without install scripts: no links, no exec bits. */
async function installation(t: TestContext, { mode }: { mode: number }): Promise<ServerFiles> {
  const installed = await findServerFiles();
  const parent = await scratch(t);
  const root = path.join(parent, 'native');
  await cp(installed.root, root, { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(await readFile(path.join(root, 'pg-symlinks.json'), 'utf8')) as { target: string }[];
  for (const { target } of links) await rm(path.join(parent, target), { force: true });
  for (const name of ['postgres', 'initdb'] as const) await chmod(program({ ...installed, root }, name), 0o644);
  await chmod(parent, mode);
  return { ...installed, root };
}

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'ecompipe-files-'));
  await chmod(directory, 0o755);
  t.after(() => rm(directory, { recursive: true, force: true }));
  return await realpath(directory);
}

/** Runs initdb as the server's account: it needs its libraries even to say its version. */
async function version(files: ServerFiles): Promise<string> {
  const { stdout } = await promisify(execFile)(program(files, 'initdb'), ['--version'], {
    cwd: '/',
    ...asAccount(await serverAccount()),
  });
  return stdout;
}
