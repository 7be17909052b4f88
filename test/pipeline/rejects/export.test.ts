import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';
import { eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop } from '../stream/harness.js';
import { exported, parseExport, replay } from './corrected.js';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

test('an export has the values of each row, their reason and their place, and empty texts differ from missing ones', async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  const odd = '"a ""quoted"", comma\r\nand line, 雪 é =1+1"';
  shop.put('odd.csv', `${HEADER}\n${eventRow(1, { quantity: '0', product_name: odd, brand: '""', category: '' })}\n`);
  await load(shop, database);
  const [row] = parseExport(await exported(database));
  assert.equal(row?.['product_name'], 'a "quoted", comma\r\nand line, 雪 é =1+1');
  assert.deepEqual([row['brand'], row['category'], row['event_id'], row['quantity']], ['', null, eventId(1), '0']);
  assert.deepEqual(
    [row['reject_file'], row['reject_line'], row['reject_kind'], row['reject_sqlstate'], row['reject_column']],
    ['odd.csv', '2', 'invalid', '23514', 'quantity'],
  );
  assert.match(row['reject_reason'] ?? '', /events_quantity_positive/);

  const file = path.join(shop.home, 'rejects.csv');
  writeFileSync(file, (await exported(database)).replace(',0,EUR', ',5,EUR'));
  assert.equal((await replay(database, file)).inserted, 1);
  assert.deepEqual(await database.query('select product_name, brand, category, quantity from public.events'), [
    { product_name: 'a "quoted", comma\r\nand line, 雪 é =1+1', brand: '', category: null, quantity: 5 },
  ]);
});

test('rows that are none by structure keep each byte', async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  const rows = [
    Buffer.from('a,b'),
    Buffer.from([0x78, 0x00, 0xff, 0xc3, 0xa9, 0x2c, 0x1b, 0x5b]),
    Buffer.from(`"open,${eventId(1)}`),
  ];
  shop.put(
    'broken.csv',
    Buffer.concat([Buffer.from(`${HEADER}\n`), ...rows.flatMap((row) => [row, Buffer.from('\n')])]),
  );
  await load(shop, database);
  const found = parseExport(await exported(database));
  assert.deepEqual(
    found.map((row) =>
      row['reject_raw_base64'] === null
        ? Buffer.from(row['reject_raw'] ?? '')
        : Buffer.from(row['reject_raw_base64'] ?? '', 'base64'),
    ),
    rows,
  );
  assert.equal(found[1]?.['reject_raw'], 'x\\x00\\xffé,\u001b[');
  assert.ok(found.every((row) => EVENT_COLUMNS.every((name) => row[name] === null)));
});

test('an export is narrowed by file, SQLSTATE and reason, and has resolved rows only when asked', async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  shop.put('a.csv', `${HEADER}\n${eventRow(1, { quantity: '0' })}\n${eventRow(2, { price: 'free' })}\n`);
  shop.put('b.csv', `${HEADER}\n${eventRow(3, { quantity: '0' })}\n`);
  await load(shop, database);
  const lines = async (filter: Parameters<typeof exported>[1]): Promise<string[]> =>
    parseExport(await exported(database, filter))
      .map((row) => `${row['reject_file'] ?? ''}:${row['reject_line'] ?? ''}`)
      .sort();
  assert.deepEqual(await lines({ file: 'a.csv' }), ['a.csv:2', 'a.csv:3']);
  assert.deepEqual(await lines({ sqlState: '22P02' }), ['a.csv:3']);
  for (const reason of ['quantity', 'events_quantity_positive', 'breaks the rule'])
    assert.deepEqual(await lines({ reason }), ['a.csv:2', 'b.csv:2']);
  const file = path.join(shop.home, 'rejects.csv');
  writeFileSync(file, (await exported(database, { file: 'b.csv' })).replace(',0,EUR', ',5,EUR'));
  await replay(database, file);
  assert.deepEqual(await lines({}), ['a.csv:2', 'a.csv:3']);
  assert.deepEqual(await lines({ all: true }), ['a.csv:2', 'a.csv:3', 'b.csv:2']);
});

test('for a spreadsheet, what it would run as a formula gets an apostrophe, which a replay takes off again', async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  const texts = [
    '=HYPERLINK("http://x")',
    '+1',
    '-5',
    '@x',
    '\t=1',
    "'=1",
    "\'\'+",
    '＝1',
    "it\'s",
    "\'quoted\'",
    '',
    'a=b',
  ];
  const rows = texts.map((text, index) =>
    eventRow(index + 1, { quantity: '0', product_name: `"${text.replaceAll('"', '""')}"` }),
  );
  shop.put('=odd.csv', `${HEADER}\n${rows.join('\n')}\n=cmd|x!A0\n`);
  await load(shop, database);
  const text = await exported(database, {}, { escapeFormulas: true });
  for (const row of parseExport(text))
    for (const [column, value] of Object.entries(row)) assert.doesNotMatch(value ?? '', /^[=+\-@\t\r＝]/, column);
  assert.ok(parseExport(text).some((row) => row['reject_raw'] === "'=cmd|x!A0"));
  const file = path.join(shop.home, 'rejects.csv');
  writeFileSync(file, text.replaceAll(',0,EUR', ',5,EUR'));
  assert.equal((await replay(database, file)).inserted, texts.length);
  const loaded = await database.query('select product_name from public.events order by event_id');
  assert.deepEqual(
    loaded,
    texts.map((product_name) => ({ product_name })),
  );
});
