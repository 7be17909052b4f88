import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { run, start } from '../helpers/executable.js';
import { correctedFile, exported, parseExport, replay, type ExportedRow } from '../pipeline/rejects/corrected.js';
import { load } from '../pipeline/stream/harness.js';
import {
  assertProved,
  item,
  lines,
  LINES,
  rowsOf,
  rowsWithoutFault,
  setScene,
  STOCK,
  STOCK_TABLE,
  undo,
  type Scene,
} from './replaying.js';

test('of a record with several rows only the one that was rejected is loaded, with the id that it would have had', async (t) => {
  const right = [
    { visit: 'a', items: [item('x'), item('y'), item('x')] },
    { visit: 'b', items: [item('x')] },
    { visit: 'b', items: [item('x'), item('z')] },
  ];
  const wrong = lines(
    { visit: 'a', items: [item('x'), item('y', 'soon'), item('x', '?')] },
    right[1],
    '{"visit": "b", "items": [{',
  );
  const { database, shop } = await setScene(t, [LINES], { 'visits.jsonl': wrong });
  await load(shop, database);
  const rejects = parseExport(await exported(database)).sort(byItem);
  assert.deepEqual(
    rejects.map((row) => [row['reject_line'], row['reject_item']]),
    [
      ['3', null],
      ['1', '2'],
      ['1', '3'],
    ],
  );
  const fixed = new Map([
    ['1', JSON.stringify(right[0], null, 2)],
    ['3', JSON.stringify(right[2])],
  ]);
  const corrected = await correctedFile(database, shop.home, (row) => ({
    ...row,
    record: fixed.get(row['reject_line'] ?? '') ?? null,
  }));
  const result = await replay(database, corrected);
  assert.deepEqual([result.read, result.inserted, result.rejected], [3, 3, 0]);
  assert.deepEqual(await rowsOf(database), await rowsWithoutFault(t, [LINES], { 'visits.jsonl': lines(...right) }));
  assert.equal((await replay(database, corrected)).resolvedBefore, 3);
  await assertProved(database);

  // The record that became two rows is two rejects from then on, and each goes with its file.
  const undone = await undo({ database, shop }, { batchId: result.batchIds[0] });
  assert.deepEqual([undone.eventsRemoved, undone.rejectsReopened], [4, 4]);
  await assertProved(database);
  assert.equal((await replay(database, corrected)).inserted, 3);
  assert.deepEqual(await rowsOf(database), await rowsWithoutFault(t, [LINES], { 'visits.jsonl': lines(...right) }));
  assert.deepEqual(await database.query('select from ecompipe.rejected_rows where resolved_at is null'), []);
  await assertProved(database);
  const gone = await undo({ database, shop }, { file: 'visits.jsonl' });
  assert.deepEqual([gone.eventsRemoved, gone.eventsMissing], [6, 0]);
  assert.deepEqual(await rowsOf(database), []);
});

const byItem = (a: ExportedRow, b: ExportedRow): number => Number(a['reject_item']) - Number(b['reject_item']);

test('a correction that changes the number of rows is refused where it cannot be told which one is meant', async (t) => {
  const { database, shop } = await setScene(t, [LINES], {
    'visits.jsonl': lines({ visit: 'a', items: [item('x'), item('y', 'soon'), item('z')] }),
  });
  await load(shop, database);
  for (const items of [
    [item('x'), item('z')],
    [item('x'), item('y'), item('y'), item('z')],
  ]) {
    const corrected = await correctedFile(database, shop.home, (row) => ({
      ...row,
      record: JSON.stringify({ visit: 'a', items }),
    }));
    const { inserted, rejectedAgain } = await replay(database, corrected);
    assert.equal(inserted, 0);
    assert.match(
      rejectedAgain[0]?.reason.message ?? '',
      new RegExp(`makes ${items.length} rows instead of 3: which of them is row 2`),
    );
  }
  assert.equal((await rowsOf(database)).length, 2);
});

test('of a record that is several rows all go in, or none', async (t) => {
  const { database, shop } = await setScene(t, [LINES], { 'visits.jsonl': lines('{"visit": "a",', '{"visit": "b",') });
  await load(shop, database);
  const record = (line: string | null | undefined): string =>
    JSON.stringify({ visit: line, items: line === '1' ? [item('x'), item('y', 'soon')] : [item('x'), item('y')] });
  const corrected = await correctedFile(database, shop.home, (row) => ({ ...row, record: record(row['reject_line']) }));
  const { inserted, rejected, rejectedAgain } = await replay(database, corrected);
  assert.deepEqual([inserted, rejected], [1, 1]);
  assert.equal(rejectedAgain[0]?.reason.column, 'event_time');
  assert.deepEqual(await database.query('select distinct user_id from public.events'), [{ user_id: '2' }]);
  await assertProved(database);
});

test('rejects of a table with a key of two columns are replayed there: inserted, duplicate or conflict, and undone with their file', async (t) => {
  const { database, shop } = await setScene(t, [STOCK], {
    'a.csv': 'Filiale;Artikel;Bestand\nnord;x;1\nnord;y;many\nsüd;x;-1\nsüd;y;few\nost;x;2\n',
  });
  await database.query(STOCK_TABLE);
  await load(shop, database);
  shop.put('b.csv', 'Filiale;Artikel;Bestand\nsüd;x;5\nsüd;y;6\n');
  await load(shop, database);
  const units = new Map([
    ['3', '4'],
    ['4', '5'],
    ['5', '7'],
  ]);
  const corrected = await correctedFile(database, shop.home, (row) => ({
    ...row,
    Bestand: units.get(row['reject_line'] ?? '') ?? null,
  }));
  const { inserted, duplicate, rejected, rejectedAgain, batchIds } = await replay(database, corrected);
  assert.deepEqual([inserted, duplicate, rejected], [1, 1, 1]);
  assert.deepEqual(
    rejectedAgain.map(({ reason }) => [reason.kind, reason.column]),
    [['conflict', 'units']],
  );
  assert.deepEqual(
    await database.query('select resolution, resolved_key as key from ecompipe.rejected_rows order by line'),
    [
      { resolution: 'inserted', key: '["nord", "Y"]' },
      { resolution: 'duplicate', key: '["süd", "X"]' },
      { resolution: null, key: null },
    ],
  );
  await assertProved(database);
  const undone = async (what: Parameters<typeof undo>[1]): Promise<number[]> => {
    const { eventsRemoved, eventsMissing, rejectsReopened } = await undo({ database, shop }, what);
    await assertProved(database);
    return [eventsRemoved, eventsMissing, rejectsReopened];
  };
  assert.deepEqual(await undone({ batchId: batchIds[0]! }), [1, 0, 1]);
  assert.equal((await replay(database, corrected)).inserted, 1);
  assert.deepEqual(await undone({ file: 'a.csv' }), [3, 0, 0]);
  assert.deepEqual(await database.query('select shop, sku from public.stock order by 1, 2'), [
    { shop: 'süd', sku: 'X' },
    { shop: 'süd', sku: 'Y' },
  ]);
});

/** A scene whose every kind of reject is corrected in one file. */
async function setMixedScene(t: TestContext): Promise<Scene & { readonly file: string; readonly expected: unknown[] }> {
  const right = lines({ visit: 'a', items: [item('x'), item('y')] }, { visit: 'b', items: [item('x'), item('z')] });
  const scene = await setScene(t, [LINES], {
    'visits.jsonl': lines({ visit: 'a', items: [item('x'), item('y', '?')] }, '{'),
  });
  await load(scene.shop, scene.database);
  const file = await correctedFile(scene.database, scene.shop.home, (row) => ({
    ...row,
    record: right.split('\n')[Number(row['reject_line']) - 1] ?? null,
  }));
  return { ...scene, file, expected: await rowsWithoutFault(t, [LINES], { 'visits.jsonl': right }) };
}

for (const point of ['batch-begun', 'copied', 'ledger-written', 'commit-sent', 'committed'])
  test(`a replay by a feed that is killed at ${point} is finished by two others at once, and nothing is lost or doubled`, async (t) => {
    const { database, shop, file, expected } = await setMixedScene(t);
    const env = { ...database.env, ARCHIVE_PATH: shop.settings.archiveDir };
    const killed = await run(
      t,
      { cwd: shop.home, env: { ...env, ECOMPIPE_FAILPOINT: `${point}:1=kill` } },
      'rejects',
      'replay',
      file,
    );
    assert.equal(killed.signal, 'SIGKILL', killed.stderr);
    const both = await Promise.all(
      [0, 1].map(() => start(t, { cwd: shop.home, env }, 'rejects', 'replay', file, '--json').end),
    );
    for (const { exitCode, stdout, stderr } of both) {
      assert.equal(exitCode, 0, stderr);
      const { inserted, resolvedBefore } = JSON.parse(stdout) as { inserted: number; resolvedBefore: number };
      assert.equal(inserted + resolvedBefore, 2);
    }
    assert.deepEqual(await rowsOf(database), expected);
    assert.deepEqual(await database.query('select from ecompipe.rejected_rows where resolved_at is null'), []);
    await assertProved(database);
  });
