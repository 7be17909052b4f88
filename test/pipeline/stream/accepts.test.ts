import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';
import { copyChunks } from '../../../src/platform/db/copyChunks.js';
import { eventId, eventRow, HEADER, type Fields } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventsIn, idsLike } from './tables.js';

/** Ways to write values of which some mean something to PostgreSQL and some do not; which, it alone decides. */
const WRITTEN: Readonly<Record<string, readonly string[]>> = {
  event_id: [
    '{00000009-0000-7000-8000-000000000001}',
    '000000090000700080000000000000A2',
    '00000009-0000-7000-8000-0000000000ZZ',
    ' 00000009-0000-7000-8000-0000000000a3 ',
  ],
  event_time: [
    '2026-11-22 13:00:00+02',
    '2026-11-22T13:00:00',
    '20261122T130000Z',
    '2026-01-02 03:04:05.123456789Z',
    '-infinity',
    '2026-02-30',
    '0001-01-01 BC',
    '2026-11-22T24:00:00Z',
    '2026-11-22T13:00:60Z',
    'Nov 22 2026 1:00 PM',
    '11/22/2026',
    '22/11/2026',
    '1700000000',
    '"2026-11-22\t13:00"',
    '2026-11-22T13:00:00 Europe/Berlin',
    '2026-11-22T13:00:00 Mars/Olympus',
  ],
  price: [
    ' 12 ',
    '1e3',
    '.5',
    '12.345',
    '12.',
    '+7',
    '0x10',
    '1_000',
    '1e10',
    '9999999999.994',
    '9999999999.995',
    '-0',
    '-0.001',
    'Infinity',
    '"1,5"',
    '""',
    '" "',
    '٣',
  ],
  quantity: [' 2 ', '+3', '1_000', '0x1F', '2.0', '1e1', '""', '-1', '2147483647'],
  country: ['DE', 'ÄÖ', 'D', '""', '"DE "', '" "'],
  currency: ['EUR', 'EU', '€', '"EUR "'],
  user_id: ['" "', '\\N', '"\\N"', 'NULL', '"a\nb"', "o'brien", '"😀"', '\\.', '"\u0001"'],
  device: ['Mobile', 'tablet', '""'],
  event_type: ['Purchase', 'page_view', '" page_view"', 'refund', 'search', '""'],
};

const candidates = Object.entries(WRITTEN)
  .flatMap(([column, values]) => values.map((value) => ({ [column]: value })))
  .map((fields, n) => eventRow(n, fields));

/** Rows one by one through the server's own COPY. */
async function loadByCopy(database: TestDatabase, rows: readonly string[]): Promise<void> {
  await onDatabase(database, {}, async (target) => {
    const connection = await target.connect();
    for (const row of rows) {
      await copyChunks(connection, `copy public.events (${EVENT_COLUMNS.join(', ')}) from stdin (format csv)`, [
        Buffer.from(row),
      ]).catch((error: unknown) => {
        assert.ok(error instanceof pg.DatabaseError, String(error));
      });
    }
    await connection.close();
  });
}

test('the staged path accepts what COPY accepts, with the same values, and nothing else', async (t) => {
  const [byCopy, staged] = [await migratedDatabase(), await migratedDatabase()];
  await loadByCopy(byCopy, candidates);
  const shop = openShop(t);
  shop.put('a.csv', [HEADER, ...candidates, ''].join('\n'));
  await load(shop, staged);
  assert.deepEqual(await eventsIn(staged), await eventsIn(byCopy));
  assert.deepEqual(await staged.query('select distinct load_path from ecompipe.batches'), [{ load_path: 'staged' }]);
  await assertLedger(staged);
});

test('good rows are the same in the table whether a bad neighbour sent them to the stage or not', async (t) => {
  const rows = candidates.filter((_, n) => n % 3 === 0);
  const [probe, direct, staged] = [await migratedDatabase(), await migratedDatabase(), await migratedDatabase()];
  await loadByCopy(probe, rows);
  const accepted = new Set((await eventsIn(probe)).map(({ user_id: user }) => user));
  // Other dates than those written year first are looked at closely on the staged path.
  const good = rows.filter((row, index) => accepted.has(`u${3 * index}`) && /,\d{4}-\d\d-\d\d[T ]\d/.test(row));
  const [alone, poisoned] = [openShop(t), openShop(t)];
  alone.put('a.csv', [HEADER, ...good, ''].join('\n'));
  poisoned.put('a.csv', [HEADER, ...good, 'poison', ''].join('\n'));
  await Promise.all([load(alone, direct), load(poisoned, staged)]);
  assert.ok(good.length > 5);
  assert.deepEqual(await eventsIn(staged), await eventsIn(direct));
  assert.deepEqual(await direct.query('select load_path from ecompipe.batches'), [{ load_path: 'direct' }]);
  assert.deepEqual(await staged.query('select load_path from ecompipe.batches'), [{ load_path: 'staged' }]);
});

/** A rule that a user adds to the table, and the field values of one row that breaks it. */
function userRule(
  name: string,
  sql: string,
  bad: Fields,
  expected: { readonly sqlState: string; readonly constraint: string | null },
  before = '',
): void {
  test(`a row that breaks ${name} is rejected, and its neighbours are loaded`, async (t) => {
    const database = await migratedDatabase();
    await database.query(before === '' ? 'select' : before);
    await database.query(sql);
    for (const batchBytes of [1 << 20, 1024]) {
      const shop = openShop(t, { batchBytes });
      const base = batchBytes === 1024 ? 1000 : 0;
      const rows = Array.from({ length: 24 }, (_, n) =>
        eventRow(base + n, n === 9 ? bad : n === 17 ? { ...bad, session_id: 'other' } : {}),
      );
      shop.put('a.csv', [HEADER, ...rows, ''].join('\n'));
      await load(shop, database);
      const ids = (await idsLike(database, '00000000-')).slice(-22);
      assert.deepEqual(
        ids,
        Array.from({ length: 24 }, (_, n) => eventId(base + n)).filter((_, n) => n !== 9 && n !== 17),
      );
    }
    assert.deepEqual(
      await database.query(
        'select line::int4, sql_state as "sqlState", constraint_name as constraint from ecompipe.rejected_rows order by file_id, byte_offset',
      ),
      [11, 19, 11, 19].map((line) => ({ line, ...expected })),
    );
  });
}

const shops = 'create table shops (code text primary key)';
const aShop = "insert into shops values ('DE')";
userRule(
  'a unique index of the user',
  'create unique index one_coupon on public.events (coupon)',
  { coupon: 'X' },
  { sqlState: '23505', constraint: 'one_coupon' },
  `insert into public.events (event_id, event_type, event_time, user_id, session_id, coupon) values ('${eventId(1, 99)}', 'page_view', now(), 'u', 's', 'X')`,
);
userRule(
  'a foreign key of the user',
  'alter table public.events add constraint known_shop foreign key (country) references shops',
  { country: 'FR' },
  { sqlState: '23503', constraint: 'known_shop' },
  `${shops}; ${aShop}`,
);
userRule(
  'a deferred foreign key of the user',
  'alter table public.events add constraint known_shop foreign key (country) references shops deferrable initially deferred',
  { country: 'FR' },
  { sqlState: '23503', constraint: 'known_shop' },
  `${shops}; ${aShop}`,
);
userRule(
  'a check of the user',
  'alter table public.events add constraint cheap check (price < 1000)',
  { price: '1000' },
  { sqlState: '23514', constraint: 'cheap' },
);
userRule(
  'a check of the user that fails to compute',
  'alter table public.events add constraint computed check (1 / (price - 5) is not null)',
  { price: '5' },
  { sqlState: '22012', constraint: null },
);
