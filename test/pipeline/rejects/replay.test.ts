import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { FAILPOINTS } from '../../../src/platform/failpoint.js';
import { run } from '../../helpers/executable.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { startProxy } from '../../helpers/proxy.js';
import { load, openShop, type Shop } from '../stream/harness.js';
import { assertLedger, eventIds } from '../stream/tables.js';
import { correctedFile, edit, replay, type ExportedRow } from './corrected.js';

const ALL = Array.from({ length: 10 }, (_, n) => eventId(n));

interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
}

/** Ten rows of which 2, 5 and 8 have no quantity that the table accepts. */
async function setScene(t: TestContext): Promise<Scene> {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  shop.put(
    'orders.csv',
    [
      HEADER,
      ...Array.from({ length: 10 }, (_, n) => eventRow(n, [2, 5, 8].includes(n) ? { quantity: '0' } : {})),
      '',
    ].join('\n'),
  );
  await load(shop, database);
  return { database, shop };
}

const withQuantity = (row: ExportedRow): ExportedRow => ({ ...row, quantity: '3' });

async function resolutions(database: TestDatabase): Promise<unknown[]> {
  return await database.query(
    'select line::int, resolution, resolved_key as event, resolved_by = session_user as by, resolved_at is not null as at, (select load_path from ecompipe.batches where batch_id = resolved_batch_id) as batch from ecompipe.rejected_rows order by line',
  );
}

const resolved = (line: number, resolution: string): unknown => ({
  line,
  resolution,
  event: eventId(line - 2),
  by: true,
  at: true,
  batch: 'replay',
});
const open = (line: number): unknown => ({ line, resolution: null, event: null, by: null, at: false, batch: null });

test('corrected rows are inserted, and their rejects say who resolved them, when, how and in which batch', async (t) => {
  const { database, shop } = await setScene(t);
  const result = await replay(database, await correctedFile(database, shop.home, withQuantity));
  assert.deepEqual(
    { ...result, batchIds: result.batchIds.length },
    { read: 3, inserted: 3, duplicate: 0, rejected: 0, resolvedBefore: 0, unknown: 0, batchIds: 1, rejectedAgain: [] },
  );
  assert.deepEqual(await eventIds(database), ALL);
  assert.deepEqual(await resolutions(database), [
    resolved(4, 'inserted'),
    resolved(7, 'inserted'),
    resolved(10, 'inserted'),
  ]);
  await assertLedger(database);
});

test('the same file again, and twice at once, changes nothing', async (t) => {
  const { database, shop } = await setScene(t);
  const file = await correctedFile(database, shop.home, withQuantity);
  const both = await Promise.all([replay(database, file), replay(database, file)]);
  assert.deepEqual(
    both.map(({ inserted, resolvedBefore }) => inserted + resolvedBefore),
    [3, 3],
  );
  assert.equal(both[0].inserted + both[1].inserted, 3);
  assert.deepEqual(
    await replay(database, file).then(({ inserted, resolvedBefore }) => ({ inserted, resolvedBefore })),
    { inserted: 0, resolvedBefore: 3 },
  );
  assert.deepEqual(await eventIds(database), ALL);
  await assertLedger(database);
});

test('a row that came in another way meanwhile is a duplicate, or a conflict that stays open', async (t) => {
  const { database, shop } = await setScene(t);
  const file = await correctedFile(database, shop.home, withQuantity);
  shop.put('again.csv', `${HEADER}\n${eventRow(2, { quantity: '3' })}\n${eventRow(5, { quantity: '4' })}\n`);
  await load(shop, database);
  const result = await replay(database, file);
  assert.deepEqual([result.inserted, result.duplicate, result.rejected], [1, 1, 1]);
  assert.deepEqual(
    result.rejectedAgain.map(({ line, reason }) => [line, reason.kind, reason.column]),
    [[3, 'conflict', 'quantity']],
  );
  assert.deepEqual(await eventIds(database), ALL);
  assert.deepEqual(await resolutions(database), [resolved(4, 'duplicate'), open(7), resolved(10, 'inserted')]);
  await assertLedger(database);
});

test('rows that are still wrong stay open with their old reason, and are told with the new one', async (t) => {
  const { database, shop } = await setScene(t);
  const file = await correctedFile(database, shop.home, (row) =>
    row['reject_line'] === '4' ? { ...row, quantity: 'many' } : row['reject_line'] === '7' ? row : withQuantity(row),
  );
  const result = await replay(database, file);
  assert.deepEqual(
    result.rejectedAgain.map(({ line, reason }) => [line, reason.sqlState]),
    [
      [2, '22P02'],
      [3, '23514'],
    ],
  );
  assert.deepEqual(await resolutions(database), [open(4), open(7), resolved(10, 'inserted')]);
  edit(file, 'many', '7');
  assert.deepEqual(
    await replay(database, file).then(({ inserted, rejected, resolvedBefore }) => ({
      inserted,
      rejected,
      resolvedBefore,
    })),
    { inserted: 1, rejected: 1, resolvedBefore: 1 },
  );
  assert.deepEqual(await database.query('select quantity from public.events where event_id = $1', [eventId(2)]), [
    { quantity: 7 },
  ]);
  await assertLedger(database);
});

test('when nothing of it is accepted, the ledger has no batch of it', async (t) => {
  const { database, shop } = await setScene(t);
  const result = await replay(database, await correctedFile(database, shop.home, (row) => row));
  assert.deepEqual([result.rejected, result.batchIds], [3, []]);
  assert.deepEqual(await database.query("select count(*)::int from ecompipe.batches where load_path = 'replay'"), [
    { count: 0 },
  ]);
});

test('the views for analysts count a replayed row, before and after a refresh', async (t) => {
  const { database, shop } = await setScene(t);
  const events = async (): Promise<unknown> =>
    (await database.query<{ events: string }>('select events from analytics.events_by_type'))[0]?.events;
  assert.equal(await events(), '7');
  await database.query('select analytics.refresh()');
  await replay(database, await correctedFile(database, shop.home, withQuantity));
  assert.equal(await events(), '10');
  await database.query('select analytics.refresh()');
  assert.equal(await events(), '10');
});

test('rows of broken structure are corrected in reject_raw, by the columns of their own file', async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t);
  const columns = 'event_time,event_id,session_id,user_id,event_type';
  const row = (n: number): string => `2026-11-22T10:00:00Z,${eventId(n)},s,u,page_view`;
  shop.put(
    'other.csv',
    Buffer.concat([
      Buffer.from(`${columns}\n${row(0)}\n${row(1)},more\n2026-11-22T10:00:00Z,${eventId(2)},caf`),
      Buffer.from([0xe9]),
      Buffer.from(`,u,page_view\n${row(3).replace('s', '"s')}\n`),
    ]),
  );
  await load(shop, database);
  assert.deepEqual(await eventIds(database), [eventId(0)]);

  const untouched = await replay(database, await correctedFile(database, shop.home, (reject) => reject));
  assert.deepEqual(
    untouched.rejectedAgain.map(({ line, reason }) => [line, /^not corrected: /.test(reason.message)]),
    [
      [2, true],
      [3, true],
      [4, true],
    ],
  );
  const worse = await replay(
    database,
    await correctedFile(database, shop.home, (reject) => ({ ...reject, reject_raw: 'x' })),
  );
  assert.match(worse.rejectedAgain[0]?.reason.message ?? '', /^reject_raw does not have 5 fields: event_time,event_id/);

  const file = await correctedFile(database, shop.home, (reject) => ({
    ...reject,
    reject_raw: (reject['reject_raw'] ?? '').replace(',more', '').replace('\\xe9', 'é').replace('"s', 's'),
  }));
  assert.equal((await replay(database, file)).inserted, 3);
  assert.deepEqual(
    await eventIds(database),
    [0, 1, 2, 3].map((n) => eventId(n)),
  );
  assert.deepEqual(await database.query('select session_id from public.events where event_id = $1', [eventId(2)]), [
    { session_id: 'café' },
  ]);
  await assertLedger(database);
});

test('what a spreadsheet makes of the file is understood: semicolons, a byte order mark, CRLF and columns in another order', async (t) => {
  const { database, shop } = await setScene(t);
  const file = path.join(shop.home, 'sheet.csv');
  const ids = await database.query<{ id: string }>('select reject_id as id from ecompipe.rejected_rows order by line');
  const line = ({ id }: { id: string }, n: number): string =>
    `${id};${eventId(n)};add_to_cart;2026-11-22T10:00:00Z;u;s;p1;"9.90";1;EUR`;
  writeFileSync(
    file,
    `\ufeffreject_id;event_id;event_type;event_time;user_id;session_id;product_id;price;quantity;currency\r\n${ids.map((id, index) => line(id, 2 + 3 * index)).join('\r\n')}\r\n`,
  );
  assert.equal((await replay(database, file)).inserted, 3);
  await assertLedger(database);
});

for (const [what, text, why] of [
  ['has no ids of rejects', `${HEADER}\n${eventRow(1)}\n`, /no column reject_id/],
  ['has a column that nobody knows', 'reject_id,colour\n1,red\n', /unknown columns: "colour"/],
  ['names a reject twice', 'reject_id,event_type\n1,refund\n1,purchase\n', /:3: reject 1 is already in line 2/],
  ['has a row without id', 'reject_id,event_type\n1,refund\n,purchase\n', /:3: reject_id is not a number/],
  ['has a row with too few fields', 'reject_id,event_type\n1,refund\n2\n', /:3: 1 field where the header has 2/],
  ['is empty', '', /is empty/],
  ['is not UTF-8', Buffer.from([0x72, 0xe9, 0x0a]), /is not UTF-8/],
] as const) {
  test(`a file that ${what} is refused whole, with the place`, async (t) => {
    const { database, shop } = await setScene(t);
    const file = path.join(shop.home, 'bad.csv');
    writeFileSync(file, text);
    await assert.rejects(
      replay(database, file),
      (error: Error & { exitCode: number }) => error.exitCode === 2 && why.test(error.message),
    );
    assert.equal((await eventIds(database)).length, 7);
  });
}

test('a replay that is killed anywhere is finished by the next, and nothing is lost or doubled', async (t) => {
  const points = ['batch-begun', 'copying', 'copied', 'ledger-written', 'commit-sent', 'committed'].filter(
    (name) => name in FAILPOINTS,
  );
  const killed: string[] = [];
  for (const point of points) {
    const { database, shop } = await setScene(t);
    const file = await correctedFile(database, shop.home, withQuantity);
    const first = await run(
      t,
      { cwd: shop.home, env: { ...database.env, ECOMPIPE_FAILPOINT: `${point}:1=kill` } },
      'rejects',
      'replay',
      file,
    );
    if (first.signal === 'SIGKILL') killed.push(point);
    const { exitCode, stdout } = await run(
      t,
      { cwd: shop.home, env: database.env },
      'rejects',
      'replay',
      file,
      '--json',
    );
    assert.equal(exitCode, 0);
    const { inserted, resolvedBefore } = JSON.parse(stdout) as { inserted: number; resolvedBefore: number };
    assert.equal(inserted + resolvedBefore, 3);
    assert.deepEqual(await eventIds(database), ALL);
    await assertLedger(database);
  }
  assert.ok(killed.length >= 4, `killed at ${killed.join(', ')}`);
});

for (const [what, text, fromClient, verdict] of [
  ['COMMIT never arrives', 'commit\0', true, 'cut-before'],
  ['the reply to COMMIT is lost', 'COMMIT\0', false, 'cut-before'],
] as const) {
  test(`when ${what}, the replay goes on by itself and counts what it did`, async (t) => {
    const { database, shop } = await setScene(t);
    const file = await correctedFile(database, shop.home, withQuantity);
    let cuts = 0;
    const proxy = await startProxy(database.port, (chunk, isRequest) =>
      isRequest === fromClient && chunk.includes(text) && cuts++ === 0 ? verdict : 'pass',
    );
    t.after(() => proxy.close());
    const { inserted, resolvedBefore } = await replay(database, file, { via: proxy });
    assert.ok(cuts > 0);
    assert.deepEqual({ inserted, resolvedBefore }, { inserted: 3, resolvedBefore: 0 });
    assert.deepEqual(await eventIds(database), ALL);
    await assertLedger(database);
  });
}

test('a replay beside a stream that loads the same events doubles none', async (t) => {
  const { database, shop } = await setScene(t);
  const file = await correctedFile(database, shop.home, withQuantity);
  shop.put('more.csv', eventFile(0, 200, { quantity: '3' }));
  await Promise.all([load(shop, database), replay(database, file)]);
  assert.equal((await eventIds(database)).length, 200);
  await assertLedger(database);
});
