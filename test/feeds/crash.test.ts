import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import type { Feed } from '../../src/contract/feeds/feed.js';
import { readFeeds } from '../../src/contract/feeds/readFeeds.js';
import type { STREAM_FAILPOINTS } from '../../src/platform/failpoint.js';
import { namesIn } from '../helpers/dayFolders.js';
import { spawnEcompipe, type Running } from '../helpers/executable.js';
import { migratedDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { load, openShop, type Shop } from '../pipeline/stream/harness.js';
import { assertLedger, eventsIn } from '../pipeline/stream/tables.js';

/** All that numbers depend on: repeats of their own, several rows a record, records left out, bad rows, another encoding. */
const STAGED = `match: "orders*.txt"
format: { delimiter: ";", encoding: latin1, header: [at, who, what, items] }
where: "what <> 'heartbeat'"
rows: "string_to_table(items, '+') as item"
columns:
  event_id: { derive: [at, who, { sql: item }], repeats: distinct }
  event_type: { from: what, map: { buy: purchase, look: view_item } }
  event_time: { from: at, time: "DD.MM.YYYY HH24:MI" }
  user_id: who
  session_id: who
  product_id: { sql: item }
  price: { sql: "case when what = 'buy' then '1.50' end" }
  quantity: { sql: "case when what = 'buy' then 1 end" }
  currency: { value: EUR }
  order_id: { sql: "case when what = 'buy' then who end" }
`;

function record(n: number): string {
  const minute = String(n % 60).padStart(2, '0');
  if (n % 17 === 3) return `22.11.2026 10:${minute};J\xfcrgen;heartbeat;x`;
  if (n % 41 === 5) return `22.11.2026 10:${minute};J\xfcrgen;steal;x`;
  if (n % 43 === 7) return `22.11.2026 10:${minute};J\xfcrgen;look`;
  // Every record comes again and again: only its number tells it from the others.
  return `22.11.2026 10:0${n % 2};J\xfcrgen;${n % 3 === 0 ? 'buy' : 'look'};shoe+sock+shoe`;
}

const large = Buffer.from(Array.from({ length: 180 }, (_, n) => `${record(n)}\n`).join(''), 'latin1');
const small = (n: number): Buffer => Buffer.from(`${record(n)}\n${record(n)}\n`, 'latin1');
const SMALL_FILES = 3;

/** What the killed process was started with: eight ranges, then three small files in one transaction. */
const FIRST = ['--batch-bytes', '1024', '--connections', '1'];

/** With other batch sizes, and by two streams at once. */
const RESUMPTIONS = [
  { batchBytes: 1024, connections: 1, streams: 1 },
  { batchBytes: 2500, connections: 3, streams: 2 },
  { batchBytes: 1 << 20, connections: 2, streams: 1 },
  { batchBytes: 1500, connections: 1, streams: 2, atomicFile: true },
] as const;

/** First, middle and last pass of each moment in the load above. */
const PASSES: Readonly<Record<keyof typeof STREAM_FAILPOINTS | 'move-linked', readonly [number, number, number]>> = {
  'file-opened': [1, 2, 4],
  'file-hashed': [1, 2, 4],
  'batch-begun': [1, 5, 9],
  copying: [1, 5, 9],
  copied: [1, 5, 9],
  'ledger-written': [1, 5, 9],
  'commit-sent': [1, 5, 9],
  committed: [1, 5, 9],
  'checkpoint-written': [1, 1, 1],
  'checkpoint-renamed': [1, 1, 1],
  'before-archive': [1, 2, 4],
  'move-linked': [1, 2, 4],
  'after-archive': [1, 2, 4],
};

const CASES = Object.entries(PASSES).flatMap(([moment, passes], m) =>
  [...new Set(passes)].map((pass, p) => ({
    moment,
    pass,
    resumption: RESUMPTIONS[(m + p) % RESUMPTIONS.length] ?? RESUMPTIONS[0],
  })),
);

interface Loaded {
  readonly events: readonly Record<string, unknown>[];
  readonly rejects: readonly Record<string, unknown>[];
  readonly records: Record<string, unknown> | undefined;
}

async function loadedIn(database: TestDatabase): Promise<Loaded> {
  const [records] = await database.query(
    'select sum(records_read)::int4 as read, sum(records_skipped)::int4 as skipped, sum(rows_read)::int4 as rows from ecompipe.batches',
  );
  return {
    events: await eventsIn(database),
    rejects: await database.query(
      'select name, line::int4, item, byte_offset::int4, raw, kind, column_name, message from ecompipe.rejected_rows join ecompipe.files using (file_id) order by name, byte_offset, item',
    ),
    records,
  };
}

async function openShopOfFeed(t: TestContext): Promise<{ shop: Shop; feeds: readonly Feed[]; feedsDir: string }> {
  const shop = openShop(t);
  const feedsDir = path.join(shop.home, 'feeds');
  mkdirSync(feedsDir);
  writeFileSync(path.join(feedsDir, 'orders.yaml'), STAGED);
  shop.put('orders-large.txt', large);
  for (let n = 0; n < SMALL_FILES; n++) shop.put(`orders-small-${n}.txt`, small(n));
  return { shop, feeds: await readFeeds({ feedsDir, shipped: [] }), feedsDir };
}

function startStream(
  t: TestContext,
  database: TestDatabase,
  { shop, feedsDir }: { readonly shop: Shop; readonly feedsDir: string },
  failpoint: string,
): Running {
  const env = {
    ...database.env,
    PROCESSING_PATH: shop.settings.inputDir,
    ARCHIVE_PATH: shop.settings.archiveDir,
    QUARANTINE_PATH: shop.settings.quarantineDir,
    CHECKPOINT_PATH: path.join(shop.home, 'first'),
    ECOMPIPE_FAILPOINT: failpoint,
  };
  return spawnEcompipe(t, ['stream', '--once', '--feeds', feedsDir, ...FIRST], env, shop.home);
}

/** What an undisturbed load leaves, in one batch for each file. */
let expected: Loaded;

before(async (t) => {
  const database = await migratedDatabase();
  const { shop, feeds } = await openShopOfFeed(t as TestContext);
  await load(shop, database, { feeds });
  expected = await loadedIn(database);
  assert.ok(expected.events.length > 450 && expected.rejects.length > 5, 'rows of every kind');
});

describe('a staged feed with events of their own, killed with SIGKILL', { concurrency: 2 }, () => {
  for (const { moment, pass, resumption } of CASES)
    test(`at ${moment} the ${pass}. time, then loaded with ${JSON.stringify(resumption)}: the same ids, nothing lost, nothing doubled`, async (t) => {
      const database = await migratedDatabase();
      const opened = await openShopOfFeed(t);
      const { shop, feeds } = opened;
      const killed = await startStream(t, database, opened, `${moment}:${pass}=kill`).end;
      assert.equal(killed.signal, 'SIGKILL', killed.stderr);
      await assertLedger(database);
      const { streams, ...settings } = resumption;
      await Promise.all(
        Array.from({ length: streams }, (_, n) =>
          load(shop, database, { ...settings, feeds, checkpointDir: path.join(shop.home, `stream-${n}`) }),
        ),
      );
      assert.deepEqual(await loadedIn(database), expected);
      assert.deepEqual(readdirSync(shop.settings.inputDir), []);
      assert.equal(namesIn(shop.settings.archiveDir).length, 1 + SMALL_FILES);
      await assertLedger(database);
    });
});

/** Nothing in it asks for numbers, and no record is bad: its batches are inserted by one statement each. */
const AT_ONCE = `match: "plain*.txt"
format: { delimiter: ";" }
where: "what <> 'heartbeat'"
columns:
  event_id: { derive: [at, who] }
  event_type: { value: view_item }
  event_time: { from: at, time: iso }
  user_id: who
  session_id: who
  product_id: { sql: "upper(what)" }
`;

const plain = (bad: number): string =>
  [
    'at;who;what',
    ...Array.from(
      { length: 300 },
      (_, n) => `${n === bad ? 'tomorrow' : '2026-11-22 10:00:00'};u${n};${n % 7 === 0 ? 'heartbeat' : 'shoe'}`,
    ),
    '',
  ].join('\n');

describe('a feed whose batches are inserted at once', { concurrency: 2 }, () => {
  for (const moment of ['copying', 'copied', 'ledger-written', 'commit-sent', 'committed'])
    for (const bad of [-1, 150])
      test(`killed at ${moment}${bad < 0 ? '' : ', with a row that is refused'}: nothing lost, nothing doubled`, async (t) => {
        const database = await migratedDatabase();
        const shop = openShop(t);
        const feedsDir = path.join(shop.home, 'feeds');
        mkdirSync(feedsDir);
        writeFileSync(path.join(feedsDir, 'plain.yaml'), AT_ONCE);
        shop.put('plain.txt', plain(bad));
        const { signal, stderr } = await startStream(t, database, { shop, feedsDir }, `${moment}:3=kill`).end;
        assert.equal(signal, 'SIGKILL', stderr);
        await assertLedger(database);
        const feeds = await readFeeds({ feedsDir, shipped: [] });
        await Promise.all(
          [0, 1].map((n) =>
            load(shop, database, { feeds, batchBytes: 2500, checkpointDir: path.join(shop.home, `stream-${n}`) }),
          ),
        );
        const { events, rejects, records } = await loadedIn(database);
        const skipped = 43;
        assert.deepEqual(records, { read: 300, skipped, rows: 300 - skipped });
        assert.deepEqual([events.length, rejects.length], [300 - skipped - (bad < 0 ? 0 : 1), bad < 0 ? 0 : 1]);
        assert.deepEqual(await database.query('select distinct load_path from ecompipe.batches'), [
          { load_path: 'staged' },
        ]);
        await assertLedger(database);
      });
});

for (const batchBytes of [1024, 2500, 1 << 20])
  test(`a stream of a staged feed that stands still and wakes up when another has loaded its file with batches of ${batchBytes} bytes changes nothing`, async (t) => {
    const database = await migratedDatabase();
    const opened = await openShopOfFeed(t);
    const { shop, feeds } = opened;
    const zombie = startStream(t, database, opened, 'batch-begun:4=stop');
    const isStopped = async (): Promise<boolean> => {
      const rows = await database.query(
        "select from pg_stat_activity where datname = current_database() and application_name = 'ecompipe' and state = 'idle in transaction'",
      );
      return rows.length === 1 && readFileSync(`/proc/${zombie.child.pid}/stat`, 'utf8').includes(') T ');
    };
    await until('the stream stands still in a transaction', isStopped);
    await load(shop, database, { feeds, batchBytes });
    zombie.child.kill('SIGCONT');
    const { exitCode, stderr } = await zombie.end;
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(await loadedIn(database), expected);
    await assertLedger(database);
  });
