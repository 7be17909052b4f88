import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventRow, HEADER } from '../helpers/events.js';
import { run } from '../helpers/executable.js';
import { correctedFile, exported, parseExport, replay } from '../pipeline/rejects/corrected.js';
import { load } from '../pipeline/stream/harness.js';
import {
  archiveOf,
  assertProved,
  feedOf,
  lines,
  LINES,
  rowsOf,
  rowsWithoutFault,
  setScene,
  STOCK,
  STOCK_TABLE,
} from './replaying.js';

const STAGED = feedOf(`match: "*.csv"
format: { delimiter: ";", encoding: latin1, null: ["", "NULL"] }
where: "Aktion <> 'intern'"
columns:
  event_id: { derive: [Zeit, Kunde, Artikel] }
  event_type: { from: Aktion, map: { gesehen: view_item, gekauft: purchase } }
  event_time: { from: Zeit, time: "DD.MM.YYYY HH24:MI" }
  user_id: Kunde
  session_id: { sql: "Kunde || file_name" }
  product_id: Artikel
  price: { sql: "replace(Preis, ',', '.')" }
  quantity: { sql: "case when Aktion = 'gekauft' then 1 end" }
  currency: { value: EUR }
  order_id: { sql: "case when Aktion = 'gekauft' then Kunde end" }
`);

const latin1 = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\n')}\n`, 'latin1');
const RIGHT = [
  'Kunde;Aktion;Artikel;Preis;Zeit',
  'Jürgen;gesehen;A1;1,50;21.11.2026 09:12',
  'Zoë;gekauft;"A;2";2,50;21.11.2026 09:13',
  'Änne;gesehen;A3;"NULL";21.11.2026 09:14',
  'René;gesehen;A4;NULL;21.11.2026 09:15',
];
const WRONG = [
  RIGHT[0]!,
  RIGHT[1]!,
  'Zoë;gestohlen;"A;2";2,50;21.11.2026 09:13',
  'Änne;gesehen;A3;"NULL";gestern',
  'René;gesehen;A4;NULL',
  'Ørsted;raten;A5;1,00;21.11.2026 09:16',
];

test('rejects of a staged feed are exported in the fields of its files, and become what its files would have made', async (t) => {
  const { database, shop } = await setScene(t, [STAGED], { 'käufe.csv': latin1(WRONG) });
  await load(shop, database);
  const rows = parseExport(await exported(database));
  assert.deepEqual(
    rows.map(({ Kunde, Aktion, Artikel, Preis, Zeit }) => [Kunde, Aktion, Artikel, Preis, Zeit]),
    [
      [null, null, null, null, null],
      ['Zoë', 'gestohlen', 'A;2', '2,50', '21.11.2026 09:13'],
      ['Änne', 'gesehen', 'A3', 'NULL', 'gestern'],
      ['Ørsted', 'raten', 'A5', '1,00', '21.11.2026 09:16'],
    ],
  );
  assert.deepEqual(
    rows.map((row) => [row['reject_feed'], row['reject_line'], row['reject_raw']]),
    [
      ['orders', '5', 'René;gesehen;A4;NULL'],
      ['orders', '3', WRONG[2]],
      ['orders', '4', WRONG[3]],
      ['orders', '6', WRONG[5]],
    ],
  );
  assert.match(rows[0]?.['reject_hint'] ?? '', /correct reject_raw, or fill in all fields/);

  const corrected = await correctedFile(database, shop.home, (row) => {
    if (row['Kunde'] === 'Zoë') return { ...row, Aktion: 'gekauft' };
    // Its price is the text NULL, which no price can be; without quotes it means none.
    if (row['Kunde'] === 'Änne') return { ...row, Zeit: '21.11.2026 09:14', Preis: null };
    if (row['Kunde'] === 'Ørsted') return { ...row, Aktion: 'intern' };
    return { ...row, reject_raw: RIGHT[4]! };
  });
  const result = await replay(database, corrected);
  assert.deepEqual([result.inserted, result.rejected, result.batchIds.length], [3, 1, 1]);
  assert.match(result.rejectedAgain[0]?.reason.message ?? '', /the feed makes no row of the corrected record/);
  const right = RIGHT.map((line) => line.replace('"NULL"', ''));
  assert.deepEqual(await rowsOf(database), await rowsWithoutFault(t, [STAGED], { 'käufe.csv': latin1(right) }));
  assert.deepEqual((await replay(database, corrected)).resolvedBefore, 3);
  await assertProved(database);
});

test('what could not be cut can be corrected as whole fields, too, and what is wrong again stays open with its reason', async (t) => {
  const { database, shop } = await setScene(t, [STAGED], {
    'k.csv': latin1(WRONG.filter((line) => !line.startsWith('Ø'))),
  });
  await load(shop, database);
  const corrected = await correctedFile(database, shop.home, (row) =>
    row['Kunde'] === null
      ? { ...row, Kunde: 'René', Aktion: 'gesehen', Artikel: 'A4', Zeit: '21.11.2026 09:15' }
      : row['Kunde'] === 'Zoë'
        ? { ...row, Aktion: 'verschenkt' }
        : row,
  );
  const result = await replay(database, corrected);
  assert.deepEqual(
    result.rejectedAgain.map(({ reason }) => reason.column),
    ['event_type', 'event_time'],
  );
  assert.equal(result.rejectedAgain[0]?.reason.message, 'event_type "verschenkt" is not in the map');
  assert.deepEqual([result.inserted, result.rejected], [1, 2]);
  assert.deepEqual(
    await database.query('select count(*)::int as open from ecompipe.rejected_rows where resolved_at is null'),
    [{ open: 2 }],
  );
});

test('a text in quotes is not NULL, and comes back with its quotes', async (t) => {
  const feed = feedOf(
    'match: "*"\ntable: t\nformat: { null: ["", "NULL"] }\ncolumns: { id: id, a: a, n: { sql: "n::int" } }',
  );
  const { database, shop } = await setScene(t, [feed], {
    'x.csv': 'id,a,n\n1,"NULL",x\n2,NULL,x\n3,"",x\n4,,x\n5,"a,b",x\n',
  });
  await database.query('create table public.t (id int primary key, a text, n int)');
  await load(shop, database);
  const file = path.join(shop.home, 'rejects.csv');
  writeFileSync(file, (await exported(database)).replaceAll(',x,', ',7,'));
  assert.equal((await replay(database, file)).inserted, 5);
  assert.deepEqual(await database.query('select a from public.t order by id'), [
    { a: 'NULL' },
    { a: null },
    { a: '' },
    { a: null },
    { a: 'a,b' },
  ]);
});

test('rejects of a feed that only renames are corrected under the names of the file', async (t) => {
  const feed = feedOf(`match: "*.csv"
columns: { event_id: ID, event_type: Type, event_time: At, user_id: Who, session_id: Visit, product_id: Sku }
`);
  const row = (n: number, type: string): string =>
    `00000000-0000-4000-8000-00000000000${n},${type},2026-11-0${n}T10:00:00Z,u,s,p\n`;
  const content = (type: string): string => `ID,TYPE,At, Who ,Visit,Sku\n${row(1, 'view_item')}${row(2, type)}`;
  const { database, shop } = await setScene(t, [feed], { 'a.csv': content('vue') });
  await load(shop, database);
  const corrected = await correctedFile(database, shop.home, (reject) => {
    assert.deepEqual(Object.keys(reject).slice(0, 6), ['ID', 'TYPE', 'At', 'Who', 'Visit', 'Sku']);
    return { ...reject, TYPE: 'view_item' };
  });
  assert.equal((await replay(database, corrected)).inserted, 1);
  assert.deepEqual(await rowsOf(database), await rowsWithoutFault(t, [feed], { 'a.csv': content('view_item') }));
});

const DISTINCT = feedOf(`match: "*.csv"
columns:
  event_id: { derive: [who, what], repeats: distinct }
  event_type: { from: what, map: { view: view_item } }
  event_time: { from: at, time: iso }
  user_id: { sql: "who || record_number" }
  session_id: who
  product_id: note
`);

for (const [what, filler] of [
  ['each of whose lines is a record', 'u,view,2026-11-21T10:00:00Z,shoe\n'],
  ['with records of several lines and empty lines', 'u,view,2026-11-21T10:00:00Z,"two\nlines"\n\n'],
] as const)
  test(`repeated records get the ids of their number in their file, ${what}`, async (t) => {
    const content = (type: string): string =>
      `who,what,at,note\n${Array.from({ length: 60 }, (_, n) => (n % 20 === 7 ? filler.replace('view', type) : filler)).join('')}`;
    const { database, shop } = await setScene(t, [DISTINCT], { 'a.csv': content('vue') });
    await load(shop, database, { batchBytes: 300, connections: 2 });
    const corrected = await correctedFile(database, shop.home, (row) => ({ ...row, what: 'view' }));
    if (filler.includes('"')) {
      const { inserted, rejected, rejectedAgain } = await replay(database, corrected);
      assert.deepEqual([inserted, rejected], [0, 3]);
      assert.match(rejectedAgain[0]?.reason.message ?? '', /put a\.csv back into archive\//);
    }
    assert.equal((await replay(database, corrected, {}, archiveOf(shop))).inserted, 3);
    assert.deepEqual(await rowsOf(database), await rowsWithoutFault(t, [DISTINCT], { 'a.csv': content('view') }));
  });

test('a feed that was edited, or whose text another one has too, replays as it loaded', async (t) => {
  const twin = feedOf(DISTINCT.text, 'twin');
  const content = (type: string): string => `who,what,at,note\nu,${type},2026-11-21T10:00:00Z,n\n`;
  const { database, shop } = await setScene(t, [DISTINCT], {});
  // The ledger knows the text under the other name first.
  await load(shop, database);
  shop.put('a.csv', content('vue'));
  await load(shop, database, { feeds: [twin] });
  await load(shop, database, { feeds: [feedOf(DISTINCT.text.replace('[who, what]', '[who]'), 'twin')] });
  const corrected = await correctedFile(database, shop.home, (row) => ({ ...row, what: 'view' }));
  assert.equal((await replay(database, corrected)).inserted, 1);
  assert.deepEqual(await rowsOf(database), await rowsWithoutFault(t, [twin], { 'a.csv': content('view') }));
});

test('rejects of several feeds are refused with the commands that export each; each is replayed in its own fields', async (t) => {
  const { database, shop } = await setScene(t, [LINES, STOCK], {
    'visits.jsonl': lines('{'),
    'stock.csv': 'Filiale;Artikel;Bestand\nnord;y;many\n',
  });
  await database.query(STOCK_TABLE);
  await load(shop, database);
  shop.put('plain.csv', `${HEADER}\n${eventRow(1, { quantity: '0' })}\n`);
  await load(shop, database, { feeds: [] });
  await assert.rejects(exported(database), (error: Error & { exitCode: number; facts: { hint?: string } }) => {
    assert.equal(error.exitCode, 2);
    assert.match(error.message, /1 of files without a feed, 1 of feed orders, 1 of feed stock/);
    assert.match(
      error.facts.hint ?? '',
      /rejects export --without-feed --output FILE, or .*--feed orders.*--feed stock/,
    );
    return true;
  });
  assert.deepEqual(
    parseExport(await exported(database, { withoutFeed: true })).map((row) => row['reject_file']),
    ['plain.csv'],
  );
  const stock = parseExport(await exported(database, { feed: 'stock' }));
  assert.deepEqual(
    stock.map((row) => row['Bestand']),
    ['many'],
  );
  const foreign = await correctedFile(database, shop.home, (row) => ({ ...row, Bestand: '3', colour: 'red' }), {
    feed: 'stock',
  });
  await assert.rejects(replay(database, foreign), /unknown columns: "colour"/);
});

test('for a spreadsheet names and values of fields are escaped, and taken back; each field has a name of its own', async (t) => {
  const feed = feedOf('match: "*"\ntable: t\ncolumns: { id: id, a: "=cmd" }');
  const { database, shop } = await setScene(t, [feed], { 'x.csv': 'id,=cmd,reject_id,n,,n\nx,=1+1,,x,,\n' });
  await database.query('create table public.t (id int primary key, a text)');
  await load(shop, database);
  const text = await exported(database, {}, { escapeFormulas: true });
  assert.match(text, /^id,'=cmd,reject_id \(2\),n,field 5,n \(2\),reject_id,.*\nx,'=1\+1,,x,,,/);
  const file = path.join(shop.home, 'rejects.csv');
  writeFileSync(file, text.replace('\nx,', '\n1,'));
  assert.equal((await replay(database, file)).inserted, 1);
  assert.deepEqual(await database.query('select id, a from public.t'), [{ id: 1, a: '=1+1' }]);
});

test('the commands say what to do, and do it', async (t) => {
  const { database, shop } = await setScene(t, [], {});
  const feedsDir = path.join(shop.home, 'feeds');
  mkdirSync(feedsDir);
  writeFileSync(path.join(feedsDir, 'stock.yaml'), STOCK.text);
  await database.query(STOCK_TABLE);
  shop.put('a.csv', 'Filiale;Artikel;Bestand\nnord;x;1\nnord;y;many\n');
  const env = { ...database.env, PROCESSING_PATH: shop.settings.inputDir, ARCHIVE_PATH: shop.settings.archiveDir };
  const say = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(t, { cwd: shop.home, env }, ...args);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };
  await say('stream', '--once');
  assert.match(await say('rejects', 'list'), /\n {2}ecompipe rejects export --feed stock --output FILE {2}# 1 row\n/);
  assert.match(await say('rejects', 'show', '1'), /feed {6}stock[^]*Bestand {8}many[^]*correct the fields/);
  await say('rejects', 'export', '--feed', 'stock', '--output', 'stock.csv');
  const file = path.join(shop.home, 'stock.csv');
  writeFileSync(file, readFileSync(file, 'utf8').replace('many', '3'));
  assert.match(await say('rejects', 'replay', 'stock.csv'), /^1 row of stock.csv: 1 inserted/);
  assert.deepEqual(await database.query('select units from public.stock order by 1'), [{ units: 1 }, { units: 3 }]);
});
