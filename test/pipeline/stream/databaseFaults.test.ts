import assert from 'node:assert/strict';
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import type { FailpointName } from '../../../src/platform/failpoint.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { spawnEcompipe, type Running } from '../../helpers/executable.js';
import { mount, noMount, withFileSystem } from '../../helpers/fileSystems.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { startProxy } from '../../helpers/proxy.js';
import { startRestartableServer, type RestartableServer, type Shutdown } from '../../helpers/restartableServer.js';
import { until } from '../../helpers/until.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds, rejectsOf } from './tables.js';
import { namesIn } from '../../helpers/dayFolders.js';

// What happens to the server here happens to all of its databases: so one test after the other, on a server of their own.

const BAD = new Set([3, 21, 40]);
const large = [
  HEADER,
  ...Array.from({ length: 48 }, (_, n) => eventRow(n, BAD.has(n) ? { quantity: '0' } : {})),
  '',
].join('\n');
const expected = Array.from({ length: 48 }, (_, n) => n)
  .filter((n) => !BAD.has(n))
  .map((n) => eventId(n))
  .concat(eventId(100));

let server: RestartableServer;
before(async () => {
  server = await startRestartableServer({ max_connections: '12' });
});
after(() => server.remove());

interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
}

async function setScene(t: TestContext): Promise<Scene> {
  const scene = { database: await migratedDatabase(server), shop: openShop(t, { batchBytes: 1024 }) };
  scene.shop.put('large.csv', large);
  scene.shop.put('small.csv', [HEADER, eventRow(100), ''].join('\n'));
  return scene;
}

/** Starts the executable, telling of every attempt; with a fail-point it stands still there until `child.kill('SIGCONT')`. */
async function startStream(
  t: TestContext,
  { database, shop }: Scene,
  failpoint?: `${FailpointName}:${number}`,
  batchBytes = 1024,
): Promise<Running> {
  const { inputDir, archiveDir, quarantineDir, checkpointDir } = shop.settings;
  const env = {
    ...database.env,
    PROCESSING_PATH: inputDir,
    ARCHIVE_PATH: archiveDir,
    QUARANTINE_PATH: quarantineDir,
    CHECKPOINT_PATH: checkpointDir,
    ...(failpoint === undefined ? {} : { ECOMPIPE_FAILPOINT: `${failpoint}=stop` }),
  };
  const stream = spawnEcompipe(
    t,
    ['stream', '--once', '--batch-bytes', String(batchBytes), '--connections', '1', '--log-level', 'debug'],
    env,
    shop.home,
  );
  if (failpoint !== undefined) await until(`the stream stands still at ${failpoint}`, () => isStopped(stream));
  return stream;
}

function isStopped({ child: { pid, exitCode } }: Running): boolean {
  assert.equal(exitCode, null, 'it has not ended before');
  return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') T ');
}

/** Every good row once, every bad one rejected once, the files disposed of, and the process ended well. */
async function assertWhole({ database, shop }: Scene, stream: Running): Promise<void> {
  const { exitCode, stderr } = await stream.end;
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(await eventIds(database), expected);
  assert.deepEqual(
    (await rejectsOf(database, large)).map(({ line }) => line),
    [...BAD].map((n) => n + 2),
  );
  assert.deepEqual(namesIn(shop.settings.archiveDir), ['large.csv', 'small.csv']);
  await assertLedger(database);
}

const RESTARTS: readonly (readonly [Shutdown, `${FailpointName}:${number}`])[] = [
  ['fast', 'batch-begun:4'],
  ['fast', 'copying:6'],
  ['fast', 'commit-sent:8'],
  ['immediate', 'copying:3'],
  ['immediate', 'ledger-written:4'],
  ['immediate', 'committed:7'],
  ['killed', 'batch-begun:9'],
  ['killed', 'copying:5'],
  ['killed', 'commit-sent:4'],
  ['killed', 'before-archive:1'],
];

for (const [how, moment] of RESTARTS) {
  test(`when the server ends (${how}) at ${moment} and is started again, the stream goes on by itself`, async (t) => {
    const scene = await setScene(t);
    const stream = await startStream(t, scene, moment);
    await server.stop(how);
    stream.child.kill('SIGCONT');
    // It has noticed, and tries; or it is done but for what needs no server.
    await Promise.race([stream.said('trying again').catch(() => undefined), stream.end]);
    await server.start();
    await assertWhole(scene, stream);
  });
}

test('a smart shutdown lets the stream finish what it loads and ends with it', async (t) => {
  const scene = await setScene(t);
  const stream = await startStream(t, scene, 'copying:3');
  const down = server.stop('smart');
  stream.child.kill('SIGCONT');
  await Promise.all([stream.end, down]);
  await server.start();
  await assertWhole(scene, stream);
});

test('a server that comes up only after the stream was started is waited for', async (t) => {
  const scene = await setScene(t);
  await server.stop('fast');
  const stream = await startStream(t, scene);
  await stream.said('trying again');
  await server.start();
  await assertWhole(scene, stream);
});

test('commits that a crash of the server takes back are not in the checkpoint, and are loaded again', async (t) => {
  const { database, shop } = { database: await migratedDatabase(server), shop: openShop(t) };
  shop.put('a.csv', eventFile(0, 100));
  // While nobody writes what is not waited for, the crash is sure to lose it.
  const findWalWriter = async (): Promise<number | undefined> =>
    (await database.query<{ pid: number }>("select pid from pg_stat_activity where backend_type = 'walwriter'"))[0]
      ?.pid;
  const walWriter = await findWalWriter();
  process.kill(walWriter!, 'SIGSTOP');
  // Slow enough for the checkpoint to be written more than once before the next durable commit.
  const proxy = await startProxy(server.port, () => ({ delayMs: 5 }));
  t.after(() => proxy.close());
  const stream = await startStream(t, {
    database: { ...database, env: { ...database.env, POSTGRES_PORT: String(proxy.port) } },
    shop,
  });
  const committed = async (): Promise<number> => (await database.query('select from ecompipe.batches')).length;
  await until('eight batches are committed', async () => (await committed()) >= 8);
  stream.child.kill('SIGKILL');
  await stream.end;
  const before = await committed();
  // One process that dies takes the server along; it starts again by itself.
  process.kill(walWriter!, 'SIGKILL');
  await until(
    'the server has another one',
    async () => ((await findWalWriter().catch(() => undefined)) ?? walWriter) !== walWriter,
  );
  assert.ok((await committed()) < before, 'the crash took commits back');
  await assertLedger(database);
  await load(shop, database, { batchBytes: 2000 });
  assert.deepEqual(
    await eventIds(database),
    Array.from({ length: 100 }, (_, n) => eventId(n)),
  );
  await assertLedger(database);
});

/** Takes all connections that are left; ended by what it returns. */
async function takeAllConnections(database: TestDatabase): Promise<() => Promise<void>> {
  const clients: { end: () => Promise<void> }[] = [];
  try {
    for (;;) clients.push(await database.connect());
  } catch (error) {
    assert.equal((error as { code?: string }).code, '53300');
  }
  return async () => {
    await Promise.all(clients.map((client) => client.end()));
  };
}

test('a server without a free connection (53300) is waited for at the start', async (t) => {
  const scene = await setScene(t);
  const release = await takeAllConnections(scene.database);
  const stream = await startStream(t, scene);
  await stream.said('SQLSTATE 53300');
  await release();
  await assertWhole(scene, stream);
});

test('a server that took its connections away and has none free (53300) is waited for in the middle of a COPY', async (t) => {
  const scene = await setScene(t);
  const stream = await startStream(t, scene, 'copying:4');
  const killer = await scene.database.connect();
  await killer.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'ecompipe'",
  );
  await until(
    'they are gone',
    async () => (await killer.query("select from pg_stat_activity where application_name = 'ecompipe'")).rowCount === 0,
  );
  const release = await takeAllConnections(scene.database);
  stream.child.kill('SIGCONT');
  await stream.said('SQLSTATE 53300');
  await Promise.all([release(), killer.end()]);
  await assertWhole(scene, stream);
});

test('a server that becomes read-only (25006) is waited for, and no row is given up', async (t) => {
  const scene = await setScene(t);
  const admin = await scene.database.connect();
  await admin.query('set default_transaction_read_only = off');
  const setReadOnly = async (value: 'on' | 'off'): Promise<void> => {
    await admin.query(`alter system set default_transaction_read_only = ${value}`);
    await admin.query('select pg_reload_conf()');
  };
  const stream = await startStream(t, scene, 'batch-begun:5');
  await setReadOnly('on');
  stream.child.kill('SIGCONT');
  await stream.said('SQLSTATE 25006').finally(() => setReadOnly('off'));
  await admin.end();
  await assertWhole(scene, stream);
});

test('a server whose disk is full (53100) is waited for until there is room', { skip: noMount }, async (t) => {
  const scene = await setScene(t);
  const disk = temporaryDirectory(t);
  await withFileSystem(disk, 'size=2m', async () => {
    if (server.account !== undefined) chownSync(disk, server.account.uid, server.account.gid);
    await scene.database.query(`create tablespace tiny location '${disk}'`);
    await scene.database.query('alter table public.events set tablespace tiny');
    writeFileSync(path.join(scene.shop.settings.inputDir, 'more.csv'), eventFile(1000, 16_000));
    const stream = await startStream(t, scene, undefined, 2 ** 18);
    await stream.said('SQLSTATE 53100');
    assert.ok(mount(disk, 'remount,size=64m'));
    const { exitCode, stderr } = await stream.end;
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual((await eventIds(scene.database)).length, expected.length + 15_000);
    assert.equal((await rejectsOf(scene.database, large)).length, BAD.size);
    await assertLedger(scene.database);
    // The server could not recover from a crash without it.
    await scene.database.drop();
    await (await migratedDatabase(server)).query('drop tablespace tiny');
  });
});

for (const [what, delayMs, connections] of [
  ['every packet takes 20 ms', 20, 1],
  ['every packet takes 5 ms, over several connections', 5, 4],
] as const) {
  test(`on a slow network (${what}) all arrives, once`, async (t) => {
    const scene = await setScene(t);
    const proxy = await startProxy(scene.database.port, () => ({ delayMs }));
    t.after(() => proxy.close());
    await load(scene.shop, scene.database, { connections }, { via: proxy });
    assert.deepEqual(await eventIds(scene.database), expected);
    await assertLedger(scene.database);
  });
}
