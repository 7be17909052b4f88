import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import stringWidth from 'string-width';
import { readFeeds } from '../../src/contract/feeds/readFeeds.js';
import { openConnection } from '../../src/platform/db/client.js';
import { runUndo } from '../../src/pipeline/undo/runUndo.js';
import { remakeRows } from '../../src/pipeline/stream/feeds/remakeRows.js';
import { traceEvent } from '../../src/pipeline/trace/runTrace.js';
import { tryFile } from '../../src/pipeline/stream/feeds/tryFile.js';
import { describeTrial } from '../../src/pipeline/stream/feeds/describeTrial.js';
import { initFeed } from '../../src/pipeline/stream/feeds/initFeed.js';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import { load, openShop } from '../pipeline/stream/harness.js';

const SAMPLES = path.join(import.meta.dirname, 'samples');
const REES46 = readFileSync(path.join(SAMPLES, 'rees46_2019-Oct.csv'));

test('what a feed loaded can be traced to its batch and feed, is taken out again, and loads anew with the same ids', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { feeds: await readFeeds({ feedsDir: undefined, shipped: ['rees46'] }) });
  shop.put('rees46.csv', REES46);
  await load(shop, database);
  const ids = await database.query<{ id: string }>('select event_id as id from public.events order by 1');
  const connection = await openConnection({ ...database, sslMode: 'disable' });
  t.after(() => connection.close());
  const trace = await traceEvent(connection, ids[0]?.id ?? '', [shop.settings.archiveDir]);
  assert.equal(trace.event?.batch?.feed, 'rees46');
  assert.equal(trace.event.origins[0]?.file, 'rees46.csv');
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  const undone = await onDatabase(database, {}, (target) =>
    runUndo({ ...places, file: 'rees46.csv', batchId: undefined, dryRun: false }, target, remakeRows),
  );
  assert.equal(undone.eventsRemoved, ids.length);
  const [left] = await database.query(
    'select (select count(*) from public.events)::integer as events, (select sum(rows_read) from ecompipe.batches)::integer as rows',
  );
  assert.deepEqual(left, { events: 0, rows: 0 });
  shop.put('rees46.csv', REES46);
  await load(shop, database);
  assert.deepEqual(await database.query('select event_id as id from public.events order by 1'), ids);
});

/** Feeds of which each file shares its batch with another one, as files come in one load. */
const SHARED = [
  {
    what: 'ids that are derived, with repeats and records that are skipped or refused',
    feed: `match: "*.log"
format: { header: [at, who, what, price] }
where: "what <> 'skip'"
columns:
  event_id: { derive: [at, who, { sql: file_name }], repeats: distinct }
  event_type: { from: what, map: { v: view_item } }
  event_time: { from: at, time: iso }
  user_id: who
  session_id: who
  product_id: { value: p }
  price: price
  currency: { value: EUR }
  quantity: { value: 1 }
`,
    content: (day: number) =>
      [
        `2026-11-0${day}T10:00:00Z,u,v,1`,
        `2026-11-0${day}T10:00:00Z,u,v,1`,
        'x,u,v,1',
        `2026-11-0${day}T11:00:00Z,u,skip,1`,
        `2026-11-0${day}T12:00:00Z,u,v,x`,
        '',
      ].join('\n'),
    rows: 2,
  },
  {
    what: 'several rows of a record, of which one is a duplicate in the other file',
    feed: `match: "*.log"
format: { type: jsonl }
rows: "jsonb_array_elements(record -> 'items') as item"
columns:
  event_id: { derive: [{ sql: "record ->> 'at'" }, { sql: "item #>> '{}'" }] }
  event_type: { value: view_item }
  event_time: { sql: "(record ->> 'at')::timestamptz" }
  user_id: { value: u }
  session_id: { value: s }
  product_id: { sql: "item #>> '{}'" }
`,
    content: (day: number) =>
      [
        `{"at": "2026-11-05T10:00:00Z", "items": ["shared", "a${day}"]}`,
        `{"at": "2026-11-05T11:00:00Z", "items": ["b${day}"]}`,
        '',
      ].join('\n'),
    rows: 2,
  },
];

for (const { what, feed: text, content, rows } of SHARED)
  test(`a file that shares its batch is taken out alone and loads again: ${what}`, async (t) => {
    const database = await migratedDatabase();
    const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', text);
    assert.ok(feed, problems?.join('; '));
    const shop = openShop(t, { feeds: [feed] });
    for (const day of [1, 2]) shop.put(`${day}.log`, content(day));
    await load(shop, database);
    const ids = () => database.query<{ id: string }>('select event_id as id from public.events order by 1');
    const before = await ids();
    assert.ok(before.length > rows);
    assert.deepEqual(await database.query('select count(*)::int as batches from ecompipe.batches'), [{ batches: 1 }]);
    const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
    const undone = await onDatabase(database, {}, (target) =>
      runUndo({ ...places, file: '2.log', batchId: undefined, dryRun: false }, target, remakeRows),
    );
    assert.deepEqual([undone.eventsRemoved, undone.eventsMissing], [rows, 0]);
    assert.equal((await ids()).length, before.length - rows);
    shop.put('2.log', content(2));
    await load(shop, database);
    assert.deepEqual(await ids(), before);
  });

test('a file whose feed would make other rows now is not taken out alone', async (t) => {
  const database = await migratedDatabase();
  const { feed } = parseFeed(
    'mine',
    'feeds/mine.yaml',
    SHARED[1]!.feed.replace(
      "jsonb_array_elements(record -> 'items') as item",
      "(select v from public.given g, jsonb_array_elements(record -> 'items') v where g.on) as item",
    ),
  );
  assert.ok(feed);
  await database.query('create table public.given as select true as on');
  const shop = openShop(t, { feeds: [feed] });
  for (const day of [1, 2]) shop.put(`${day}.log`, SHARED[1]!.content(day));
  await load(shop, database);
  await database.query('update public.given set "on" = false');
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  await assert.rejects(
    onDatabase(database, {}, (target) =>
      runUndo({ ...places, file: '2.log', batchId: undefined, dryRun: false }, target, remakeRows),
    ),
    { exitCode: 74, message: /feed mine makes 0 rows of it now, and made 2 then/ },
  );
});

test('in a table for the terminal each column begins where it does in the line above, whatever letters it has', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const { feed } = parseFeed(
    'mine',
    'feeds/mine.yaml',
    `match: "*.txt"
columns:
  event_id: { derive: [会员, 商品] }
  event_type: { value: view_item }
  event_time: { value: "2026-11-22 10:00:00Z" }
  user_id: 会员
  session_id: 会员
  product_id: 商品
`,
  );
  assert.ok(feed);
  const file = shop.put('x.txt', '会员,商品\n张三丰张三丰张三丰张三丰,🛒 cart\nanna,雪靴\n');
  const trial = await onDatabase(database, {}, (target) => tryFile(target, file, [feed]));
  for (const width of [40, 60, 100]) {
    const lines = describeTrial(trial, width).split('\n');
    for (const line of lines.slice(1)) assert.ok(stringWidth(line) <= width, line);
    const ofSecond = [' anna', ' 雪靴'].map((text) => {
      const line = lines.find((each) => each.includes(text)) ?? '';
      return stringWidth(line.slice(0, line.indexOf(text)));
    });
    assert.equal(ofSecond[0], ofSecond[1], lines.join('\n'));
  }
});

test('a trial says what would become of a file, fits the terminal, and takes nothing', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const file = shop.put(
    'rees46_x.csv',
    `${REES46.subarray(0, 700).toString().split('\n').slice(0, 4).join('\n')}\n2026-11-01 08:00:01 UTC,view,1,2,,b,abc,4,s\nbroken\n`,
  );
  const feeds = await readFeeds({ feedsDir: undefined, shipped: ['rees46'] });
  const trial = await onDatabase(database, {}, (target) => tryFile(target, file, feeds));
  assert.equal(trial.feed, 'rees46');
  assert.deepEqual(trial.rows, { read: 5, inserted: 3, duplicate: 0, rejected: 2 });
  assert.deepEqual(trial.reasons.map(({ column, line }) => [column, line]).sort(), [
    [null, 6],
    ['price', 5],
  ]);
  assert.equal(trial.first[0]?.after?.['event_type'], 'view_item');
  for (const width of [60, 80, 200])
    assert.ok(
      describeTrial(trial, width)
        .split('\n')
        .slice(1)
        .every((line) => line.length <= width),
    );
  const [counts] = await database.query(
    'select (select count(*) from public.events)::integer as events, (select count(*) from ecompipe.files)::integer as files, (select count(*) from ecompipe.rejected_rows)::integer as rejects',
  );
  assert.deepEqual(counts, { events: 0, files: 0, rejects: 0 });
});

for (const sample of [
  'ga4_flattened.csv',
  'otto_train.jsonl',
  'rees46_2019-Oct.csv',
  'retailrocket_events.csv',
  'segment_tracks.csv',
  'shopify_orders_export.csv',
  'taobao_UserBehavior.csv',
  'uci_online_retail.csv',
])
  test(`feeds init knows the source of ${sample} under any name, and its feed loads all rows`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t);
    const name = `export [1]${path.extname(sample)}`;
    const file = shop.put(name, readFileSync(path.join(SAMPLES, sample)));
    const { text, shipped } = await initFeed(file);
    assert.notEqual(shipped, undefined);
    const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', text);
    assert.ok(feed, problems?.join('; '));
    const trial = await onDatabase(database, {}, (target) => tryFile(target, file, [feed]));
    assert.deepEqual([trial.feed, trial.rows.rejected], ['mine', 0]);
    const { rows } = await load(shop, database, { feeds: [feed] });
    assert.deepEqual(rows, trial.rows);
  });

test('for an unknown file feeds init makes a feed that compiles and marks what is missing', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const file = shop.put(
    'log.tsv',
    'Kunde\tAktion\tZeit\tPreis\nä1\tkauf\t31.12.2026 23:05\t1,50\nb\tview\t01.12.2026 03:05\t2\n',
  );
  const { text, shipped } = await initFeed(file);
  assert.equal(shipped, undefined);
  assert.match(text, /delimiter: "\\t"/);
  assert.match(text, /# TODO/);
  // By the values, as the names are of another language.
  assert.match(text, /event_time: \{ from: Zeit, time: "DD\.MM\.YYYY HH24:MI", zone: UTC \}/);
  assert.match(text, /#   Kunde: ä1, b\n/);
  const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', text);
  assert.ok(feed, problems?.join('; '));
  const trial = await onDatabase(database, {}, (target) => tryFile(target, file, [feed]));
  assert.equal(trial.records, 2);
});
