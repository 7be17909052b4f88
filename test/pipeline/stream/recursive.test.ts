import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { dayOf } from '../../../src/platform/files/dayFolders.js';
import { parseFeed } from '../../../src/contract/feeds/parseFeed.js';
import { runPrune } from '../../../src/pipeline/prune/runPrune.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { runUndo } from '../../../src/pipeline/undo/runUndo.js';
import { remakeRows } from '../../../src/pipeline/stream/feeds/remakeRows.js';
import { eventFile, eventId, HEADER } from '../../helpers/events.js';
import { run, spawnEcompipe, start } from '../../helpers/executable.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));
const ODD = 'shop 2/it\'s "ö"\n\\/orders;1.csv';

/** Relative names of the files of a directory and its subdirectories, without the folder of the day. */
function namesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => path.relative(directory, path.join(parentPath, name)))
    .map((name) => name.replace(/^\d{4}-\d\d-\d\d\//, ''))
    .sort();
}

function openTree(t: TestContext, files: Readonly<Record<string, string>>): Shop {
  const shop = openShop(t, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.join(shop.settings.inputDir, path.dirname(name)), { recursive: true });
    shop.put(name, content);
  }
  return shop;
}

const envOf = ({ settings }: Shop): Record<string, string> => ({
  PROCESSING_PATH: settings.inputDir,
  ARCHIVE_PATH: settings.archiveDir,
  QUARANTINE_PATH: settings.quarantineDir,
  CHECKPOINT_PATH: settings.checkpointDir,
});

test('files of subdirectories are loaded under relative names, and archive/ and quarantine/ keep these', async (t) => {
  const database = await migratedDatabase();
  const shop = openTree(t, {
    'a.csv': eventFile(0, 2),
    'shop1/2026/a.csv': eventFile(2, 4),
    [ODD]: eventFile(4, 6),
    'shop1/bad.csv': 'nonsense\n1\n',
  });
  await load(shop, database, { recursive: false });
  assert.deepEqual(await eventIds(database), ids(0, 2));
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(0, 6));
  assert.deepEqual(namesBelow(shop.settings.archiveDir), ['a.csv', ODD, 'shop1/2026/a.csv'].sort());
  assert.deepEqual(namesBelow(shop.settings.quarantineDir), ['shop1/bad.csv', 'shop1/bad.csv.reason.json']);
  assert.deepEqual(namesBelow(shop.settings.inputDir), []);
  const names = await database.query<{ name: string }>(`select name from ecompipe.files where state = 'loaded'`);
  assert.deepEqual(names.map(({ name }) => name).sort(), ['a.csv', ODD, 'shop1/2026/a.csv'].sort());
  // The same content again, and another content under the same name.
  shop.put('shop1/2026/b.csv', eventFile(2, 4));
  shop.put('shop1/2026/a.csv', eventFile(6, 8));
  const again = await load(shop, database);
  assert.deepEqual([again.filesLoaded, again.filesRedelivered], [1, 1]);
  assert.ok(namesBelow(shop.settings.archiveDir).includes('shop1/2026/a.1.csv'));
  await assertLedger(database);
});

test("a feed's match sees the relative name, and what --include and --exclude leave out stays without a word", async (t) => {
  const database = await migratedDatabase();
  const feedOf = (name: string, match: string, user: string) => {
    const columns = HEADER.split(',').map((column) => `  ${column}: ${column}`);
    const text = [`match: "${match}"`, 'columns:', ...columns]
      .join('\n')
      .replace('user_id: user_id', `user_id: { value: ${user} }`);
    const { feed, problems } = parseFeed(name, `${name}.yaml`, text);
    assert.ok(feed, problems?.join('; '));
    return feed;
  };
  const feeds = [feedOf('one', 'shop1/**/*.txt', 'one'), feedOf('two', 'shop2/*', 'two')];
  const shop = openTree(t, {
    'shop1/x/y/a.txt': eventFile(0, 1),
    'shop2/b.csv': eventFile(1, 2),
    'shop2/deeper/c.csv': eventFile(2, 3),
    'shop2/out/d.csv': eventFile(3, 4),
    'shop3/e.csv': eventFile(4, 5),
  });
  const skipped: string[] = [];
  const onEvent = (event: StreamEvent): void => {
    if (event.type === 'fileSkipped') skipped.push(event.name);
  };
  await load(shop, database, { feeds, exclude: ['out'], include: ['shop[12]/**'] }, { onEvent });
  assert.deepEqual(await database.query('select user_id from public.events order by event_id'), [
    { user_id: 'one' },
    { user_id: 'two' },
    { user_id: 'u2' },
  ]);
  assert.deepEqual([namesBelow(shop.settings.inputDir), skipped], [['shop2/out/d.csv', 'shop3/e.csv'], []]);
});

test('archive/, quarantine/ and checkpoints/ below the input directory are never loaded from', async (t) => {
  const database = await migratedDatabase();
  const shop = openTree(t, { 'sub/a.csv': eventFile(0, 2), 'sub/bad.csv': 'x\n' });
  const within = (name: string): string => path.join(shop.settings.inputDir, name);
  const places = { archiveDir: within('archive'), quarantineDir: within('sub/quarantine'), checkpointDir: within('c') };
  for (let pass = 0; pass < 3; pass++) {
    const { filesLoaded, filesRedelivered } = await load(shop, database, places);
    assert.deepEqual([filesLoaded, filesRedelivered], [pass === 0 ? 1 : 0, 0]);
  }
  assert.deepEqual(namesBelow(places.archiveDir), ['sub/a.csv']);
  assert.deepEqual(namesBelow(places.quarantineDir), ['sub/bad.csv', 'sub/bad.csv.reason.json']);
});

test(
  'a subdirectory that cannot be read is reported and holds up nobody',
  { skip: process.getuid?.() === 0 && 'root reads all' },
  async (t) => {
    const database = await migratedDatabase();
    const shop = openTree(t, { 'closed/a.csv': eventFile(0, 1), 'open/b.csv': eventFile(1, 2) });
    const closed = path.join(shop.settings.inputDir, 'closed');
    chmodSync(closed, 0);
    t.after(() => chmodSync(closed, 0o700));
    const skipped: StreamEvent[] = [];
    await load(shop, database, {}, { onEvent: (event) => event.type === 'fileSkipped' && skipped.push(event) });
    assert.deepEqual(skipped, [{ type: 'fileSkipped', name: 'closed', reason: 'unreadable' }]);
    assert.deepEqual(await eventIds(database), ids(1, 2));
  },
);

test('trace, undo, prune and --reload-from-archive find a file of a subdirectory in archive/', async (t) => {
  const database = await migratedDatabase();
  const shop = openTree(t, { [ODD]: eventFile(0, 3), 'shop1/b.csv': eventFile(3, 6) });
  await load(shop, database);
  const { archiveDir, inputDir } = shop.settings;
  const cwd = shop.home;
  const env = { ...database.env, ...envOf(shop) };
  const traced = await run(t, { cwd, env }, 'trace', eventId(4));
  assert.match(traced.stdout, /from: +shop1\/b\.csv:3\n/);
  // Both are of one batch: the bytes tell which rows are whose.
  const undone = await onDatabase(database, {}, (target) =>
    runUndo(
      { file: ODD, batchId: undefined, dryRun: false, loadedDirs: [archiveDir], waitingDirs: [inputDir] },
      target,
      remakeRows,
    ),
  );
  assert.deepEqual([undone.eventsRemoved, undone.files[0]?.path], [3, path.join(archiveDir, dayOf(new Date()), ODD)]);
  assert.deepEqual(await eventIds(database), ids(3, 6));
  await database.query(
    'truncate public.events, ecompipe.file_entries, ecompipe.batches, ecompipe.undone_files cascade',
  );
  await assert.rejects(load(shop, database, { reloadFromArchive: true, recursive: false }), {
    exitCode: 2,
    message: /came from a subdirectory[^]*--recursive/,
  });
  await load(shop, database, { reloadFromArchive: true });
  assert.deepEqual(await eventIds(database), ids(0, 6));
  assert.deepEqual(namesBelow(archiveDir), [ODD, 'shop1/b.csv'].sort());
  await assertLedger(database);
  const kinds = { events: false, archive: true, ledger: false };
  const pruned = await onDatabase(database, {}, (target) =>
    runPrune(
      { before: new Date(Date.now() + 2 * 86_400_000), archiveDir, dryRun: false, ...kinds },
      target,
      new AbortController().signal,
    ),
  );
  assert.equal(pruned.archive?.files, 2);
  assert.deepEqual(readdirSync(archiveDir), [], 'emptied folders go, too');
});

test('a running stream hears of files in subdirectories; status, metrics and --strict count what they know of', async (t) => {
  const database = await migratedDatabase();
  const shop = openTree(t, { 'shop1/a.csv': eventFile(0, 1), 'shop1/b.txt': 'x', 'shop2/c.txt': 'x' });
  const env = { ...database.env, ...envOf(shop), ECOMPIPE_RECURSIVE: 'true', ECOMPIPE_EXCLUDE: 'shop2' };
  const options = { cwd: shop.home, env };
  const stream = start(t, options, 'stream', '--metrics-port', '0');
  await stream.said('/metrics');
  const [url = ''] = /http:\S+\/metrics/.exec(stream.output()) ?? [];
  await until('the first file is loaded', async () => (await eventIds(database)).length === 1);
  shop.put('shop1/c.csv', eventFile(1, 2));
  await until('the file is loaded', async () => (await eventIds(database)).length === 2);
  mkdirSync(path.join(shop.settings.inputDir, 'new/er'), { recursive: true });
  shop.put('new/er/d.csv', eventFile(2, 3));
  await until('the file of a new directory is loaded', async () => (await eventIds(database)).length === 3);
  const metrics = await (await fetch(url)).text();
  assert.match(metrics, /^ecompipe_left_alone_files\{directory="processing",command="stream"\} 1$/m);
  stream.child.kill('SIGTERM');
  assert.equal((await stream.end).exitCode, 0);
  assert.match((await run(t, options, 'status')).stdout, /left alone: 1 entry: shop1\/b\.txt\n/);
  assert.equal((await run(t, options, 'stream', '--once', '--strict')).exitCode, 3);
  assert.equal((await run(t, options, 'stream', '--once', '--strict', '--exclude', '*.txt')).exitCode, 0);
});

describe('a stream of subdirectories, killed', { concurrency: 2 }, () => {
  for (const moment of ['committed', 'before-archive', 'move-linked', 'after-archive'])
    for (const pass of [1, 2])
      test(`at ${moment} the ${pass}. time: nothing is lost, nothing doubled`, async (t) => {
        const database = await migratedDatabase();
        const files = { 'a.csv': eventFile(0, 20), 'x/a.csv': eventFile(20, 40), [ODD]: eventFile(40, 60) };
        const shop = openTree(t, files);
        const killed = await spawnEcompipe(
          t,
          ['stream', '--once', '--recursive', '--batch-bytes', '1024', '--connections', '1'],
          { ...database.env, ...envOf(shop), ECOMPIPE_FAILPOINT: `${moment}:${pass}=kill` },
          shop.home,
        ).end;
        assert.equal(killed.signal, 'SIGKILL', killed.stderr);
        await load(shop, database);
        assert.deepEqual(await eventIds(database), ids(0, 60));
        assert.deepEqual(namesBelow(shop.settings.archiveDir), Object.keys(files).sort());
        assert.deepEqual(namesBelow(shop.settings.inputDir), []);
        await assertLedger(database);
      });
});

test('a file that is to be listed again is loaded before a drain ends, however long a listing takes', async (t) => {
  const database = await migratedDatabase();
  const shop = openTree(t, { 'a.csv': eventFile(0, 20) });
  const half = new AbortController();
  const stopAfterFirst = (event: StreamEvent): void => {
    if (event.type === 'batchCommitted') half.abort();
  };
  await load(shop, database, { batchBytes: 1024, connections: 1 }, { stop: half.signal, onEvent: stopAfterFirst });
  assert.notDeepEqual(await eventIds(database), ids(0, 20), 'a part of it is left');
  // The file's batch finds it begun, and ends, while the next listing looks into them.
  for (let n = 0; n < 4000; n++) mkdirSync(path.join(shop.settings.inputDir, `below/${n}`), { recursive: true });
  const { filesLoaded } = await load(shop, database);
  assert.deepEqual([filesLoaded, await eventIds(database)], [1, ids(0, 20)]);
});

test('the longest names and deep paths are disposed of', async (t) => {
  const database = await migratedDatabase();
  const deep = Array.from({ length: 40 }, (_, n) => `level-${n}`).join('/');
  const long = `${deep}/${'ö'.repeat(125)}.csv`;
  const shop = openTree(t, { [long]: eventFile(0, 1) });
  await load(shop, database);
  writeFileSync(path.join(shop.settings.inputDir, long), 'bad\n');
  await load(shop, database);
  assert.deepEqual(namesBelow(shop.settings.archiveDir), [long]);
  const [reason = '', file] = namesBelow(shop.settings.quarantineDir);
  assert.equal(file, long);
  assert.match(reason, /~[0-9a-f]{12}\.reason\.json$/);
  const folder = path.join(shop.settings.quarantineDir, dayOf(new Date()));
  assert.match(readFileSync(path.join(folder, reason), 'utf8'), /"deliveredAs": "level-0\/level-1/);
});
