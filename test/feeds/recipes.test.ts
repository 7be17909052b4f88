import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import { migratedDatabase } from '../helpers/migrated.js';
import { load, openShop } from '../pipeline/stream/harness.js';

const DOCUMENT = readFileSync(path.join(import.meta.dirname, '../../docs/feeds.md'), 'utf8');
const [, SECTION = ''] = /^## Recipes\n([\s\S]*?)^## /m.exec(DOCUMENT) ?? [];

/** The pieces of YAML of each recipe, by what the file has. */
const RECIPES = new Map(
  SECTION.split('\n')
    .filter((line) => /^\| (?!if the file|-)/.test(line) && !line.startsWith('|---'))
    .map((line) => line.slice(2, -2).split(' | '))
    .map(([has = '', write = '']) => [
      has,
      [...write.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code.replaceAll('\\|', '|')),
    ]),
);

interface Case {
  /** Keys of the feed beside `match` and `columns`. */
  readonly feed?: string;
  /** Columns that the recipe does not say. */
  readonly columns?: Readonly<Record<string, string>>;
  readonly content: string | Buffer;
  /** What is in the table then: SQL over events, and its rows as texts. */
  readonly select: string;
  readonly rows: readonly (string | null)[];
}

const TIME = '2026-11-22T10:00:00Z';
const BASE: Readonly<Record<string, string>> = {
  event_id: '{ derive: [{ sql: record_number::text }, { sql: EXTRA }] }',
  event_type: '{ value: view_item }',
  event_time: `{ value: "${TIME}" }`,
  user_id: '{ value: u }',
  session_id: '{ value: s }',
  product_id: '{ value: p }',
};

/** Refers to a shipped feed, which shipped.test.ts tries. */
const ELSEWHERE = "continuation lines that repeat the order's name only";

/** What each other recipe must do. */
const CASES: Readonly<Record<string, Case>> = {
  'several items in a JSON record': {
    feed: 'format: { type: jsonl }',
    content: '{"items": [{"sku": "a"}, {"sku": "b"}]}\n',
    select: 'product_id',
    rows: ['a', 'b'],
  },
  'several items in columns of one row, `sku1,sku2`': {
    columns: { event_type: '{ value: add_to_cart }', price: '{ value: 1 }', currency: '{ value: EUR }' },
    content: 'sku1,qty1,sku2,qty2\na,3,b,4\n',
    select: `product_id || ':' || quantity`,
    rows: ['a:3', 'b:4'],
  },
  'several items in one field, `a,b`': { content: 'skus\n"a,b"\n', select: 'product_id', rows: ['a', 'b'] },
  'a cell of JSON in a CSV': {
    columns: { currency: '{ value: EUR }' },
    content: 'properties\n"{""price"": 1.5}"\n',
    select: 'price::text',
    rows: ['1.50'],
  },
  'currency signs, `€ 1.234,50`': {
    columns: { currency: '{ value: EUR }' },
    content: 'price\n"€ 1.234,50"\n',
    select: 'price::text',
    rows: ['1234.50'],
  },
  '12-hour times': {
    content: 'at\n11/22/2026 01:05 PM\n11/22/2026 12:05 AM\n',
    select: 'event_time::text',
    rows: ['2026-11-22 00:05:00+00', '2026-11-22 13:05:00+00'],
  },
  'seconds or milliseconds since 1970': {
    content: 'ts\n1763800000\n',
    select: 'event_time::text',
    rows: ['2025-11-22 08:26:40+00'],
  },
  'no header': {
    columns: { user_id: 'user', product_id: 'item' },
    content: 'ann,shoe,view,1\nbob,sock,view,2\n',
    select: `user_id || ':' || product_id`,
    rows: ['ann:shoe', 'bob:sock'],
  },
  'latin-1': {
    columns: { user_id: 'who' },
    content: Buffer.from('who\nJürgen\n', 'latin1'),
    select: 'user_id',
    rows: ['Jürgen'],
  },
  'tabs and no quotes': {
    columns: { user_id: 'who', product_id: 'what' },
    content: 'who\twhat\n"a\t5" nail\n',
    select: `user_id || ':' || product_id`,
    rows: ['"a:5" nail'],
  },
  'no session': {
    columns: { user_id: 'user_id' },
    content: `user_id,ts\nann,${TIME}\n`,
    select: 'session_id',
    rows: ['ann-2026-11-22'],
  },
  'no order id': {
    columns: {
      user_id: 'user_id',
      event_type: '{ from: action, map: { buy: purchase, view: view_item } }',
      price: '{ value: 1 }',
      quantity: '{ value: 1 }',
      currency: '{ value: EUR }',
    },
    content: `user_id,action,ts\nann,buy,${TIME}\nann,view,${TIME}\n`,
    select: 'order_id',
    rows: [`ann-${TIME}`, null],
  },
  'other events too': {
    columns: { user_id: 'action' },
    content: 'action\nview\nheartbeat\nbuy\n',
    select: 'user_id',
    rows: ['buy', 'view'],
  },
  'a column that the table does not have': { content: 'lang\nde\n', select: 'language', rows: ['de'] },
};

/** Pieces that stand beside the columns. */
const TOP = /^(rows|where|format|table):/;

test('each recipe is tried', () => {
  assert.deepEqual([...RECIPES.keys()].sort(), [...Object.keys(CASES), ELSEWHERE].sort());
});

for (const [has, given] of Object.entries(CASES)) {
  test(`the recipe for ${has} does what it says`, async (t) => {
    const pieces = (RECIPES.get(has) ?? []).filter((piece) => /^\w+: /.test(piece));
    assert.ok(pieces.length > 0, has);
    const columns = { ...BASE, ...given.columns };
    const own: Record<string, string> = {};
    for (const piece of pieces.filter((each) => !TOP.test(each))) {
      const colon = piece.indexOf(':');
      own[piece.slice(0, colon)] = piece.slice(colon + 1);
    }
    const top = [given.feed ?? '', ...pieces.filter((piece) => TOP.test(piece))].filter((piece) => piece !== '');
    const extra = top.some((piece) => piece.startsWith('rows:')) ? 'item_number::text' : `'1'`;
    const lines = Object.entries({ ...columns, ...own }).map(([name, source]) => `  ${name}: ${source.trim()}`);
    const text = ['match: "*"', ...top, 'columns:', ...lines].join('\n').replace('EXTRA', JSON.stringify(extra));
    const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', text);
    assert.ok(feed, problems?.join('; '));
    const database = await migratedDatabase();
    for (const [, sql = ''] of (RECIPES.get(has) ?? []).join('\n').matchAll(/^(alter table .*)$/gm))
      await database.query(sql.replace('table events', 'table public.events'));
    const shop = openShop(t, { feeds: [feed] });
    shop.put('export.csv', given.content);
    await load(shop, database);
    const found = await database.query<{ value: string | null }>(
      `select ${given.select} as value from public.events order by 1`,
    );
    assert.deepEqual(
      found.map(({ value }) => value),
      given.rows,
    );
  });
}

test('the feed that the document and the README begin with loads', async (t) => {
  for (const [name, document] of [
    ['feeds.md', DOCUMENT],
    ['README', readFileSync(path.join(import.meta.dirname, '../../README.md'), 'utf8')],
  ] as const) {
    const [, text = ''] = /```yaml\n(# feeds\/orders\.yaml\n[\s\S]*?)```/.exec(document) ?? [];
    const { feed, problems } = parseFeed('orders', 'feeds/orders.yaml', text);
    assert.ok(feed, `${name}: ${problems?.join('; ')}`);
    const database = await migratedDatabase();
    const shop = openShop(t, { feeds: [feed] });
    shop.put('orders-1.csv', 'OrderNo;Article;Customer;Date\n1;a;ann;22.11.2026 10:00\n1;b;ann;22.11.2026 10:00\n');
    const { rows } = await load(shop, database);
    assert.deepEqual([rows.read, rows.inserted + rows.rejected], [2, 2], name);
    assert.equal(rows.rejected, 0, name);
  }
});
