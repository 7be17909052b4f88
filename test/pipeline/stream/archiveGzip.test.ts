import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { copyName } from '../../../src/platform/files/gzipCopy.js';
import { remakeRows } from '../../../src/pipeline/stream/feeds/remakeRows.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { traceEvent } from '../../../src/pipeline/trace/runTrace.js';
import { runUndo } from '../../../src/pipeline/undo/runUndo.js';
import type { UndoResult } from '../../../src/pipeline/undo/types.js';
import { withConnection } from '../../../src/platform/db/target.js';
import { directoryElsewhere, noSecondFileSystem } from '../../platform/files/directories.js';
import { namesIn, pathIn } from '../../helpers/dayFolders.js';
import { eventFile, eventId } from '../../helpers/events.js';
import { run, spawnEcompipe } from '../../helpers/executable.js';
import { noMount, withFileSystem } from '../../helpers/fileSystems.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));
const archived = ({ settings }: Shop): string[] => namesIn(settings.archiveDir);
const contentOf = ({ settings }: Shop, name: string): string =>
  gunzipSync(readFileSync(pathIn(settings.archiveDir, name))).toString();

const flags = ({ settings }: Shop): string[] => [
  ...['--input-dir', settings.inputDir, '--archive-dir', settings.archiveDir],
  ...['--quarantine-dir', settings.quarantineDir, '--checkpoint', settings.checkpointDir],
];

async function undo(shop: Shop, database: TestDatabase, file: string): Promise<UndoResult> {
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  return await onDatabase(database, {}, (to) =>
    runUndo({ file, batchId: undefined, dryRun: false, ...places }, to, remakeRows),
  );
}

async function copyOf(database: TestDatabase): Promise<TestDatabase> {
  const server = await startTestServer();
  return await server.createDatabase({ template: database.database });
}

test('loaded files are archived compressed, with their times; what came compressed stays as it came', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true, batchBytes: 16 * 1024 });
  const [small, large] = [eventFile(0, 50), eventFile(1000, 4000)];
  const delivered = gzipSync(eventFile(50, 100));
  utimesSync(shop.put('small.csv', small), 1_700_000_000, 1_700_000_000);
  shop.put('large.csv', large);
  shop.put('delivered.csv.gz', delivered);
  await load(shop, database);
  assert.deepEqual(archived(shop), ['delivered.csv.gz', 'large.csv.gz', 'small.csv.gz']);
  assert.deepEqual(readdirSync(shop.settings.inputDir), []);
  assert.deepEqual([contentOf(shop, 'small.csv.gz'), contentOf(shop, 'large.csv.gz')], [small, large]);
  assert.ok(readFileSync(pathIn(shop.settings.archiveDir, 'delivered.csv.gz')).equals(delivered));
  assert.equal(statSync(pathIn(shop.settings.archiveDir, 'small.csv.gz')).mtimeMs, 1_700_000_000_000);
  const gzip = spawnSync('gzip', ['-dc', pathIn(shop.settings.archiveDir, 'large.csv.gz')], { encoding: 'utf8' });
  assert.deepEqual([gzip.status, gzip.stdout, gzip.stderr], [0, large, ''], 'other programs read it, too');
  assert.deepEqual(await eventIds(database), [...ids(0, 100), ...ids(1000, 4000)]);
  await assertLedger(database);
});

test('a name that is taken gets a number, and the same file once more is archived once', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true });
  const delivered = gzipSync(eventFile(0, 50));
  shop.put('a.csv.gz', delivered);
  await load(shop, database);
  for (const content of [eventFile(100, 150), eventFile(200, 250), eventFile(200, 250)]) {
    shop.put('a.csv', content);
    await load(shop, database);
  }
  assert.deepEqual(archived(shop), ['a.1.csv.gz', 'a.2.csv.gz', 'a.csv.gz']);
  assert.deepEqual(
    [contentOf(shop, 'a.1.csv.gz'), contentOf(shop, 'a.2.csv.gz')],
    [eventFile(100, 150), eventFile(200, 250)],
  );
  assert.ok(readFileSync(pathIn(shop.settings.archiveDir, 'a.csv.gz')).equals(delivered));
});

for (const batchBytes of [8 * 2 ** 20, 1024]) {
  test(`a compressed copy that is put back into processing/ is the file that it was made of, in batches of ${batchBytes} bytes`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { archiveGzip: true, batchBytes });
    const content = eventFile(0, 300);
    shop.put('a.csv', content);
    await load(shop, database);
    const putBack = (): void =>
      renameSync(pathIn(shop.settings.archiveDir, 'a.csv.gz'), path.join(shop.settings.inputDir, 'a.csv.gz'));
    putBack();
    const again = await load(shop, database);
    assert.deepEqual([again.filesLoaded, again.filesRedelivered], [0, 1]);
    assert.deepEqual((await undo(shop, database, 'a.csv')).files, [
      {
        name: 'a.csv',
        sha256: createHash('sha256').update(content).digest('hex'),
        path: pathIn(shop.settings.archiveDir, 'a.csv.gz'),
        isWaiting: false,
      },
    ]);
    putBack();
    assert.equal((await load(shop, database)).filesLoaded, 1);
    shop.put('a.csv', content);
    const last = await load(shop, database);
    assert.deepEqual([last.filesLoaded, last.filesRedelivered], [0, 1], 'known by its own bytes, too');
    assert.deepEqual(await eventIds(database), ids(0, 300));
    assert.deepEqual(await database.query("select encode(sha256, 'hex') as sha from ecompipe.files"), [
      { sha: createHash('sha256').update(content).digest('hex') },
    ]);
    await assertLedger(database);
  });
}

test('undo of a file that shares its batch, and trace, read the compressed copy', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true });
  shop.put('a.csv', eventFile(0, 50));
  shop.put('b.csv', eventFile(100, 150));
  await load(shop, database);
  const { event } = await onDatabase(database, {}, (target) =>
    withConnection(target, 'cannot trace', (connection) =>
      traceEvent(connection, eventId(112), [shop.settings.archiveDir, shop.settings.inputDir]),
    ),
  );
  assert.deepEqual(
    event?.origins.map(({ file, line }) => [file, line]),
    [['b.csv', 14]],
  );
  const { eventsRemoved, files } = await undo(shop, database, 'b.csv');
  assert.deepEqual([eventsRemoved, files[0]?.path], [50, pathIn(shop.settings.archiveDir, 'b.csv.gz')]);
  assert.deepEqual(await eventIds(database), ids(0, 50));
});

test('verify proves what was archived compressed, and names the rows that are missing', async (t) => {
  const database = await migratedDatabase();
  const { home } = openShop(t);
  const options = { cwd: home, env: database.env };
  const generated = await run(t, options, 'generate', '--events', '300', '--batch-size', '100', '--interval', '0');
  assert.equal(generated.exitCode, 0, generated.stderr);
  assert.equal((await run(t, options, 'move', '--once', '--settle', '0')).exitCode, 0);
  const streamed = await run(t, options, 'stream', '--once', '--archive-gzip');
  assert.equal(streamed.exitCode, 0, streamed.stderr);
  assert.ok(namesIn(path.join(home, 'data/archive')).every((name) => name.endsWith('.csv.gz')));
  assert.equal((await run(t, options, 'verify')).exitCode, 0);
  const [row] = await database.query<{ id: string }>(
    'delete from public.events where event_id = (select event_id from public.events limit 1) returning event_id as id',
  );
  const verified = await run(t, options, 'verify');
  assert.equal(verified.exitCode, 7);
  assert.match(verified.stdout, new RegExp(row?.id ?? ''));
});

test('a database that was restored gets the files back from the archive as they were delivered', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true });
  shop.put('before.csv', eventFile(0, 50));
  shop.put('out.csv', eventFile(500, 550));
  await load(shop, database, { archiveGzip: false });
  assert.equal((await undo(shop, database, 'out.csv')).outcome, 'undone');
  const restored = await copyOf(database);
  // It compresses what an earlier run left: out.csv has a new inode then, later than it was taken out.
  shop.put('after.csv', eventFile(100, 150));
  await load(shop, database);
  assert.deepEqual(archived(shop), ['after.csv.gz', 'before.csv.gz', 'out.csv.gz']);
  const names: unknown[] = [];
  const result = await load(
    shop,
    restored,
    { reloadFromArchive: true },
    {
      onEvent: (event) =>
        event.type === 'filesReturned' && names.push(event.files, readdirSync(shop.settings.inputDir)),
    },
  );
  assert.deepEqual(names, [1, ['after.csv']]);
  assert.equal(result.filesLoaded, 1);
  assert.deepEqual(await eventIds(restored), [...ids(0, 50), ...ids(100, 150)]);
  assert.deepEqual(archived(shop), ['after.csv.gz', 'before.csv.gz', 'out.csv.gz']);
  await assertLedger(restored);
});

/** Each moment of archiving and compressing three files. */
const KILLS = [
  'before-archive:2',
  'after-archive:1',
  'after-archive:3',
  'move-copying:1',
  'move-copying:3',
  'move-copied:1',
  'move-copied:3',
  'move-published:1',
  'move-published:3',
  ...[1, 2, 3, 4, 5, 6].map((pass) => `move-linked:${pass}`),
];

describe('killed while it compresses', { concurrency: 2 }, () => {
  for (const moment of KILLS)
    test(`at ${moment}, the next stream goes on: each file is archived once, compressed, and nothing is left over`, async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t, { archiveGzip: true });
      const files = { 'a.csv': eventFile(0, 50), 'b.csv': eventFile(100, 150), 'c.csv': eventFile(200, 250) };
      for (const [name, content] of Object.entries(files)) shop.put(name, content);
      const env = { ...database.env, ECOMPIPE_FAILPOINT: `${moment}=kill` };
      const killed = await spawnEcompipe(t, ['stream', '--once', '--archive-gzip', ...flags(shop)], env, shop.home).end;
      assert.equal(killed.signal, 'SIGKILL', killed.stderr);
      await load(shop, database);
      assert.deepEqual(await eventIds(database), [...ids(0, 50), ...ids(100, 150), ...ids(200, 250)]);
      assert.deepEqual(archived(shop), Object.keys(files).map(copyName), 'hidden ones would show, too');
      for (const [name, content] of Object.entries(files)) assert.equal(contentOf(shop, copyName(name)), content);
      assert.deepEqual(readdirSync(shop.settings.inputDir), []);
      await assertLedger(database);
    });
});

for (const moment of ['move-copying', 'move-copied', 'move-linked', 'move-published'])
  test(`killed at ${moment} while it puts a compressed file back, --reload-from-archive goes on`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { archiveGzip: true });
    const restored = await copyOf(database);
    shop.put('a.csv', eventFile(0, 50));
    await load(shop, database);
    const env = { ...restored.env, ECOMPIPE_FAILPOINT: `${moment}=kill` };
    const args = ['stream', '--once', '--archive-gzip', '--reload-from-archive', ...flags(shop)];
    const killed = await spawnEcompipe(t, args, env, shop.home).end;
    assert.equal(killed.signal, 'SIGKILL', killed.stderr);
    assert.deepEqual(await eventIds(restored), []);
    assert.equal((await load(shop, restored, { reloadFromArchive: true })).filesLoaded, 1);
    assert.deepEqual(await eventIds(restored), ids(0, 50));
    assert.deepEqual(archived(shop), ['a.csv.gz']);
    assert.equal(contentOf(shop, 'a.csv.gz'), eventFile(0, 50));
    assert.deepEqual(readdirSync(shop.settings.inputDir), []);
    await assertLedger(restored);
  });

test('an archive on another file system is compressed there', { skip: noSecondFileSystem }, async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true, archiveDir: path.join(directoryElsewhere(t), 'archive') });
  shop.put('a.csv', eventFile(0, 50));
  await load(shop, database);
  assert.deepEqual(archived(shop), ['a.csv.gz']);
  assert.equal(contentOf(shop, 'a.csv.gz'), eventFile(0, 50));
});

test(
  'what there is no room to compress stays as it is, is told once, and is compressed when there is',
  { skip: noMount },
  async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { archiveGzip: true });
    // In tmpfs each file takes whole pages: the archived file fits, not one more beside it.
    const content = eventFile(0, 200);
    const pages = Math.ceil(content.length / 4096);
    await withFileSystem(shop.settings.archiveDir, `size=${4 * pages}k`, async () => {
      shop.put('a.csv', content);
      const events: StreamEvent[] = [];
      const listen = { onEvent: (event: StreamEvent): void => void events.push(event) };
      assert.equal((await load(shop, database, {}, listen)).filesLoaded, 1);
      assert.deepEqual(archived(shop), ['a.csv']);
      assert.deepEqual(
        events.flatMap((event) => (event.type === 'fileNotCompressed' ? [[event.error.exitCode, event.isLast]] : [])),
        [[74, true]],
      );
      spawnSync('mount', ['-o', 'remount,size=1m', shop.settings.archiveDir]);
      await load(shop, database);
      assert.deepEqual(archived(shop), ['a.csv.gz']);
    });
  },
);

test('a file that takes a block either way, or has a name without room for the ending, stays as it is', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true });
  shop.put('c.csv', eventFile(500, 505));
  const [fits, longer] = [`${'a'.repeat(248)}.csv`, `${'b'.repeat(249)}.csv`];
  for (const [n, name] of [fits, longer].entries()) shop.put(name, eventFile(n * 100, n * 100 + 50));
  await load(shop, database);
  assert.deepEqual(archived(shop), [copyName(fits), longer, 'c.csv']);
});

test('where nothing is archived, or only Spark reaches the files, it is refused', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const options = { cwd: shop.home, env: database.env };
  for (const [action, args] of [
    ['delete', ['stream', '--once', ...flags(shop)]],
    ['keep', ['run-all', '--events', '1', '--no-dashboard']],
  ] as const) {
    const { exitCode, stderr } = await run(t, options, ...args, '--archive-gzip', '--after-load', action);
    assert.deepEqual([exitCode, existsSync(shop.settings.archiveDir)], [2, false]);
    assert.match(stderr, new RegExp(`--archive-gzip: with --after-load ${action} no file is archived`));
  }
  const uris = ['--input-dir', '--archive-dir', '--quarantine-dir'].flatMap((flag) => [flag, `s3a://b/${flag}`]);
  const spark = await run(t, options, 'stream', '--engine', 'spark', '--archive-gzip', ...uris);
  assert.equal(spark.exitCode, 2);
  assert.match(spark.stderr, /--archive-gzip needs local directories/);
});

test('a file that only begins like a compressed copy is quarantined like any damaged one', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { archiveGzip: true });
  shop.put('a.csv', eventFile(0, 300));
  await load(shop, database);
  const copy = readFileSync(pathIn(shop.settings.archiveDir, 'a.csv.gz'));
  writeFileSync(path.join(shop.settings.inputDir, 'cut.csv.gz'), copy.subarray(0, -9));
  const { filesQuarantined, filesRedelivered } = await load(shop, database);
  assert.deepEqual([filesQuarantined, filesRedelivered], [1, 0]);
});
