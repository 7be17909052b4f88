import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { attachEmbeddedServer, stopEmbedded } from '../../../src/platform/db/embedded/index.js';
import { openCluster } from '../../../src/platform/db/embedded/cluster.js';
import { openSession } from '../../../src/platform/db/embedded/session.js';
import { createdProject, embeddedProject } from '../../helpers/embeddedProject.js';
import { run } from '../../helpers/executable.js';
import { temporaryDirectory } from '../files/directories.js';

const isRoot = process.getuid?.() === 0;
const needsRoot = { skip: isRoot ? false : 'needs root' };
const NOBODY = 65_534;
const MALLORY = 54_321;

/** A file of root's that nobody else may read, and how it is found later when nobody touched it. */
async function secretFile(t: TestContext): Promise<{ file: string; assertUntouched: () => Promise<void> }> {
  const file = path.join(temporaryDirectory(t), 'shadow');
  await writeFile(file, 'root:secret\n', { mode: 0o600 });
  const before = await lstat(file);
  return {
    file,
    assertUntouched: async () => {
      const { uid, mode, mtimeMs, nlink } = await lstat(file);
      assert.deepEqual([uid, mode, mtimeMs, nlink], [before.uid, before.mode, before.mtimeMs, 1]);
      assert.equal(await readFile(file, 'utf8'), 'root:secret\n');
    },
  };
}

/** Does something with a path that is somebody else's meanwhile. */
async function whileOwnedByMallory(owned: string, action: () => Promise<void>): Promise<void> {
  await lchown(owned, MALLORY, MALLORY);
  try {
    await action();
  } finally {
    await lchown(owned, 0, 0);
  }
}

const PLANTED = ['server.log', 'password', 'port', 'holder.json', 'kept', 'stopped'];

for (const [owned, at] of [
  ['.ecompipe', '.'],
  ['the directory that .ecompipe is in', '..'],
  ['the database in .ecompipe', 'postgres'],
] as const) {
  test(
    `when ${owned} belongs to somebody else, every command of root ends with exit code 77 and touches nothing`,
    needsRoot,
    async (t) => {
      const directory = await createdProject(t);
      const { file, assertUntouched } = await secretFile(t);
      const home = path.join(directory, 'postgres');
      await rename(home, `${home}.aside`);
      await mkdir(path.join(home, 'data'), { recursive: true });
      for (const name of PLANTED) await symlink(file, path.join(home, name));
      await whileOwnedByMallory(path.join(directory, at), async () => {
        for (const command of [
          ['stream', '--once'],
          ['db', 'url'],
          ['db', 'stop', '--force'],
          ['migrate'],
          ['status'],
        ]) {
          const { exitCode, stdout, stderr } = await run(t, { cwd: path.dirname(directory) }, ...command);
          const name = command.join(' ');
          assert.equal(exitCode, 77, `${name}: ${stdout}${stderr}`);
          assert.match(stdout + stderr, /belongs to the user id 54321, and this is root/, name);
          assert.match(stdout + stderr, /ECOMPIPE_EMBEDDED_DIR/, name);
          assert.doesNotMatch(stdout + stderr, /secret/, name);
        }
      });
      assert.deepEqual((await readdir(home)).sort(), [...PLANTED, 'data'].sort());
      await assertUntouched();
      await rm(home, { recursive: true });
    },
  );
}

test(
  'root creates no database below a directory of somebody else, or behind a link of theirs',
  needsRoot,
  async (t) => {
    const directory = await embeddedProject(t);
    const parent = path.dirname(directory);
    await whileOwnedByMallory(parent, async () => {
      for (const place of [directory, path.join(parent, 'a', '.ecompipe')])
        await assert.rejects(attachEmbeddedServer({ directory: place }), { exitCode: 77 });
    });
    assert.deepEqual(await readdir(parent), []);
    const elsewhere = temporaryDirectory(t);
    await symlink(elsewhere, directory);
    await whileOwnedByMallory(directory, () => assert.rejects(attachEmbeddedServer({ directory }), { exitCode: 77 }));
    assert.deepEqual(await readdir(elsewhere), []);
  },
);

test('a directory that everybody may write to holds no database of ours', async (t) => {
  const directory = await createdProject(t);
  await chmod(directory, 0o777);
  await assert.rejects(attachEmbeddedServer({ directory }), { exitCode: 77, message: /everybody may write to it/ });
  await chmod(directory, 0o711);
});

test('a user works in a directory that root made, and not in one of somebody else', needsRoot, async (t) => {
  const parent = path.dirname(await embeddedProject(t));
  await mkdir(path.join(parent, 'theirs'));
  await chown(path.join(parent, 'theirs'), MALLORY, MALLORY);
  await chmod(path.join(parent, 'theirs'), 0o777);
  await chmod(parent, 0o1777);
  const theirs = await run(t, { cwd: path.join(parent, 'theirs'), uid: NOBODY }, 'migrate');
  assert.equal(theirs.exitCode, 77, theirs.stderr);
  const own = await run(t, { cwd: parent, uid: NOBODY }, 'migrate');
  assert.equal(own.exitCode, 0, own.stderr);
  // Root would be trusting them with what it may.
  const root = await run(t, { cwd: parent }, 'migrate');
  assert.equal(root.exitCode, 77, root.stderr);
  await rm(path.join(parent, '.ecompipe'), { recursive: true });
});

for (const name of ['server.log', 'password', 'holder.json', 'data/PG_VERSION', 'data/postmaster.pid']) {
  for (const [kind, plant] of [
    ['a link', symlink],
    ['a FIFO', fifo],
    ...(name === 'server.log' ? [['another name', link] as const] : []),
  ] as const) {
    test(`${kind} in the place of ${name} is not followed: the server is not started`, needsRoot, async (t) => {
      const directory = await createdProject(t);
      const { file, assertUntouched } = await secretFile(t);
      const place = path.join(directory, 'postgres', name);
      await rename(place, `${place}.aside`).catch(() => undefined);
      await plant(file, place);
      await assert.rejects(attachEmbeddedServer({ directory }), (error: Error & { exitCode: number }) => {
        assert.equal(error.exitCode, 77, String(error));
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
      await rm(place);
      await rename(`${place}.aside`, place).catch(() => undefined);
      await assertUntouched();
    });
  }
}

test('what lies under the former temporary names is neither written to nor followed', needsRoot, async (t) => {
  const directory = await createdProject(t);
  const { file, assertUntouched } = await secretFile(t);
  for (const name of ['port', 'kept', 'stopped'])
    await symlink(file, path.join(directory, 'postgres', `${name}.${process.pid}`));
  await rm(path.join(directory, 'postgres', 'port'), { force: true });
  const lease = await attachEmbeddedServer({ directory });
  await lease.release();
  await assertUntouched();
});

test('a false server that asks for the password in clear text or by MD5 does not get it', async (t) => {
  const directory = await createdProject(t);
  const cluster = (await openCluster(directory))!;
  for (const method of [3, 5]) {
    let said = '';
    const server = createServer((socket) => {
      socket.on('error', () => undefined).on('data', (data) => (said += data.toString('latin1')));
      const request = Buffer.alloc(method === 5 ? 13 : 9);
      request.write('R');
      request.writeInt32BE(request.length - 1, 1);
      request.writeInt32BE(method, 5);
      socket.write(request);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const running = { pid: process.pid, startedAtSec: 0, port, status: 'ready' } as const;
    const session = openSession(cluster, running, AbortSignal.timeout(5000), () => Promise.resolve());
    await assert.rejects(session, /asks for authentication/);
    server.close();
    assert.doesNotMatch(said, new RegExp(`${cluster.password}|md5[0-9a-f]{32}`));
  }
});

test('whatever the umask, what is in .ecompipe is for its owner alone', async (t) => {
  const directory = await embeddedProject(t);
  const cwd = path.dirname(directory);
  const old = process.umask(0);
  t.after(() => process.umask(old));
  const { exitCode, stderr } = await run(t, { cwd }, 'migrate');
  assert.equal(exitCode, 0, stderr);
  assert.equal((await run(t, { cwd }, 'db', 'start')).exitCode, 0);
  const modes: string[] = [];
  for (const entry of ['.', ...(await readdir(directory, { recursive: true }))]) {
    const { mode } = await lstat(path.join(directory, entry));
    // Root's server runs under another account, which must pass through to its data. It is PostgreSQL that is in data/.
    const allowed = isRoot && ['.', 'postgres'].includes(entry) ? 0o711 : 0o700;
    if ((mode & 0o777 & ~allowed) !== 0) modes.push(`${entry} ${(mode & 0o777).toString(8)}`);
  }
  assert.deepEqual(modes, []);
  await stopEmbedded({ directory, force: true });
});

function fifo(_target: string, place: string): Promise<void> {
  spawnSync('mkfifo', [place]);
  return Promise.resolve();
}
