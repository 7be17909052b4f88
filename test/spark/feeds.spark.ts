import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readFeeds, SHIPPED_FEED_NAMES } from '../../src/contract/feeds/readFeeds.js';
import { eventIds } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { namesIn } from '../helpers/dayFolders.js';
import { eventRow, HEADER } from '../helpers/events.js';
import { assertSameTables, runSpark } from './harness.js';

const COLUMNS = `
  event_type: { value: view_item }
  event_time: { from: at, time: epoch-s }
  user_id: user
  session_id: user`;

/** Delimited text: other characters, lines to skip, no header, several rows a record, records left out. */
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

/** A file for each way in which bytes become fields, the executors' limits of size among them. */
const DIALECTS = {
  'snowplow.yaml': `match: "snow-*.tsv"
format: { delimiter: "\\t", quote: none, header: [at, user, page, name], null: ["", "\\\\N"] }
columns:
  event_id: { derive: [at, user, page, name] }${COLUMNS}
  page_url: page
  product_id: { value: p }
  product_name: name
`,
  'lines.yaml': `match: "*.log*"
format: { type: lines, skip: 1 }
where: "line not like '#%'"
columns:
  event_id: { derive: [line] }
  event_type: { value: view_item }
  event_time: { sql: "to_timestamp(split_part(line, ' ', 1)::float8)" }
  user_id: { sql: "split_part(line, ' ', 2)" }
  session_id: { sql: "split_part(line, ' ', 2)" }
  product_id: { value: p }
  product_name: line
`,
  'sessions.yaml': `match: "*.jsonl"
format: { type: jsonl }
rows: "jsonb_array_elements(record -> 'events') as item"
columns:
  event_id: { derive: [{ sql: "record ->> 'session'" }, { sql: item_number }] }
  event_type: { value: view_item }
  event_time: { sql: "to_timestamp((item ->> 'at')::float8)" }
  user_id: { sql: "record ->> 'session'" }
  session_id: { sql: "record ->> 'session'" }
  product_id: { sql: "item ->> 'product'" }
`,
};

/** Rows of a tab-separated table dump: what would be quotes and line ends elsewhere is data. */
const SNOWPLOW = [
  ...Array.from({ length: 2000 }, (_, n) => `${AT + n}\tu${n % 7}\thttps://shop/?q="${n}"\tname, "${n}`),
  `${AT}\tu1\t\\N\t`,
  `${AT}\tu2\tcarriage\rreturn\t\\.`,
  '\\.',
  `${AT}\tu3`,
  `tomorrow\tu4\tpage\tname`,
  `${AT}\tnul\0\tpage\tname`,
  '',
  `${AT}\tu5\tlong\t${'x'.repeat(2 ** 20)}`,
  `${AT}\tu6\tpage\tno line end\r`,
].join('\n');

const LINES = [
  'written by a server',
  ...Array.from({ length: 2000 }, (_, n) => `${n % 9 === 0 ? '#' : ''}${AT + n} u${n % 7} "said, ${n}`),
  'never u1 said',
  `${AT} ${'x'.repeat(2 ** 20)}`,
  '\\.',
  `${AT} u\u0001\u0002 said\r`,
].join('\r\n');

const SESSIONS = [
  ...Array.from({ length: 500 }, (_, n) =>
    JSON.stringify({
      session: `s${n}`,
      events: [0, 1, n % 3].map((step) => ({ at: AT + n + step, product: `é"${n}\n` })),
    }),
  ),
  '{"session": "s", "events": []}',
  '{"session": "s", "events": [{"at": "never"}, {"at": 1780000000}]}',
  '{"session": "s", "events": [',
  '[1,2',
  'null',
  '',
].join('\n');

/** Texts in encodings that Node can't write: letters whose last byte is an ASCII character of its own, too. */
const LETTERS: Readonly<Record<string, readonly number[]>> = {
  // 表ソポ, and a half-width ｱ.
  shift_jis: [0x95, 0x5c, 0x83, 0x5c, 0x83, 0x7c, 0xb1],
  // 功許
  big5: [0xa5, 0x5c, 0xb3, 0x5c],
  // 乗佄, and a letter of four bytes.
  gb18030: [0x81, 0x5c, 0x81, 0x7c, 0x82, 0x35, 0x90, 0x33],
  gbk: [0x81, 0x5c, 0x81, 0x7c],
  cp949: [0xb0, 0xa1, 0x81, 0x41],
  'euc-jp': [0xc9, 0xbd],
  latin1: [0xe9, 0x81, 0xff],
  'windows-1252': [0xe9, 0x80],
};

function encodedFeed(encoding: string): string {
  return `match: "${encoding}-*.csv"
format: { encoding: ${encoding} }
columns:
  event_id: { derive: [user, product, at] }${COLUMNS}
  product_id: product
  product_name: name
`;
}

/** Rows in an encoding, some of them cut within a letter or broken in other ways; each so much longer than it need be. */
function encodedFile(encoding: string, padding: number): Buffer {
  const letters = String.fromCharCode(...(LETTERS[encoding] ?? []));
  const broken: readonly string[] = [
    `u,p,${AT},x\x95`,
    `u\x95,p,${AT},x`,
    `u,p1,${AT},"x\x81\x20"`,
    `u,p,${AT},${letters}\0`,
    `u,p,${AT}`,
    `u,p,${AT},a"${letters}`,
    `u,p,tomorrow,${letters}`,
    `u,p,${AT + 1},"${letters}\n\\.\n""${letters}"`,
    `u,p,${AT + 2},"\x95\n\\.\n"`,
  ];
  const lines = Array.from({ length: 10_000 }, (_, n) =>
    n % 1000 === 999
      ? broken[Math.floor(n / 1000) % broken.length]
      : `u${n},p${n % 7},${AT + n},"${letters}, ""${n}""${' '.repeat(padding)}"`,
  );
  return Buffer.from(['user,product,at,name', ...lines, ...broken, ''].join('\n'), 'latin1');
}

/** Both engines on the same files and feeds. @param sparkArgs what the Spark engine is told besides */
async function loadByBoth(
  t: TestContext,
  files: Readonly<Record<string, string | Buffer>>,
  feeds: Readonly<Record<string, string>>,
  sparkArgs: readonly string[] = [],
): Promise<{ readonly spark: Pipeline; readonly native: Pipeline }> {
  const [spark, native] = [await createPipeline(t), await createPipeline(t)];
  const feedsDir = putFiles(native, files, feeds);
  cpSync(native.processing, spark.processing, { recursive: true });
  await native.stream({ connections: 1, feeds: await readFeeds({ feedsDir, shipped: [] }) });
  // Which of two files brings an event first is left to chance where they are loaded at once.
  const args = ['--once', '--connections', '1', '--feeds', feedsDir, ...sparkArgs];
  const ended = await runSpark(t, spark, { args });
  assert.equal(ended.exitCode, 0, ended.stderr);
  await assertSameTables(spark.database, native.database);
  const records = async ({ database }: Pipeline): Promise<unknown> =>
    await database.query(
      `select f.name, sum(records_read)::int4 as read, sum(records_skipped)::int4 as skipped from ecompipe.batches b join ecompipe.feeds f using (feed_id) group by 1 order by 1`,
    );
  assert.deepEqual(await records(spark), await records(native));
  for (const directory of ['archive', 'quarantine'])
    assert.deepEqual(namesIn(path.join(spark.home, directory)), namesIn(path.join(native.home, directory)), directory);
  assert.deepEqual(readdirSync(spark.processing), []);
  return { spark, native };
}

/** @returns the directory of the feeds. */
function putFiles(
  { home, processing }: Pipeline,
  files: Readonly<Record<string, string | Buffer>>,
  feeds: Readonly<Record<string, string>>,
): string {
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(processing, name), content);
  const feedsDir = path.join(home, 'feeds');
  mkdirSync(feedsDir);
  for (const [name, text] of Object.entries(feeds)) writeFileSync(path.join(feedsDir, name), text);
  return feedsDir;
}

async function messagesOf({ database }: Pipeline): Promise<string[]> {
  const rows = await database.query<{ message: string }>(
    'select distinct message from ecompipe.rejected_rows order by 1',
  );
  return rows.map(({ message }) => message);
}

test('feeds of delimited text leave the same tables as with the native engine, derived ids and all', async (t) => {
  const files = {
    'semi-1.txt': SEMICOLONS,
    'semi-2.txt': SEMICOLONS.replaceAll('u1;', 'v1;'),
    'semi-latin1.txt': Buffer.from(`a\nb\nuser;product;at;kind;name\nu;p;${AT};view;caf\xe9\n`, 'latin1'),
    'semi-short.txt': 'a\nb\nuser;product\n',
    'semi-empty.txt': '',
    'basket-1.csv': BASKETS,
    'plain.csv': `${HEADER}\n${eventRow(1)}\n`,
  };
  const args = ['--stage-bytes', '1MiB', '--max-files-per-trigger', '3'];
  const { native } = await loadByBoth(t, files, FEEDS, args);
  assert.ok((await eventIds(native.database)).length > 3000, 'something was loaded');
});

test('so do lines, JSON lines, and tables in which nothing is quoted', async (t) => {
  const files = {
    'snow-1.tsv': SNOWPLOW,
    'snow-2.tsv': SNOWPLOW.replaceAll('\n', '\r\n').replaceAll('\tu1\t', '\tv1\t'),
    'a.log': LINES,
    'b.log.gz': gzipSync(LINES.replaceAll(' u1 ', ' v1 ')),
    'a.jsonl': SESSIONS,
    'b.jsonl': '',
    'mark.jsonl': Buffer.from('\ufeff{}\n', 'utf16le'),
  };
  const { native } = await loadByBoth(t, files, DIALECTS, ['--stage-bytes', '1MiB']);
  assert.ok((await eventIds(native.database)).length > 5000, 'something was loaded');
  const messages = await messagesOf(native);
  for (const expected of [
    /longer than 1 MiB/,
    /NUL byte/,
    /where the header has 4/,
    /invalid input syntax for type json/,
  ])
    assert.ok(
      messages.some((message) => expected.test(message)),
      messages.join('\n'),
    );
});

test('so do files in other encodings, and those rejected keep their bytes', async (t) => {
  // Of one, pieces that several tasks stage.
  const paddingOf = (encoding: string): number => (encoding === 'shift_jis' ? 900 : 0);
  const names = Object.keys(LETTERS);
  const files = {
    ...Object.fromEntries(names.map((encoding) => [`${encoding}-1.csv`, encodedFile(encoding, paddingOf(encoding))])),
    'shift_jis-header.csv': Buffer.from('user,product,at,name\x95\n', 'latin1'),
    'own.csv': Buffer.from(
      `${HEADER}\n${eventRow(1, { product_name: 'caf\xe9' })}\n${eventRow(2, { quantity: '\xe9' })}\n`,
      'latin1',
    ),
  };
  const own = `match: own.csv\nformat: { encoding: latin1 }\ncolumns: { ${HEADER.split(',')
    .map((name) => `${name}: ${name}`)
    .join(', ')} }\n`;
  const feeds = Object.fromEntries(names.map((encoding) => [`${encoding}.yaml`, encodedFeed(encoding)]));
  const { spark, native } = await loadByBoth(t, files, { ...feeds, 'own.yaml': own });
  assert.ok((await eventIds(native.database)).length > 50_000, 'something was loaded');
  const messages = await messagesOf(native);
  for (const encoding of ['SJIS', 'BIG5', 'GB18030', 'GBK', 'UHC', 'EUC_JP', 'WIN1252'])
    assert.ok(
      messages.some((message) => message.includes(encoding)),
      `${encoding}: ${messages.join('\n')}`,
    );
  const [{ raw } = { raw: Buffer.alloc(0) }] = await spark.database.query<{ raw: Buffer }>(
    "select raw from ecompipe.rejected_rows join ecompipe.files using (file_id) where name = 'shift_jis-1.csv' and message like '%tomorrow%' limit 1",
  );
  assert.equal(raw.toString('latin1'), `u,p,tomorrow,${String.fromCharCode(...LETTERS['shift_jis']!)}`);
  const [event] = await spark.database.query<{ name: string }>(
    "select trim(product_name) as name from public.events where user_id = 'u1' and product_name like '表ソ%'",
  );
  assert.equal(event?.name, '表ソポｱ, "1"');
});

test('the samples of all shipped feeds make the same rows', async (t) => {
  const [spark, native] = [await createPipeline(t), await createPipeline(t)];
  const samples = fileURLToPath(new URL('../feeds/samples', import.meta.url));
  for (const { processing } of [spark, native]) cpSync(samples, processing, { recursive: true });
  await native.stream({ connections: 1, feeds: await readFeeds({ feedsDir: undefined, shipped: SHIPPED_FEED_NAMES }) });
  const ended = await runSpark(t, spark, {
    args: ['--once', '--connections', '1', ...SHIPPED_FEED_NAMES.flatMap((name) => ['--feed', name])],
  });
  assert.equal(ended.exitCode, 0, ended.stderr);
  await assertSameTables(spark.database, native.database);
  assert.equal(namesIn(spark.archive).length, SHIPPED_FEED_NAMES.length);
});
