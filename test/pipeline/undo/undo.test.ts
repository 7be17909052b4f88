import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { UndoResult, UndoSettings } from '../../../src/pipeline/undo/types.js';
import { runUndo } from '../../../src/pipeline/undo/runUndo.js';
import { remakeRows } from '../../../src/pipeline/stream/feeds/remakeRows.js';
import { run, start } from '../../helpers/executable.js';
import { until } from '../../helpers/until.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { correctedFile, replay } from '../rejects/corrected.js';
import { load, openShop, type Shop } from '../stream/harness.js';
import { assertLedger, eventIds, eventsIn } from '../stream/tables.js';
import { pathIn } from '../../helpers/dayFolders.js';

interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
  readonly undo: (target: Partial<UndoSettings>) => Promise<UndoResult>;
}

async function setScene(t: TestContext, overrides: Parameters<typeof openShop>[1] = {}): Promise<Scene> {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t, overrides);
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  const undo = (target: Partial<UndoSettings>): Promise<UndoResult> =>
    onDatabase(database, {}, (to) =>
      runUndo({ file: undefined, batchId: undefined, dryRun: false, ...places, ...target }, to, remakeRows),
    );
  return { database, shop, undo };
}

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));

function bringBack(shop: Shop, name: string): void {
  renameSync(pathIn(shop.settings.archiveDir, name), path.join(shop.settings.inputDir, name));
}

const mixed = `${HEADER}\n${eventRow(0)}\n${eventRow(1, { quantity: '0' })}\n${eventRow(10)}\n"broken\n${eventRow(2)}\n${eventRow(3, { quantity: '-1' })}\n`;

for (const [what, name, content] of [
  ['', 'b.csv', mixed],
  [', compressed', 'b.csv.gz', gzipSync(mixed)],
] as const) {
  test(`a file that shares a transaction with others goes alone, and can be loaded again${what}`, async (t) => {
    const { database, shop, undo } = await setScene(t);
    shop.put('a.csv', eventFile(10, 20));
    shop.put(name, content);
    shop.put('c.csv', eventFile(30, 40));
    await load(shop, database);
    assert.deepEqual(await database.query('select count(distinct batch_id)::int as batches from ecompipe.batches'), [
      { batches: 1 },
    ]);
    const before = await eventsIn(database);

    const plan = await undo({ file: name, dryRun: true });
    assert.deepEqual(await eventsIn(database), before, 'a dry run changes nothing');
    const { outcome, files, ...result } = await undo({ file: name });
    assert.deepEqual([plan.outcome, outcome], ['would-undo', 'undone']);
    assert.deepEqual(
      [result.eventsRemoved, result.eventsMissing, result.rejectsRemoved, result.duplicatesRemoved, plan.eventsRemoved],
      [2, 0, 3, 1, 2],
    );
    assert.equal(files[0]?.path, pathIn(shop.settings.archiveDir, name));
    assert.deepEqual(await eventIds(database), [...ids(10, 20), ...ids(30, 40)]);
    await assertLedger(database);

    assert.equal((await undo({ file: name })).outcome, 'already-undone');
    bringBack(shop, name);
    await load(shop, database);
    assert.deepEqual(await eventsIn(database), before);
    await assertLedger(database);
    assert.equal((await undo({ file: name })).eventsRemoved, 2, 'and taken out again');
  });
}

test('without its bytes, a file that shares a transaction can not go alone, but the whole batch can', async (t) => {
  const { database, shop, undo } = await setScene(t, { afterLoad: 'delete' });
  for (const [name, from] of [
    ['a.csv', 0],
    ['b.csv', 10],
  ] as const)
    shop.put(name, eventFile(from, from + 5));
  await load(shop, database);
  await assert.rejects(undo({ file: 'a.csv' }), { exitCode: 74, message: /shares batch \d+ with 1 other file,/ });
  assert.equal((await eventIds(database)).length, 10);
  const [batch] = await database.query<{ id: string }>('select batch_id as id from ecompipe.batches');
  const { eventsRemoved, files } = await undo({ batchId: Number(batch?.id) });
  assert.deepEqual(
    [eventsRemoved, files.map(({ name, path: place }) => [name, place])],
    [
      10,
      [
        ['a.csv', undefined],
        ['b.csv', undefined],
      ],
    ],
  );
  assert.equal((await undo({ batchId: Number(batch?.id) })).outcome, 'already-undone');
  assert.deepEqual(await eventIds(database), []);
  await assertLedger(database);
});

test('a file of many batches goes whole, by name or SHA-256; one of its batches is refused', async (t) => {
  const { database, shop, undo } = await setScene(t, { batchBytes: 1024 });
  shop.put('large.csv', eventFile(0, 60));
  await load(shop, database);
  const batches = await database.query<{ id: string }>('select batch_id as id from ecompipe.batches order by 1');
  assert.ok(batches.length > 3);
  await assert.rejects(undo({ batchId: Number(batches[1]?.id) }), {
    exitCode: 2,
    message: /is a part of large\.csv[^]*undo --file large\.csv$/,
  });
  const [file] = await database.query<{ sha: string }>("select encode(sha256, 'hex') as sha from ecompipe.files");
  const { eventsRemoved, batchIds } = await undo({ file: file?.sha ?? '' });
  assert.deepEqual([eventsRemoved, batchIds.length], [60, batches.length]);
  await assertLedger(database);
  bringBack(shop, 'large.csv');
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(0, 60));
});

test('two contents of one name must be told apart; what was never loaded is a usage error', async (t) => {
  const { database, shop, undo } = await setScene(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, database);
  shop.put('a.csv', eventFile(10, 15));
  await load(shop, database);
  await assert.rejects(undo({ file: 'a.csv' }), {
    exitCode: 2,
    message: /2 files with the name a\.csv were loaded: [0-9a-f]{64} \(5 events\), [0-9a-f]{64}/,
  });
  await assert.rejects(undo({ file: 'nope.csv' }), { exitCode: 2 });
  await assert.rejects(undo({ batchId: 999 }), { exitCode: 2 });
  assert.equal((await eventIds(database)).length, 10);
});

test('rows of other files that were duplicates of what goes are counted by file', async (t) => {
  const { database, shop, undo } = await setScene(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, database);
  shop.put('b.csv', eventFile(3, 8));
  await load(shop, database);
  shop.put('renamed.csv', eventFile(0, 5));
  await load(shop, database);
  const result = await undo({ file: 'a.csv' });
  assert.deepEqual(
    [result.eventsRemoved, result.strandedDuplicates, result.redeliveriesRemoved],
    [5, [{ file: 'b.csv', rows: 2 }], 1],
  );
  assert.deepEqual(await eventIds(database), ids(5, 8));
});

test('a file takes the rows along that came in by a replay of its rejects; a replay alone opens them again', async (t) => {
  const { database, shop, undo } = await setScene(t);
  shop.put('a.csv', `${HEADER}\n${eventRow(0)}\n${eventRow(1, { quantity: '0' })}\n`);
  shop.put(
    'b.csv',
    `${HEADER}\n${eventRow(2)}\n${eventRow(3, { quantity: '0' })}\n${eventRow(1, { quantity: '0', price: '-1' })}\n`,
  );
  await load(shop, database);
  const corrected = (): Promise<string> =>
    correctedFile(database, shop.home, (row) => ({ ...row, quantity: '3', price: '19.99' }));
  const first = await replay(database, await corrected());
  assert.deepEqual([first.inserted, first.duplicate], [2, 1]);

  const [batchId] = first.batchIds;
  const alone = await undo({ batchId: batchId ?? 0 });
  assert.deepEqual([alone.eventsRemoved, alone.rejectsReopened, alone.files], [2, 3, []]);
  await assertLedger(database);

  assert.equal((await replay(database, await corrected())).inserted, 2);
  const whole = await undo({ file: 'a.csv' });
  assert.deepEqual([whole.eventsRemoved, whole.rejectsRemoved, whole.rejectsReopened], [2, 1, 1]);
  assert.deepEqual(await eventIds(database), [eventId(2), eventId(3)]);
  await assertLedger(database);
});

for (const refreshed of [false, true]) {
  test(`the views for analysts are right after it, ${refreshed ? 'when the rollups had it' : 'when no rollup had it yet'}`, async (t) => {
    const { database, shop, undo } = await setScene(t);
    const figures = async (): Promise<unknown> => ({
      types: await database.query('select event_type, events from analytics.events_by_type'),
      products: await database.query('select product_id, cart_additions from analytics.top_products order by 1'),
      sessions: await database.query('select session_id, events from analytics.sessions order by 1'),
      funnel: await database.query('select name, sessions from analytics.funnel'),
    });
    shop.put('a.csv', eventFile(0, 5));
    await load(shop, database);
    const before = await figures();
    shop.put('b.csv', eventFile(10, 30));
    await load(shop, database);
    if (refreshed) await database.query('select analytics.refresh()');
    assert.equal((await undo({ file: 'b.csv' })).rollupsRebuilt, refreshed);
    assert.deepEqual(await figures(), before);
    await database.query('select analytics.refresh()');
    assert.deepEqual(await figures(), before);
  });
}

for (const [what, overrides] of [
  ['in ranges', { batchBytes: 1024 }],
  ['with --atomic-file', { batchBytes: 1024, atomicFile: true }],
  ['on one connection', { batchBytes: 1024, connections: 1 }],
] as const) {
  test(`a stream in the middle of the file begins it anew, ${what}`, async (t) => {
    const { database, shop, undo } = await setScene(t, overrides);
    shop.put(
      'large.csv',
      [HEADER, ...Array.from({ length: 120 }, (_, n) => eventRow(n, n % 40 === 7 ? { quantity: '0' } : {})), ''].join(
        '\n',
      ),
    );
    let undone: Promise<UndoResult> | undefined;
    let commits = 0;
    await load(
      shop,
      database,
      {},
      {
        onEvent: ({ type }) => {
          if (type === 'batchCommitted' && ++commits === 2) undone = undo({ file: 'large.csv' });
        },
      },
    );
    if (undone !== undefined) assert.equal((await undone).outcome, 'undone');
    // The undo waits for batches under way: should all of the file be among them, it is all out.
    const { length } = await eventIds(database);
    assert.ok(length === 117 || length === 0, `${length} events`);
    await assertLedger(database);
  });
}

test('after it a stream starts with the checkpoint it had: what a person took out is not lost', async (t) => {
  const { database, shop, undo } = await setScene(t, { batchBytes: 1024 });
  shop.put('large.csv', eventFile(0, 60));
  const stop = new AbortController();
  let commits = 0;
  await load(
    shop,
    database,
    {},
    { stop: stop.signal, onEvent: ({ type }) => type === 'batchCommitted' && ++commits === 3 && stop.abort() },
  );
  assert.ok((await eventIds(database)).length < 60, 'stopped in the middle');
  const { files } = await undo({ file: 'large.csv' });
  assert.equal(files[0]?.isWaiting, true);
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(0, 60));
  await undo({ file: 'large.csv' });
  await load(shop, database);
  assert.deepEqual(await eventIds(database), []);
  await assertLedger(database);
});

test('killed before its commit it has changed nothing, and the next one does it', async (t) => {
  const { database, shop } = await setScene(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, database);
  const undo = (env: Record<string, string> = {}): ReturnType<typeof run> =>
    run(
      t,
      { cwd: shop.home, env: { ...database.env, ARCHIVE_PATH: shop.settings.archiveDir, ...env } },
      'undo',
      '--file',
      'a.csv',
      '--yes',
    );
  assert.equal((await undo({ ECOMPIPE_FAILPOINT: 'ledger-written:1=kill' })).signal, 'SIGKILL');
  assert.equal((await eventIds(database)).length, 5);
  await assertLedger(database);
  const { exitCode, stdout } = await undo();
  assert.equal(exitCode, 0);
  assert.match(
    stdout,
    /^took out a\.csv: 5 events, 0 rejects, 0 duplicates of 1 file \(batch \d+\)\n {2}to load it again, move back into processing\/: .*archive\/[\d-]+\/a\.csv\n$/,
  );
  assert.deepEqual(await eventIds(database), []);
});

test('where nobody can be asked, it wants --yes', async (t) => {
  const { database, shop } = await setScene(t);
  shop.put('a.csv', eventFile(0, 5));
  await load(shop, database);
  const { exitCode, stderr } = await run(t, { cwd: shop.home, env: database.env }, 'undo', '--file', 'a.csv');
  assert.equal(exitCode, 2);
  assert.match(stderr, /--dry-run, then say --yes/);
  for (const args of [['undo'], ['undo', '--file', 'a', '--batch', '1']])
    assert.equal((await run(t, { cwd: shop.home, env: database.env }, ...args, '--yes')).exitCode, 2);
  assert.equal((await eventIds(database)).length, 5);
  rmSync(pathIn(shop.settings.archiveDir, 'a.csv'));
  assert.match(
    (await run(t, { cwd: shop.home, env: database.env }, 'undo', '--file', 'a.csv', '--yes')).stdout,
    /took out a\.csv: 5 events[^]*not found, neither/,
  );
});

for (const [kind, size] of [
  ['a small file', 10],
  ['a file of several ranges', 400],
] as const) {
  test(`${kind} that is taken out while a stopped stream is about to put it away is loaded again`, async (t) => {
    const { database, shop, undo } = await setScene(t);
    shop.put('a.csv', eventFile(0, size));
    const { settings } = shop;
    const stream = start(
      t,
      { cwd: shop.home, env: { ...database.env, ECOMPIPE_FAILPOINT: 'before-archive=stop' } },
      ...['stream', '--once', '--input-dir', settings.inputDir, '--archive-dir', settings.archiveDir],
      ...['--quarantine-dir', settings.quarantineDir, '--checkpoint', settings.checkpointDir, '--batch-bytes', '4KiB'],
    );
    await until('it is stopped', () => readFileSync(`/proc/${stream.child.pid}/stat`, 'utf8').includes(') T '));
    const { files, eventsRemoved } = await undo({ file: 'a.csv' });
    assert.deepEqual([eventsRemoved, files[0]?.isWaiting], [size, true]);
    process.kill(stream.child.pid!, 'SIGCONT');
    const { exitCode, stderr } = await stream.end;
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(await eventIds(database), ids(0, size));
    await assertLedger(database);
  });
}

test('a file that is put away while it is taken out is told to be where it is in the end', async (t) => {
  const { database, shop, undo } = await setScene(t);
  shop.put('a.csv', eventFile(0, 10));
  await load(shop, database, { afterLoad: 'keep' });
  mkdirSync(shop.settings.archiveDir, { recursive: true });
  const undone = undo({ file: 'a.csv' });
  await until('it is taken out', async () => (await eventIds(database)).length === 0);
  renameSync(path.join(shop.settings.inputDir, 'a.csv'), path.join(shop.settings.archiveDir, 'a.csv'));
  const [file] = (await undone).files;
  assert.deepEqual(file, {
    ...file,
    isWaiting: false,
    path: path.join(shop.settings.archiveDir, 'a.csv'),
  });
});
