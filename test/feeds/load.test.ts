import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import type { Feed } from '../../src/contract/feeds/feed.js';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import type { StreamEvent, StreamResult } from '../../src/pipeline/stream/streamEvents.js';
import { migratedDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { load, openShop } from '../pipeline/stream/harness.js';

let database: TestDatabase;

before(async () => {
  database = await migratedDatabase();
});

function feedOf(text: string, name = 'test'): Feed {
  const parsed = parseFeed(name, `feeds/${name}.yaml`, text);
  assert.ok(parsed.feed, parsed.problems?.join('\n'));
  return parsed.feed;
}

interface Loaded {
  readonly result: StreamResult;
  readonly rows: readonly Record<string, unknown>[];
  readonly rejects: readonly {
    raw: string;
    message: string;
    column: string | null;
    kind: string;
    line: number;
    item: number;
  }[];
  readonly paths: readonly string[];
  readonly events: readonly StreamEvent[];
}

/** Loads one file by a feed into a table that is made for it, `(id text primary key, …)`. */
async function loadBy(
  t: TestContext,
  feed: string,
  content: string | Uint8Array,
  { columns = 'id text primary key, a text, n integer', name = 'file.txt', batchBytes = 8 * 2 ** 20 } = {},
): Promise<Loaded> {
  await database.query(
    `drop table if exists public.t; create table public.t (${columns}); truncate ecompipe.file_entries, ecompipe.batches, ecompipe.rejected_rows cascade`,
  );
  const shop = openShop(t, {
    feeds: [feedOf(`match: "*"\ntable: t\n${feed}`)],
    batchBytes,
    connections: 1,
    maxRejected: 'none',
  });
  shop.put(name, content);
  const events: StreamEvent[] = [];
  const result = await load(shop, database, {}, { onEvent: (event) => events.push(event) });
  return {
    result,
    events,
    rows: await database.query('select * from public.t order by id'),
    rejects: await database.query(
      `select convert_from(raw, 'LATIN1') as raw, message, column_name as column, kind, line::integer, item from ecompipe.rejected_rows order by line, item`,
    ),
    paths: (await database.query<{ path: string }>('select distinct load_path as path from ecompipe.batches')).map(
      ({ path }) => path,
    ),
  };
}

test('a feed that only renames and reorders fields loads by COPY', async (t) => {
  const { rows, paths } = await loadBy(
    t,
    'format: { delimiter: ";" }\ncolumns: { id: Key, n: Amount, a: "Full name" }',
    ' key ;FULL NAME;amount\r\n1;"x;y";5\r\n2;;\r\n',
  );
  assert.deepEqual(rows, [
    { id: '1', a: 'x;y', n: 5 },
    { id: '2', a: null, n: null },
  ]);
  assert.deepEqual(paths, ['direct']);
});

test('where COPY refuses the rows of such a feed, they are judged one by one', async (t) => {
  const { rows, rejects, paths } = await loadBy(
    t,
    'format: { delimiter: ";" }\ncolumns: { id: k, n: v }',
    'k;v\n1;5\n2;x\n3;7\n',
  );
  assert.deepEqual(
    rows.map(({ id, n }) => [id, n]),
    [
      ['1', 5],
      ['3', 7],
    ],
  );
  assert.deepEqual(
    rejects.map(({ raw, column, line }) => [raw, column, line]),
    [['2;x', 'n', 3]],
  );
  assert.deepEqual(paths, ['staged']);
});

test('without quotes a quote is a letter, and so are carriage returns and control characters within a line', async (t) => {
  const { rows } = await loadBy(
    t,
    'format: { delimiter: "\\t", quote: none, header: [k, v] }\ncolumns: { id: k, a: v, n: { value: 1 } }',
    '1\t5" disk\n2\ta\rb\n3\tx\u0001y\r\n4\t\\.\n5\t"\n',
  );
  assert.deepEqual(
    rows.map(({ a }) => a),
    ['5" disk', 'a\rb', 'x\u0001y', '\\.', '"'],
  );
});

test('several texts mean NULL, but not in quotes', async (t) => {
  const { rows } = await loadBy(
    t,
    'format: { null: ["", "NULL", "\\\\N"] }\ncolumns: { id: k, a: v }',
    'k,v\n1,NULL\n2,"NULL"\n3,\\N\n4,\n5,""\n6,"a ""q"", b"\n7,x\n',
  );
  assert.deepEqual(
    rows.map(({ a }) => a),
    [null, 'NULL', null, null, '', 'a "q", b', 'x'],
  );
});

test('one text that means NULL leaves the empty field an empty text', async (t) => {
  const { rows } = await loadBy(
    t,
    'format: { null: NULL }\ncolumns: { id: k, a: { sql: v } }',
    'k,v\n1,NULL\n2,\n3,"NULL"\n',
  );
  assert.deepEqual(
    rows.map(({ a }) => a),
    [null, '', 'NULL'],
  );
});

test('other encodings become UTF-8, and only records that are not in them are rejected, with their own bytes', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from('k,v\n1,'),
    Buffer.from([0x83, 0x8f, 0x83, 0x5c]),
    Buffer.from('\n2,'),
    Buffer.from([0x81]),
    Buffer.from('\n3,ok\n'),
  ]);
  const { rows, rejects } = await loadBy(
    t,
    'format: { encoding: shift_jis }\ncolumns: { id: k, a: { from: v } , n: { value: 1 } }',
    bytes,
  );
  assert.deepEqual(
    rows.map(({ a }) => a),
    ['ワソ', 'ok'],
  );
  assert.deepEqual(
    rejects.map(({ raw, kind }) => [raw, kind]),
    [['2,\u0081', 'malformed']],
  );
});

test('lines are one field each, and lines before the first can be skipped', async (t) => {
  const { rows } = await loadBy(
    t,
    `format: { type: lines, skip: 2 }\ncolumns:\n  id: { sql: "split_part(line, ' ', 1)" }\n  a: line`,
    '# a\n# b\n1 "GET, /"\n\n2 x\ty',
  );
  assert.deepEqual(
    rows.map(({ id, a }) => [id, a]),
    [
      ['1', '1 "GET, /"'],
      ['2', '2 x\ty'],
    ],
  );
});

test('records that where: leaves out are skipped, and the ledger adds up', async (t) => {
  const { result, rows, rejects } = await loadBy(
    t,
    'where: "v::int > 1"\ncolumns: { id: k, n: v }',
    'k,v\n1,1\n2,2\n3,bad\n4,\n5,5\n',
  );
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['2', '5'],
  );
  assert.equal(result.recordsSkipped, 2);
  assert.deepEqual(
    rejects.map(({ raw, line }) => [raw, line]),
    [['3,bad', 4]],
  );
  const [batch] = await database.query(
    'select records_read::int, records_skipped::int, records_expanded::int, rows_read::int, target, (select name from ecompipe.feeds f where f.feed_id = b.feed_id) as feed from ecompipe.batches b',
  );
  assert.deepEqual(batch, {
    records_read: 5,
    records_skipped: 2,
    records_expanded: 3,
    rows_read: 3,
    target: 'public.t',
    feed: 'test',
  });
});

test('of a record with several rows each gets its own verdict', async (t) => {
  const feed = `format: { type: jsonl }\nrows: "jsonb_array_elements(record -> 'items') as item"\ncolumns:\n  id: { sql: "item ->> 'id'" }\n  n: { sql: "item ->> 'n'" }\n  a: { sql: "record ->> 'who'" }`;
  const { result, rows, rejects } = await loadBy(
    t,
    feed,
    '{"who":"x","items":[{"id":"1","n":1},{"id":"2","n":"bad"},{"id":"3","n":3},{"id":"1","n":1}]}\nno json\n{"who":"y","items":[]}\n{"who":"z","items":[{"id":"4","n":-4}]}\n{"items":5}\n',
  );
  assert.deepEqual(
    rows.map(({ id, a, n }) => [id, a, n]),
    [
      ['1', 'x', 1],
      ['3', 'x', 3],
      ['4', 'z', -4],
    ],
  );
  assert.deepEqual(result.rows, { read: 7, inserted: 3, duplicate: 1, rejected: 3 });
  assert.equal(result.recordsSkipped, 1);
  assert.deepEqual(
    rejects.map(({ line, item, column }) => [line, item, column]),
    [
      [1, 2, 'n'],
      [2, 0, null],
      [5, 0, null],
    ],
  );
});

test('fields that no column uses are kept, if the table has a place for them', async (t) => {
  const { rows } = await loadBy(t, 'unknown: keep\ncolumns: { id: k }', 'k,b,c\n1,x,\n', {
    columns: 'id text primary key, extra jsonb',
  });
  assert.deepEqual(rows, [{ id: '1', extra: { b: 'x' } }]);
});

test('fields that no column uses send the file to quarantine, if the feed says so', async (t) => {
  const { result, events } = await loadBy(t, 'unknown: quarantine\ncolumns: { id: k }', 'k,b\n1,x\n');
  assert.equal(result.filesQuarantined, 1);
  assert.match(JSON.stringify(events), /unknown field: \\+"b\\+"/);
});

test('a field that only SQL needs is missed before a row is loaded', async (t) => {
  const { result, events } = await loadBy(t, 'columns: { id: k, a: { sql: "upper(left(v, 3))" } }', 'k,w\n1,x\n');
  assert.equal(result.filesQuarantined, 1);
  assert.match(JSON.stringify(events), /needs a field that the file does not have: v/);
});

const TIMES = [
  ['iso, zone: Europe/Berlin', '2026-07-01 12:00:00', '2026-07-01T10:00:00.000Z'],
  ['iso, zone: Europe/Berlin', '2026-07-01T12:00:00.5+05:30', '2026-07-01T06:30:00.500Z'],
  ['iso', '2026-07-01', '2026-07-01T00:00:00.000Z'],
  ['epoch-s', '1793520121.5', '2026-11-01T08:02:01.500Z'],
  ['epoch-ms', '1793520121583', '2026-11-01T08:02:01.583Z'],
  ['epoch-us', '1793520121583263', '2026-11-01T08:02:01.583Z'],
  ['"MM/DD/YYYY HH12:MI AM", zone: America/New_York', '7/4/2026 9:05 PM', '2026-07-05T01:05:00.000Z'],
] as const;

for (const [time, text, expected] of TIMES)
  test(`the time ${text} is read as { time: ${time} }`, async (t) => {
    const { rows } = await loadBy(t, `columns: { id: k, at: { from: v, time: ${time} } }`, `k,v\n1,${text}\n`, {
      columns: 'id text primary key, at timestamptz',
    });
    assert.deepEqual(rows, [{ id: '1', at: new Date(expected) }]);
  });

test('many bad rows cost little, and their neighbours nothing', async (t) => {
  const lines = Array.from({ length: 5000 }, (_, index) => (index % 50 === 0 ? `${index},oops` : `${index},${index}`));
  const started = performance.now();
  const { result, rejects } = await loadBy(
    t,
    'columns: { id: k, n: v, a: { from: v, map: { oops: no }, otherwise: keep } }',
    `k,v\n${lines.join('\n')}\n`,
  );
  assert.deepEqual(result.rows, { read: 5000, inserted: 4900, duplicate: 0, rejected: 100 });
  assert.ok(rejects.every(({ column }) => column === 'n'));
  assert.ok(performance.now() - started < 60_000);
});

test('repeated records are events of their own where the feed says so, with the same ids whatever the batches are', async (t) => {
  const feed = 'columns: { id: { derive: [v], repeats: distinct }, a: v }';
  const content = `v\n${'same\n'.repeat(500)}${'other,x\n'.repeat(3)}${'same\n'.repeat(500)}`;
  const whole = await loadBy(t, feed, content);
  assert.deepEqual(whole.result.rows, { read: 1003, inserted: 1000, duplicate: 0, rejected: 3 });
  const inPieces = await loadBy(t, feed, content, { batchBytes: 1024 });
  assert.ok(inPieces.result.batches > 3);
  assert.deepEqual(inPieces.rows, whole.rows);
});

test('an identical record is the same event, unless the feed says otherwise', async (t) => {
  const { result } = await loadBy(t, 'columns: { id: { derive: [v] }, a: v }', 'v\nx\nx\ny\n');
  assert.deepEqual(result.rows, { read: 3, inserted: 2, duplicate: 1, rejected: 0 });
});

test('expressions know the file and the number of the record', async (t) => {
  const { rows } = await loadBy(t, `columns: { id: k, a: { sql: "file_name || ':' || record_number" } }`, 'k\nx\ny\n', {
    name: 'a,"b.csv',
  });
  assert.deepEqual(
    rows.map(({ a }) => a),
    ['a,"b.csv:1', 'a,"b.csv:2'],
  );
});

test('a table with a key of two columns takes rows, and tells duplicates from conflicts', async (t) => {
  const columns =
    'shop text, sku text, level integer, batch_id bigint default nullif(current_setting($$ecompipe.batch_id$$, true), $$$$)::bigint, primary key (shop, sku)';
  await database.query(
    `drop table if exists public.stock_levels; create table public.stock_levels (${columns}); truncate ecompipe.file_entries, ecompipe.batches, ecompipe.rejected_rows cascade`,
  );
  const shop = openShop(t, {
    feeds: [
      feedOf(
        'match: "stock*"\ntable: public.stock_levels\ncolumns: { shop: { value: berlin }, sku: sku, level: { sql: "level::int" } }',
      ),
    ],
    connections: 1,
  });
  shop.put('stock.csv', 'sku,level\na,1\nb,2\na,1\nb,3\n');
  const { rows } = await load(shop, database);
  assert.deepEqual(rows, { read: 4, inserted: 2, duplicate: 1, rejected: 1 });
  const stock = await database.query(
    'select shop, sku, level, batch_id is not null as has_batch from public.stock_levels order by sku',
  );
  assert.deepEqual(stock, [
    { shop: 'berlin', sku: 'a', level: 1, has_batch: true },
    { shop: 'berlin', sku: 'b', level: 2, has_batch: true },
  ]);
});

test('files of different feeds and of none load side by side', async (t) => {
  await database.query(
    'drop table if exists public.t; create table public.t (id text primary key, a text); truncate ecompipe.file_entries, ecompipe.batches, ecompipe.rejected_rows cascade; truncate public.events',
  );
  const shop = openShop(t, {
    feeds: [
      feedOf('match: "a-*.tsv"\ntable: t\nformat: { delimiter: "\\t" }\ncolumns: { id: i, a: v }', 'first'),
      feedOf('match: ["b-*.csv", "a-*"]\ntable: t\ncolumns: { id: { sql: "\'b\' || i" }, a: v }', 'second'),
    ],
  });
  for (let n = 0; n < 20; n++) {
    shop.put(`a-${n}.tsv`, `i\tv\n${n}\ta\n`);
    shop.put(`b-${n}.csv`, `i,v\n${n},b\n`);
  }
  shop.put(
    'events.csv',
    'event_id,event_type,event_time,user_id,session_id\n0199c82c-c007-758f-8899-a702d5a25899,page_view,2026-01-01T00:00:00Z,u,s\n',
  );
  const { rows, filesLoaded } = await load(shop, database);
  assert.deepEqual([rows.inserted, filesLoaded], [41, 41]);
  const counts = await database.query(`select a, count(*)::integer as n from public.t group by a order by a`);
  assert.deepEqual(counts, [
    { a: 'a', n: 20 },
    { a: 'b', n: 20 },
  ]);
});

test('fields may be called as what every record has, and as the elements of rows:', async (t) => {
  const header = 'k,item,item_number,record_number,file_name,r,ordinal';
  const plain = await loadBy(
    t,
    `where: "item <> 'x'"\ncolumns: { id: k, a: item, n: { sql: "item_number::int + record_number::int" }, b: file_name, c: { sql: "r || ordinal" } }`,
    `${header}\n1,shoe,4,7,f,R,O\n2,x,4,7,f,R,O\n`,
    { columns: 'id text primary key, a text, n integer, b text, c text' },
  );
  assert.deepEqual(plain.rows, [{ id: '1', a: 'shoe', n: 11, b: 'f', c: 'RO' }]);
  const items = await loadBy(
    t,
    `unknown: keep\nwhere: "item <> ''"\nrows: "string_to_table(item, '+') as item"\ncolumns: { id: { sql: "k || item_number" }, a: item }`,
    `${header}\n1,u+v,4,7,f,R,O\n2,,4,7,f,R,O\n`,
    { columns: 'id text primary key, a text, extra jsonb' },
  );
  const extra = { item_number: '4', record_number: '7', file_name: 'f', r: 'R', ordinal: 'O' };
  assert.deepEqual(items.rows, [
    { id: '11', a: 'u', extra },
    { id: '12', a: 'v', extra },
  ]);
});

test('repeated records with a field record_number are events of their own, too', async (t) => {
  const { result } = await loadBy(
    t,
    'columns: { id: { derive: [record_number], repeats: distinct }, a: record_number }',
    'record_number\n7\n7\n',
  );
  assert.equal(result.rows.inserted, 2);
});

test('a field whose name is one of ours sends the file to quarantine', async (t) => {
  const { result, events } = await loadBy(t, 'columns: { id: k, a: { sql: "upper(k)" } }', 'k,Ecompipe#ordinal\n1,2\n');
  assert.equal(result.filesQuarantined, 1);
  assert.match(JSON.stringify(events), /names beginning with ecompipe# are taken/);
});

test('an unnamed column has no place in extra', async (t) => {
  const { rows } = await loadBy(t, 'unknown: keep\ncolumns: { id: k }', ',k,b\n0,1,x\n', {
    columns: 'id text primary key, extra jsonb',
  });
  assert.deepEqual(rows, [{ id: '1', extra: { b: 'x' } }]);
});

test('a file that no feed is for says which shipped feed its header is that of', async (t) => {
  const shop = openShop(t);
  shop.put('x.csv', 'timestamp,visitorid,event,itemid,transactionid\n1,2,view,3,\n');
  const events: StreamEvent[] = [];
  await load(shop, database, {}, { onEvent: (event) => events.push(event) });
  assert.match(JSON.stringify(events), /that of the shipped feed retailrocket: use --feed retailrocket/);
});
