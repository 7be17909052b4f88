import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readFeeds } from '../../src/contract/feeds/readFeeds.js';
import { assertLedger } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { namesIn } from '../helpers/dayFolders.js';
import { eventRow, HEADER } from '../helpers/events.js';
import { runSpark, tablesOf } from './harness.js';

const COLUMNS = `
  event_type: { value: view_item }
  event_time: { from: at, time: epoch-s }
  user_id: user
  session_id: user`;

/** Of every kind that the executors cut: other characters, lines to skip, no header, several rows a record, records left out. */
const FEEDS = {
  'semicolons.yaml': `match: "semi-*.txt"
format: { delimiter: ";", quote: "'", skip: 2, null: ["", "NULL"] }
where: "kind <> 'noise'"
columns:
  event_id: { derive: [user, product, at] }${COLUMNS}
  product_id: product
  product_name: name
`,
  'baskets.yaml': `match: "basket-*.csv"
format: { header: [user, at, items] }
rows: "string_to_table(items, '+') as item"
columns:
  event_id: { derive: [user, at, { sql: item }, { sql: item_number }], repeats: distinct }${COLUMNS}
  product_id: { sql: item }
`,
};

const AT = 1_780_000_000;

const SEMICOLONS = [
  '\ufeffexported by a shop',
  "it's free text; with anything",
  'user;product;at;kind;name',
  ...Array.from(
    { length: 3000 },
    (_, n) => `u${n % 7};p${n % 11};${AT + n};${n % 5 === 0 ? 'noise' : 'view'};'n''${n}'`,
  ),
  `u1;p1;${AT + 1};view;'n''1'`,
  `u1;p2;tomorrow;view;x`,
  `u1;NULL;${AT};view;NULL`,
  `u2;p2;${AT + 9000};view;'two\nlines, "quoted"'`,
  `u3;p3;${AT + 9001};view;a'b`,
  `u4;p4`,
  `u5;p5;${AT + 9002};view;'never closed`,
  `u6;p6;${AT + 9003};view;'a\n\\.\nb'`,
  '',
].join('\n');

const BASKETS = [
  ...Array.from({ length: 500 }, (_, n) => `u${n},${AT + n},a${n}+b${n}+c${n % 3}`),
  `u1,${AT + 1},a1+b1+c1`,
  `u9,never,x+y`,
  `u9,${AT},`,
  '',
].join('\r\n');

test('feeds of delimited text leave the same tables as with the native engine, derived ids and all', async (t) => {
  const [spark, native] = [await createPipeline(t), await createPipeline(t)];
  const files: Readonly<Record<string, string | Buffer>> = {
    'semi-1.txt': SEMICOLONS,
    'semi-2.txt': SEMICOLONS.replaceAll('u1;', 'v1;'),
    'semi-latin1.txt': Buffer.from(`a\nb\nuser;product;at;kind;name\nu;p;${AT};view;caf\xe9\n`, 'latin1'),
    'semi-short.txt': 'a\nb\nuser;product\n',
    'semi-empty.txt': '',
    'basket-1.csv': BASKETS,
    'plain.csv': `${HEADER}\n${eventRow(1)}\n`,
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(native.processing, name), content);
  const feedsDir = path.join(native.home, 'feeds');
  mkdirSync(feedsDir);
  for (const [name, text] of Object.entries(FEEDS)) writeFileSync(path.join(feedsDir, name), text);
  cpSync(native.processing, spark.processing, { recursive: true });

  await native.stream({ connections: 1, feeds: await readFeeds({ feedsDir, shipped: [] }) });
  const ended = await runSpark(t, spark, {
    args: ['--once', '--feeds', feedsDir, '--stage-bytes', '1MiB', '--max-files-per-trigger', '3'],
  });
  assert.equal(ended.exitCode, 0, ended.stderr);
  const [ofSpark, ofNative] = [await tablesOf(spark.database), await tablesOf(native.database)];
  for (const [table, rows] of Object.entries(ofNative)) assert.deepEqual(ofSpark[table], rows, table);
  assert.ok(ofNative['events']!.length > 3000, 'something was loaded');
  const records = async ({ database }: typeof spark): Promise<unknown> =>
    await database.query(
      `select f.name, sum(records_read)::int4 as read, sum(records_skipped)::int4 as skipped from ecompipe.batches b join ecompipe.feeds f using (feed_id) group by 1 order by 1`,
    );
  assert.deepEqual(await records(spark), await records(native));
  for (const directory of ['archive', 'quarantine'])
    assert.deepEqual(namesIn(path.join(spark.home, directory)), namesIn(path.join(native.home, directory)), directory);
  assert.deepEqual(readdirSync(spark.processing), []);
  await assertLedger(spark.database);
});

test('feeds whose files only the native engine can cut are refused by name', async (t) => {
  const pipeline = await createPipeline(t);
  const feedsDir = path.join(pipeline.home, 'feeds');
  mkdirSync(feedsDir);
  const feed = (format: string): string =>
    `match: "*.x"\nformat: ${format}\ncolumns:\n  event_id: { derive: [user, at] }${COLUMNS}\n`;
  writeFileSync(path.join(feedsDir, 'old.yaml'), feed('{ encoding: latin1 }'));
  writeFileSync(path.join(feedsDir, 'bare.yaml'), feed('{ quote: none }'));
  const { exitCode, stderr } = await runSpark(t, pipeline, { args: ['--once', '--feeds', feedsDir] });
  assert.equal(exitCode, 2, stderr);
  assert.match(stderr, /bare\.yaml: --engine spark does not know format\.quote none/);
  assert.match(stderr, /old\.yaml: --engine spark does not know format\.encoding latin1/);
});
