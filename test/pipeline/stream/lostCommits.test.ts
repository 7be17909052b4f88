import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { runPrune } from '../../../src/pipeline/prune/runPrune.js';
import { runUndo } from '../../../src/pipeline/undo/runUndo.js';
import { remakeRows } from '../../../src/pipeline/stream/feeds/remakeRows.js';
import { namesIn, pathIn } from '../../helpers/dayFolders.js';
import { eventFile, eventId } from '../../helpers/events.js';
import { run, start } from '../../helpers/executable.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { startRestartableServer } from '../../helpers/restartableServer.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));
const never = new AbortController().signal;

const flags = ({ settings }: Shop): string[] => [
  ...['--input-dir', settings.inputDir, '--archive-dir', settings.archiveDir],
  ...['--quarantine-dir', settings.quarantineDir, '--checkpoint', settings.checkpointDir],
];

const seenBatches = ({ settings }: Shop): unknown[] =>
  (JSON.parse(readFileSync(path.join(settings.checkpointDir, 'stream.json'), 'utf8')) as { recent: unknown[] }).recent;

/** A copy of a database as it is now, under another oid. */
async function copyOf(database: TestDatabase): Promise<TestDatabase> {
  const server = await startTestServer();
  return await server.createDatabase({ template: database.database });
}

test('a database that lost commits under a running stream ends it with exit code 6, and the archive brings them back', async (t) => {
  const server = await startRestartableServer();
  t.after(() => server.remove());
  const database = await migratedDatabase(server);
  const shop = openShop(t);
  await server.stop('fast');
  const backup = `${server.dataDirectory}.backup`;
  execFileSync('cp', ['-a', server.dataDirectory, backup]);
  await server.start();
  const stream = start(t, { cwd: shop.home, env: database.env }, 'stream', ...flags(shop), '--retry-for', '60s');
  shop.put('first.csv', eventFile(0, 100));
  await until('it is archived', () => namesIn(shop.settings.archiveDir).includes('first.csv'));
  await server.stop('immediate');
  rmSync(server.dataDirectory, { recursive: true });
  renameSync(backup, server.dataDirectory);
  await server.start();
  shop.put('second.csv', eventFile(100, 200));
  await until(
    'it ends, or goes on as if nothing were lost',
    () => stream.child.exitCode !== null || namesIn(shop.settings.archiveDir).includes('second.csv'),
    30_000,
  );
  assert.equal(stream.child.exitCode, 6);
  const { stderr } = await stream.end;
  assert.match(stderr, /the database has lost commits.*batch \d+ \(seen \d{4}-/);
  assert.match(stderr, /--reload-from-archive.*1 file archived since .*first\.csv/);
  assert.deepEqual(await eventIds(database), [], 'nothing more was loaded');
  assert.deepEqual(namesIn(shop.settings.archiveDir), ['first.csv']);
  const again = await run(t, { cwd: shop.home, env: database.env }, 'stream', '--once', ...flags(shop));
  assert.equal(again.exitCode, 6, 'the next start says so, too');
  const reload = await run(
    t,
    { cwd: shop.home, env: database.env },
    ...['stream', '--once', '--reload-from-archive', ...flags(shop)],
  );
  assert.equal(reload.exitCode, 0, reload.stderr);
  assert.deepEqual(await eventIds(database), ids(0, 200));
  assert.deepEqual(namesIn(shop.settings.archiveDir), ['first.csv', 'second.csv']);
  await assertLedger(database);
  await load(shop, database);
});

test('a batch id that another loader used again after the loss does not hide it', async (t) => {
  const database = await migratedDatabase();
  const [ours, other] = [openShop(t), openShop(t)];
  const before = await copyOf(database);
  ours.put('a.csv', eventFile(0, 100));
  await load(ours, database);
  // As after a restore of the cluster: the same identity, an older state.
  const checkpoint = path.join(ours.settings.checkpointDir, 'stream.json');
  other.put('b.csv', eventFile(500, 510));
  await load(other, before);
  const identity = JSON.parse(
    readFileSync(path.join(other.settings.checkpointDir, 'stream.json'), 'utf8'),
  ) as object & {
    database: unknown;
    lastBatchId: number;
  };
  const seen = JSON.parse(readFileSync(checkpoint, 'utf8')) as { lastBatchId: number };
  assert.equal(seen.lastBatchId, identity.lastBatchId, 'the id was used twice');
  writeFileSync(checkpoint, JSON.stringify({ ...seen, database: identity.database }));
  await assert.rejects(load(ours, before), { exitCode: 6, message: /has lost commits/ });
  await load(ours, before, { reloadFromArchive: true });
  assert.deepEqual(await eventIds(before), [...ids(0, 100), ...ids(500, 510)]);
  await assertLedger(before);
});

test('a dump that was restored into another database is completed from the archive, and nothing is doubled', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  shop.put('a.csv', eventFile(0, 100));
  shop.put('out.csv', eventFile(900, 905));
  await load(shop, database);
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  await onDatabase(database, {}, (to) =>
    runUndo({ file: 'out.csv', batchId: undefined, dryRun: false, ...places }, to, remakeRows),
  );
  // Taken out, too, but loaded again after the dump is made.
  shop.put('again.csv', eventFile(800, 805));
  await load(shop, database);
  await onDatabase(database, {}, (to) =>
    runUndo({ file: 'again.csv', batchId: undefined, dryRun: false, ...places }, to, remakeRows),
  );
  // The large one is loaded in part when the dump is made.
  shop.put('large.csv', eventFile(100, 300));
  const stop = new AbortController();
  await load(
    shop,
    database,
    { connections: 1 },
    { stop: stop.signal, onEvent: ({ type }) => type === 'batchCommitted' && stop.abort() },
  );
  const restored = await copyOf(database);
  shop.put('b.csv', eventFile(300, 400));
  renameSync(pathIn(shop.settings.archiveDir, 'again.csv'), path.join(shop.settings.inputDir, 'again.csv'));
  await load(shop, database);
  await assert.rejects(load(shop, restored), {
    exitCode: 6,
    message: /is from another database(.|\n)*--reload-from-archive/,
  });
  const warnings: unknown[] = [];
  const result = await load(
    shop,
    restored,
    { reloadFromArchive: true },
    { onEvent: (event) => event.type === 'filesReturned' && warnings.push(event.files) },
  );
  assert.deepEqual(warnings, [3], 'what it has, and what was taken out, stays in the archive');
  assert.deepEqual([result.filesLoaded, result.filesRedelivered], [3, 0]);
  assert.deepEqual(await eventIds(restored), [...ids(0, 400), ...ids(800, 805)]);
  await assertLedger(restored);
  assert.ok(pathIn(shop.settings.archiveDir, 'out.csv'));
});

test('files that were quarantined since the backup are judged again, and what a person took out stays where it is', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 64 * 1024, connections: 1 });
  shop.put('known.csv', 'no such column\n1\n');
  // Given up in the middle: some of its rows are in the table, the others are rejects.
  const garbage = 'not,an,event\n'.repeat(16_000);
  shop.put('out.csv', eventFile(500, 560) + garbage);
  await load(shop, database);
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  await onDatabase(database, {}, (to) =>
    runUndo({ file: 'out.csv', batchId: undefined, dryRun: false, ...places }, to, remakeRows),
  );
  const restored = await copyOf(database);
  shop.put('header.csv', 'another header\n1\n');
  shop.put('damaged.csv.gz', gzipSync(eventFile(100, 200)).subarray(0, -20));
  // Larger than what is hashed for nothing.
  truncateSync(shop.put('endless.csv', 'a third header\n'), 2 ** 30 + 1);
  shop.put('garbage.csv', eventFile(0, 60) + garbage);
  await load(shop, database);
  const refused = (of: TestDatabase): Promise<unknown[]> =>
    of.query(
      `select name, sha256, reason, rows_read, rows_inserted, (select count(*) from ecompipe.rejected_rows r where r.file_id = f.file_id) as rejects
       from ecompipe.files f where state = 'quarantined' order by name`,
    );
  const before = await refused(database);
  assert.equal(before.length, 5);
  const files = namesIn(shop.settings.quarantineDir);
  await assert.rejects(load(shop, restored), {
    exitCode: 6,
    message: /judges files of .*quarantine that it does not know \(6 files quarantined since .*damaged\.csv\.gz/,
  });
  const returned: unknown[] = [];
  await load(
    shop,
    restored,
    { reloadFromArchive: true },
    {
      onEvent: (event) =>
        event.type === 'filesReturned' && returned.push([path.basename(event.directory), event.files]),
    },
  );
  assert.deepEqual(returned, [
    ['archive', 0],
    ['quarantine', 4],
  ]);
  assert.deepEqual(await refused(restored), before);
  assert.deepEqual(await eventIds(restored), ids(0, 60));
  await assertLedger(restored);
  assert.deepEqual(namesIn(shop.settings.quarantineDir), files, 'each file once, with one reason');
  const again: unknown[] = [];
  await load(
    shop,
    restored,
    { reloadFromArchive: true },
    { onEvent: (event) => event.type === 'filesReturned' && again.push(event.files) },
  );
  assert.deepEqual(again, [0], 'the ledger knows them all');
});

test('two streams that reload from one archive at once bring each file back, once', async (t) => {
  const database = await migratedDatabase();
  const restored = await copyOf(database);
  const shop = openShop(t);
  const files = 400;
  for (let n = 0; n < files; n++) shop.put(`${n}.csv`, eventFile(n, n + 1));
  await load(shop, database);
  const options = { cwd: shop.home, env: restored.env };
  const reloads = await Promise.all(
    ['one', 'two'].map((name) => {
      const checkpointDir = path.join(shop.home, name);
      const own = flags({ ...shop, settings: { ...shop.settings, checkpointDir } });
      return start(t, options, 'stream', '--once', '--reload-from-archive', ...own).end;
    }),
  );
  assert.deepEqual(
    reloads.map(({ exitCode }) => exitCode),
    [0, 0],
    reloads.map(({ stderr }) => stderr).join('\n'),
  );
  // What one has put back while the other was loading its last is in processing/.
  await load(shop, restored, { checkpointDir: path.join(shop.home, 'one') });
  assert.deepEqual(await eventIds(restored), ids(0, files));
  await assertLedger(restored);
});

test('batches that were pruned, or taken out by undo, are not taken for lost', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 10));
  await load(shop, database);
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  await onDatabase(database, {}, (to) =>
    runUndo({ file: 'a.csv', batchId: undefined, dryRun: false, ...places }, to, remakeRows),
  );
  await load(shop, database);
  const before = new Date('2999-01-01');
  const settings = { before, events: true, archive: false, ledger: true, archiveDir: '', dryRun: false };
  await onDatabase(database, {}, (to) => runPrune(settings, to, never));
  assert.deepEqual(await database.query('select from ecompipe.batches'), []);
  await load(shop, database);
});

test('a checkpoint remembers the batch of a file that an ended process loaded and did not put away', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 100));
  await load(shop, database, { afterLoad: 'keep' });
  rmSync(shop.settings.checkpointDir, { recursive: true });
  await load(shop, database);
  assert.deepEqual(namesIn(shop.settings.archiveDir), ['a.csv']);
  const [batch] = await database.query('select batch_id, token from ecompipe.batches');
  const [seen] = seenBatches(shop) as [{ batchId: number; token: string }];
  assert.deepEqual({ batch_id: String(seen.batchId), token: seen.token }, batch);
});

test('a checkpoint remembers the batches that it saw last, and not more', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  for (let n = 0; n < 50; n++) shop.put(`${n}.csv`, eventFile(n * 10, n * 10 + 8));
  await load(shop, database);
  assert.equal(seenBatches(shop).length, 32);
});
