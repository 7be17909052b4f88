import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';
import { parseHeader } from '../../../src/contract/csv/header.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { runUndo } from '../../../src/pipeline/undo/runUndo.js';
import { remakeRows } from '../../../src/pipeline/stream/feeds/remakeRows.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { run } from '../../helpers/executable.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { correctedFile, replay } from '../rejects/corrected.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));
const SPELLED = EVENT_COLUMNS.map((column, index) => (index % 2 === 0 ? ` ${column.toUpperCase()} ` : column)).join(
  ',',
);
/** The header and rows of a file of which every line ends with a comma. */
const trailing = (text: string): string => text.replaceAll('\n', ',\n');

test('names in a header match without regard to case and blanks, on the direct path', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', eventFile(0, 5).replace(HEADER, SPELLED));
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(0, 5));
  assert.deepEqual(
    await database.query('select load_path, ecompipe.columns_of(b) as columns from ecompipe.batches b'),
    [{ load_path: 'direct', columns: [...EVENT_COLUMNS] }],
  );
});

test('a name that comes twice once case and blanks are gone sends the file to quarantine', () => {
  const expected = { known: ['event_id', 'event_type', 'Odd', 'odd'], required: [] };
  const parse = (line: string): readonly string[] | undefined => parseHeader(Buffer.from(line), expected)?.columns;
  assert.throws(() => parse('event_id, EVENT_ID \n'), { message: 'column named twice: event_id' });
  assert.throws(() => parse('event_id,,event_type\n'), { message: 'unknown column: ""' });
  assert.throws(() => parse('event_id,ODD\n'), { message: 'unknown column: "ODD"' });
  assert.deepEqual(parse('Odd,odd,Event_Type,\n'), ['Odd', 'odd', 'event_type']);
});

const bad = [
  `${eventRow(5, { quantity: '0' })},`,
  `${eventRow(6)},surplus`,
  eventRow(7),
  `${eventRow(8)},""`,
  `${eventRow(9, { product_name: '"two\nlines,"' })},`,
].join('\n');

for (const [how, overrides] of [
  ['a small file', {}],
  ['ranges', { batchBytes: 1024 }],
  ['--atomic-file', { batchBytes: 1024, atomicFile: true }],
] as const)
  test(`a column without a name at the end of each line is ignored where it is empty: ${how}`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, overrides);
    const events: StreamEvent[] = [];
    const text = `${trailing(eventFile(0, 5).replace(HEADER, SPELLED))}${bad}\n${trailing(eventFile(10, 40)).slice(HEADER.length + 2)}`;
    shop.put('a.csv', text);
    const { rows } = await load(shop, database, {}, { onEvent: (event) => events.push(event) });
    assert.deepEqual(rows, { read: 40, inserted: 37, duplicate: 0, rejected: 3 });
    assert.deepEqual(await eventIds(database), [...ids(0, 5), ...ids(8, 40)]);
    assert.deepEqual(
      events.filter(({ type }) => type === 'columnsIgnored'),
      [{ type: 'columnsIgnored', file: 'a.csv', columns: 1 }],
    );
    const rejects = await database.query<{ line: number; raw: string; message: string }>(
      `select line::int4, convert_from(raw, 'utf8') as raw, message from ecompipe.rejected_rows order by line`,
    );
    const lines = text.split('\n');
    assert.deepEqual(
      rejects.map(({ line, raw }) => [line, raw]),
      [7, 8, 9].map((line) => [line, lines[line - 1]]),
    );
    assert.match(rejects[1]?.message ?? '', /a value after the last column that the header names/);
    assert.match(rejects[2]?.message ?? '', /fields where the header has/);
    await assertLedger(database);
  });

test('such a file is traced, taken out of a batch that it shares, and its rejects are replayed', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  shop.put('a.csv', trailing(`${SPELLED}\n${eventRow(0)}\n${eventRow(1, { quantity: '0' })}\n`));
  shop.put('b.csv', trailing(eventFile(10, 12)));
  await load(shop, database);
  const env = { ...database.env, ARCHIVE_PATH: shop.settings.archiveDir, PROCESSING_PATH: shop.settings.inputDir };
  const { stdout } = await run(t, { cwd: shop.home, env }, 'trace', eventId(11));
  assert.match(stdout, /from: +b\.csv:3\n/);
  const file = await correctedFile(database, shop.home, (row) => ({ ...row, quantity: '1' }));
  await replay(database, file);
  assert.deepEqual(await eventIds(database), [...ids(0, 2), ...ids(10, 12)]);
  const places = { loadedDirs: [shop.settings.archiveDir], waitingDirs: [shop.settings.inputDir] };
  const undone = await onDatabase(database, {}, (target) =>
    runUndo({ ...places, file: 'b.csv', batchId: undefined, dryRun: false }, target, remakeRows),
  );
  assert.deepEqual([undone.eventsRemoved, await eventIds(database)], [2, ids(0, 2)]);
});
