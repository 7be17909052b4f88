import assert from 'node:assert/strict';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { constants, gzipSync } from 'node:zlib';
import { canonicalShape } from '../../../src/contract/csv/header.js';
import { openLarge } from '../../../src/pipeline/stream/content.js';
import { splitRecords } from '../../../src/pipeline/stream/staged/records.js';
import type { StreamEvent, StreamSettings } from '../../../src/pipeline/stream/streamEvents.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const MIB = 2 ** 20;

/** Loads a hostile file beside a good one, which must come through. @returns the reason that the hostile one is in quarantine for. */
async function quarantineReason(
  t: TestContext,
  name: string,
  put: (shop: Shop) => void,
  settings: Partial<StreamSettings> = {},
): Promise<string> {
  const database = await migratedDatabase();
  const shop = openShop(t, settings);
  put(shop);
  shop.put('good.csv', eventFile(0, 3));
  const events: StreamEvent[] = [];
  await load(shop, database, {}, { onEvent: (event) => events.push(event) });
  assert.deepEqual(await eventIds(database), [eventId(0), eventId(1), eventId(2)]);
  const [day = ''] = readdirSync(shop.settings.quarantineDir);
  const folder = path.join(shop.settings.quarantineDir, day);
  const { reason } = JSON.parse(readFileSync(path.join(folder, `${name}.reason.json`), 'utf8')) as { reason: string };
  assert.deepEqual(readdirSync(folder).sort(), [name, `${name}.reason.json`].sort());
  assert.deepEqual(await ledgerReasons(database), [reason]);
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'fileQuarantined' ? [event.reason] : [])),
    [reason],
  );
  assert.ok(reason.length <= 1000, `a reason of ${reason.length} characters`);
  return reason;
}

async function ledgerReasons(database: TestDatabase): Promise<unknown[]> {
  const rows = await database.query<{ reason: string }>(
    "select reason from ecompipe.files where state = 'quarantined'",
  );
  return rows.map(({ reason }) => reason);
}

const distinct = (count: number): string => Array.from({ length: count }, (_, index) => `c${index}`).join(',');

test('a megabyte of distinct names in a header is refused at once', async (t) => {
  await migratedDatabase();
  const header = distinct(150_000).slice(0, MIB - 1);
  const startedAt = performance.now();
  const reason = await quarantineReason(t, 'a.csv', (shop) => shop.put('a.csv', `${header}\n1\n`));
  assert.match(reason, /the first line is longer than 128 KiB/);
  assert.ok(performance.now() - startedAt < 60_000, 'it took quadratic time');
});

for (const [what, header, expected] of [
  ['more names than a table has columns', distinct(2000), /the header has 2,000 fields; a table has at most 1600/],
  ['a thousand unknown names', distinct(1000), /unknown column: "c0", .*"c9" and 990 more/],
  ['a name of 100,000 characters', `${HEADER},${'x'.repeat(100_000)}`, /unknown column: "x{59}…"/],
  [
    'names of 10,000 characters, each twice',
    Array.from({ length: 12 }, (_, n) => `${n % 6}${'x'.repeat(9_999)}`).join(','),
    /column named twice: 0x{58}…, 1x{58}…/,
  ],
] as const) {
  test(`${what}: the reason names a few of them, in the log, the ledger and the file`, async (t) => {
    assert.match(await quarantineReason(t, 'a.csv', (shop) => shop.put('a.csv', `${header}\n1\n`)), expected);
  });
}

function putSparse(shop: Shop, name: string, start: string, bytes: number): void {
  truncateSync(shop.put(name, start), bytes);
}

test('a file of 200 GB that is binary by its first bytes is put away without reading the rest', async (t) => {
  const startedAt = performance.now();
  const reason = await quarantineReason(t, 'a.csv', (shop) => putSparse(shop, 'a.csv', '', 200 * 2 ** 30));
  assert.match(reason, /UTF-16 or binary/);
  assert.ok(performance.now() - startedAt < 60_000);
});

test('reading hears that it shall stop', async (t) => {
  const file = path.join(temporaryDirectory(t), 'a.csv');
  writeFileSync(file, `${HEADER}\n`);
  truncateSync(file, 200 * 2 ** 30);
  const stop = new AbortController();
  const judgeStart = (): Promise<void> => {
    stop.abort(new Error('asked to stop'));
    return Promise.resolve();
  };
  await assert.rejects(openLarge(file, { stop: stop.signal, judgeStart }), /asked to stop/);
});

test('--atomic-file hears between two ranges that it shall stop, and keeps nothing', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { atomicFile: true, batchBytes: 1024, connections: 1 });
  shop.put('a.csv', eventFile(0, 2000));
  const stop = new AbortController();
  // Seen from here: the first rows are in the table's pages, and the load goes on.
  const watch = setInterval(() => {
    void database
      .query("select from pg_stat_activity where query like '%ecompipe_range%'")
      .then(({ length }) => length > 0 && stop.abort());
  }, 5);
  t.after(() => clearInterval(watch));
  await load(shop, database, {}, { stop: stop.signal });
  clearInterval(watch);
  assert.ok(stop.signal.aborted, 'it ended before it was stopped');
  assert.deepEqual(await eventIds(database), []);
  await load(shop, database, { batchBytes: MIB });
  assert.equal((await eventIds(database)).length, 2000);
  await assertLedger(database);
});

test('a .gz that becomes more than 100 times as long is put away, whatever it begins with', async (t) => {
  const bomb = gzipSync(Buffer.concat([Buffer.from(`${HEADER}\n`), Buffer.alloc(100 * MIB, 'a\n')]), { level: 1 });
  assert.ok(bomb.length < MIB);
  assert.match(
    await quarantineReason(t, 'a.csv.gz', (shop) => shop.put('a.csv.gz', bomb)),
    /more than 100 times as long/,
  );
  const zeros = gzipSync(Buffer.alloc(100 * MIB), { level: 1 });
  assert.match(await quarantineReason(t, 'a.csv.gz', (shop) => shop.put('a.csv.gz', zeros)), /binary/);
});

test('a .gz of 20 MiB that is mostly blanks is loaded', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const rows = `${HEADER}\n${eventRow(0)}\n${'\n'.repeat(20 * MIB)}${eventRow(1)}\n`;
  shop.put('a.csv.gz', gzipSync(rows, { level: constants.Z_BEST_SPEED }));
  await load(shop, database);
  assert.deepEqual(await eventIds(database), [eventId(0), eventId(1)]);
});

for (const [how, content] of [
  ['small', eventFile(10, 20)],
  ['large', eventFile(10, 1000)],
] as const) {
  for (const ending of ['.csv', '.csv.gz']) {
    test(`--max-file-bytes counts the content of a ${how} ${ending}: as many are loaded, one more is not`, async (t) => {
      const bytes = Buffer.byteLength(content);
      const file = ending === '.csv' ? Buffer.from(content) : gzipSync(content);
      const batchBytes = 64 * 1024;
      const database = await migratedDatabase();
      const shop = openShop(t, { batchBytes, maxFileBytes: bytes });
      shop.put(`a${ending}`, file);
      await load(shop, database);
      assert.equal((await eventIds(database)).length, how === 'small' ? 10 : 990);
      const put = (tight: Shop): unknown => tight.put(`a${ending}`, file);
      assert.equal(
        await quarantineReason(t, `a${ending}`, put, { batchBytes, maxFileBytes: bytes - 1 }),
        `the file has more than ${bytes - 1} bytes (--max-file-bytes)`,
      );
    });
  }
}

test('a quote that never closes costs its megabytes as rejects, and the rows before it are loaded', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { maxRejected: 'none' });
  shop.put('a.csv', `${eventFile(0, 3)}"${'x'.repeat(20 * MIB)}`);
  await load(shop, database);
  assert.deepEqual(await eventIds(database), [eventId(0), eventId(1), eventId(2)]);
  const [found] = await database.query<{ rows: number; longest: number }>(
    'select count(*)::int4 as rows, max(length(raw))::int4 as longest from ecompipe.rejected_rows',
  );
  assert.deepEqual(found, { rows: 21, longest: MIB });
  await assertLedger(database);
});

test('to name the faults of a batch takes none of the time that others need', async () => {
  const shape = canonicalShape(['a', 'b', 'c']);
  const body = Buffer.from('a"\n'.repeat(10_000));
  let turns = 0;
  const others = setInterval(() => turns++, 1);
  const records = await splitRecords({ ...shape, parts: [{ body }], isDurable: true } as never);
  clearInterval(others);
  assert.equal(records.malformed.size, 10_000);
  assert.ok(turns >= 5, `${turns} turns`);
});

test('no message of a reject repeats a long value', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { maxRejected: 'none' });
  const long = 'x'.repeat(50_000);
  const rows = [
    eventRow(0, { price: long }),
    eventRow(1, { event_type: long }),
    eventRow(2, { country: long }),
    eventRow(3, { event_time: long }),
    eventRow(4, { user_id: `${long}"` }),
    eventRow(5, { user_id: `"${long}"y` }),
    eventRow(6, { quantity: '-1', product_name: long }),
    eventRow(7, { currency: `"${'\n'.repeat(50_000)}"` }),
    ...[eventRow(8), eventRow(8, { product_name: long })],
  ];
  shop.put('a.csv', [HEADER, ...rows, ''].join('\n'));
  await load(shop, database);
  const found = await database.query<{ length: number }>(
    'select length(message)::int4 as length, message from ecompipe.rejected_rows order by line',
  );
  assert.equal(found.length, 9);
  for (const reject of found) assert.ok(reject.length <= 1000, JSON.stringify(reject).slice(0, 300));
});
