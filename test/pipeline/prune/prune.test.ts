import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import type { PruneResult, PruneSettings } from '../../../src/pipeline/prune/types.js';
import { runPrune } from '../../../src/pipeline/prune/runPrune.js';
import { proveLedger } from '../../../src/pipeline/verify/ledgerProof.js';
import { namesIn } from '../../helpers/dayFolders.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { run } from '../../helpers/executable.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { load, openShop, type Shop } from '../stream/harness.js';
import { eventIds } from '../stream/tables.js';
import { createPipeline } from '../verify/pipeline.js';

const OLD = { event_time: '2026-01-15T00:00:00Z' };
const CUT = new Date('2026-06-01T00:00:00Z');
/** Later than anything here was loaded. */
const FUTURE = new Date('2999-01-01T00:00:00Z');
const never = new AbortController().signal;

interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
  readonly prune: (settings?: Partial<PruneSettings>) => Promise<PruneResult>;
}

async function setScene(t: TestContext): Promise<Scene> {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  const { archiveDir } = shop.settings;
  const prune = (settings: Partial<PruneSettings> = {}): Promise<PruneResult> =>
    onDatabase(database, {}, (to) =>
      runPrune(
        { before: CUT, events: true, archive: true, ledger: true, archiveDir, dryRun: false, ...settings },
        to,
        never,
      ),
    );
  return { database, shop, prune };
}

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));

async function assertProof(database: TestDatabase): Promise<void> {
  const { findings, ok } = await onDatabase(database, {}, proveLedger);
  assert.deepEqual([ok, findings], [true, []]);
}

test('old events go, younger ones stay, and the ledger still proves the table', async (t) => {
  const { database, shop, prune } = await setScene(t);
  shop.put('old.csv', eventFile(0, 1000, OLD));
  shop.put('mixed.csv', `${HEADER}\n${eventRow(2000, OLD)}\n${eventRow(2001)}\n${eventRow(2002, { quantity: '0' })}\n`);
  shop.put('new.csv', eventFile(3000, 3010));
  await load(shop, database);
  const plan = await prune({ dryRun: true });
  assert.deepEqual([plan.outcome, plan.events?.rows], ['would-prune', 1001]);
  assert.equal((await eventIds(database)).length, 1012, 'a dry run removes nothing');
  const { events } = await prune({ ledger: false });
  assert.deepEqual(events, { rows: 1001, partitions: [] });
  assert.deepEqual(await eventIds(database), [eventId(2001), ...ids(3000, 3010)]);
  await assertProof(database);
  assert.equal((await prune()).events?.rows, 0, 'nothing is left for a second run');
  await assertProof(database);
});

test('rollups get the old events before they go, and young batches are left to the stream', async (t) => {
  const { database, shop, prune } = await setScene(t);
  const pending = (): Promise<unknown[]> =>
    database.query('select rows::int from analytics.pending_batches order by batch_id');
  shop.put('old.csv', eventFile(0, 20, OLD));
  await load(shop, database);
  assert.equal((await prune()).events?.rows, 20);
  const views = await database.query(
    "select events::int from analytics.events_by_type where event_type = 'add_to_cart'",
  );
  assert.deepEqual([await pending(), views], [[], [{ events: 20 }]]);
  shop.put('more.csv', eventFile(20, 40, OLD));
  await load(shop, database);
  await database.query('select analytics.refresh()');
  shop.put('new.csv', eventFile(100, 110));
  await load(shop, database);
  assert.equal((await prune()).events?.rows, 20);
  assert.deepEqual(await pending(), [{ rows: 10 }]);
});

test('what is left of a pruned file stops its redelivery, and a file that has events keeps its ledger', async (t) => {
  const { database, shop, prune } = await setScene(t);
  const old = `${eventFile(0, 50, OLD)}${eventRow(0, OLD)}\n${eventRow(60, { ...OLD, quantity: '0' })}\n`;
  shop.put('old.csv', old);
  await load(shop, database);
  shop.put('again.csv', old);
  shop.put('new.csv', eventFile(100, 110));
  await load(shop, database);
  const { ledger } = await prune({ before: FUTURE, events: false });
  assert.deepEqual(ledger, { files: 0, batches: 0, rejects: 0, openRejects: 0 }, 'all have events');
  await prune({ ledger: false });
  assert.deepEqual((await prune({ before: FUTURE, events: false })).ledger, {
    files: 1,
    batches: 1,
    rejects: 1,
    openRejects: 1,
  });
  assert.deepEqual(
    await database.query(
      `select name, state, (select count(*)::int from ecompipe.batch_ranges r where r.file_id = f.file_id) as ranges from ecompipe.files f order by name`,
    ),
    [
      { name: 'new.csv', state: 'loaded', ranges: 1 },
      { name: 'old.csv', state: 'pruned', ranges: 0 },
    ],
  );
  await assertProof(database);
  shop.put('once more.csv', old);
  const { filesRedelivered, rows } = await load(shop, database);
  assert.deepEqual([filesRedelivered, rows.read], [1, 0]);
  assert.deepEqual(await eventIds(database), ids(100, 110));
  assert.ok(namesIn(shop.settings.archiveDir).includes('once more.csv'));
  await assertProof(database);
});

test('a batch of many files is compacted when all its events are gone, and a file in several batches, too', async (t) => {
  const { database, shop, prune } = await setScene(t);
  for (let n = 0; n < 300; n++) shop.put(`${n}.csv`, eventFile(n * 2, n * 2 + 2, OLD));
  shop.put('large.csv', eventFile(10_000, 12_000, OLD));
  await load(shop, database, { batchBytes: 32 * 1024 });
  await prune({ before: FUTURE, archive: false });
  assert.deepEqual(
    await database.query(
      `select (select count(*)::int from ecompipe.batches) as batches, (select count(*)::int from ecompipe.batch_ranges) as ranges,
              (select count(*)::int from ecompipe.files where state = 'pruned') as files, (select count(*)::int from public.events) as events`,
    ),
    [{ batches: 0, ranges: 0, files: 301, events: 0 }],
  );
});

test('killed after any of its transactions, it has accounted for what is gone, and the next run does the rest', async (t) => {
  const { database, shop, prune } = await setScene(t);
  shop.put('old.csv', eventFile(0, 110_000, OLD));
  shop.put('new.csv', eventFile(110_000, 120_000, { event_time: new Date().toISOString() }));
  await load(shop, database);
  const args = ['prune', '--older-than', '1d', '--events', '--yes'];
  for (const hit of [1, 2]) {
    const env = { ...database.env, ECOMPIPE_FAILPOINT: `ledger-written:${hit}=kill` };
    const { signal } = await run(t, { cwd: shop.home, env }, ...args);
    assert.equal(signal, 'SIGKILL');
    await assertProof(database);
  }
  const left = (await eventIds(database)).length;
  assert.ok(left < 120_000 && left > 10_000, `${left}`);
  const ended = await run(t, { cwd: shop.home, env: database.env }, ...args);
  assert.equal(ended.exitCode, 0, ended.stderr);
  assert.match(ended.stdout, /^removed what is older than .*:\n {2}events {3}[\d,]+ rows of public\.events\n$/);
  assert.equal((await eventIds(database)).length, 10_000);
  await assertProof(database);
  await prune();
});

test('archived files go by whole days, and nothing else does', async (t) => {
  const { shop, prune } = await setScene(t);
  const { archiveDir } = shop.settings;
  for (const name of ['2026-05-30/a.csv', '2026-05-31/b.csv.gz', '2026-06-01/c.csv', 'notes/d.csv', 'e.csv']) {
    mkdirSync(path.dirname(path.join(archiveDir, name)), { recursive: true });
    writeFileSync(path.join(archiveDir, name), 'abc');
  }
  mkdirSync(path.join(archiveDir, '2026-05-30', 'kept'));
  assert.deepEqual((await prune({ dryRun: true })).archive, { files: 2, bytes: 6 });
  assert.deepEqual((await prune()).archive, { files: 2, bytes: 6 });
  assert.deepEqual(namesIn(archiveDir), ['c.csv', 'e.csv', 'kept', 'notes']);
  assert.deepEqual((await prune({ before: FUTURE })).archive, { files: 2, bytes: 6 }, 'the flat one by its ctime');
  assert.deepEqual(namesIn(archiveDir), ['kept', 'notes']);
});

test('verify leaves pruned files out and proves the rest', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ start: '2026-03-01T00:00:00Z' });
  await pipeline.run({ start: '2026-09-01T00:00:00Z', seed: 7, dirt: 'dirty' });
  const settings = { before: CUT, events: true, archive: false, archiveDir: pipeline.archive, dryRun: false };
  const { events } = await pipeline.target((to) => runPrune({ ...settings, ledger: false }, to, never));
  assert.ok((events?.rows ?? 0) > 0);
  const proof = await pipeline.verify();
  assert.deepEqual([proof.ok, proof.findings], [true, []]);
  assert.ok(proof.prunedFiles >= 4 && proof.files > 0, JSON.stringify(proof));
  await pipeline.target((to) => runPrune({ ...settings, before: FUTURE, events: false, ledger: true }, to, never));
  const again = await pipeline.verify();
  assert.deepEqual([again.ok, again.files, again.prunedFiles], [true, proof.files, proof.prunedFiles]);
  await pipeline.database.query(
    'delete from public.events where event_id = (select event_id from public.events order by 1 limit 1)',
  );
  assert.equal((await pipeline.verify()).ok, false, 'a row that was deleted by hand is missed as before');
});

test('a partition that is over is dropped, one that goes on is emptied', async (t) => {
  const { database, shop, prune } = await setScene(t);
  // Ids of version 7 begin with their milliseconds: 2026-02-01 and 2026-12-01.
  const bound = (moment: string): string => {
    const hex = Date.parse(moment).toString(16).padStart(12, '0');
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
  };
  await database.query(`
    alter table public.events rename to events_before;
    create table public.events (like public.events_before including defaults including constraints, primary key (event_id)) partition by range (event_id);
    create index on public.events using brin (event_time, batch_id);
    create table public.january partition of public.events for values from (minvalue) to ('${bound('2026-02-01')}');
    create table public.later partition of public.events for values from ('${bound('2026-02-01')}') to (maxvalue)`);
  const row = (moment: string): string =>
    eventRow(1, { event_id: bound(moment).replace(/0$/, '1'), event_time: moment });
  shop.put(
    'a.csv',
    `${HEADER}\n${row('2026-01-10T00:00:00Z')}\n${row('2026-01-20T00:00:00Z')}\n${row('2026-03-01T00:00:00Z')}\n${row('2026-09-01T00:00:00Z')}\n`,
  );
  await load(shop, database);
  const { events } = await prune({ archive: false });
  assert.deepEqual(events, { rows: 3, partitions: ['public.january'] });
  assert.equal((await eventIds(database)).length, 1);
  await assertProof(database);
});

test('on the command line it wants an age, asks only where somebody can answer, and says what goes', async (t) => {
  const { database, shop } = await setScene(t);
  const prune = (...args: string[]) => run(t, { cwd: shop.home, env: database.env }, 'prune', ...args);
  for (const [args, message] of [
    [[], /expected --older-than AGE/],
    [['--older-than', '90'], /expected an age such as 90d/],
    [['--older-than', '90d'], /nobody can be asked here/],
  ] as const) {
    const { exitCode, stderr } = await prune(...args);
    assert.equal(exitCode, 2);
    assert.match(stderr, message);
  }
  const { exitCode, stdout } = await prune('--older-than', '90d', '--dry-run');
  assert.equal(exitCode, 0);
  assert.match(
    stdout,
    /^would remove what is older than .*:\n {2}events .* 0 rows.*\n {2}archive .* 0 files.*\n {2}ledger/,
  );
});
