import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase, type Access } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { startProxy, type Judge } from '../../helpers/proxy.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds, rejectsOf } from './tables.js';
import { namesIn } from '../../helpers/dayFolders.js';

const BAD = new Set([3, 21, 40]);
const large = [
  HEADER,
  ...Array.from({ length: 48 }, (_, n) => eventRow(n, BAD.has(n) ? { quantity: '0' } : {})),
  '',
].join('\n');
const expected = Array.from({ length: 48 }, (_, n) => n)
  .filter((n) => !BAD.has(n))
  .map((n) => eventId(n))
  .concat(eventId(100));

interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
}

async function setScene(t: TestContext, overrides: Parameters<typeof openShop>[1] = {}): Promise<Scene> {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024, ...overrides });
  shop.put('large.csv', large);
  shop.put('small.csv', [HEADER, eventRow(100), ''].join('\n'));
  return { database, shop };
}

/** After one run, whatever happened in it: every good row once, every bad one rejected once, the files disposed of. */
async function assertWhole({ database, shop }: Scene): Promise<void> {
  assert.deepEqual(await eventIds(database), expected);
  assert.deepEqual(
    (await rejectsOf(database, large)).map(({ line }) => line),
    [...BAD].map((n) => n + 2),
  );
  assert.deepEqual(namesIn(shop.settings.archiveDir), ['large.csv', 'small.csv']);
  await assertLedger(database);
}

/** Loads through a proxy with this judge, in one run that has to go on by itself. */
async function loadThrough(t: TestContext, scene: Scene, judge: Judge, access: Access = {}): Promise<void> {
  const proxy = await startProxy(scene.database.port, judge);
  t.after(() => proxy.close());
  await load(scene.shop, scene.database, {}, { ...access, via: proxy });
}

/** Cuts at the n-th chunk that holds the text, once. */
function cutAt(
  text: string,
  fromClient: boolean,
  n: number,
  verdict: 'cut-before' | 'cut-after',
): Judge & { readonly cuts: () => number } {
  let seen = 0;
  const judge: Judge = (chunk, isRequest) =>
    isRequest === fromClient && chunk.includes(text) && ++seen === n ? verdict : 'pass';
  return Object.assign(judge, { cuts: () => (seen >= n ? 1 : 0) });
}

for (const atomicFile of [false, true]) {
  const how = atomicFile ? ', with --atomic-file' : '';
  for (const n of atomicFile ? [1, 2] : [1, 3, 6]) {
    for (const [what, text, fromClient, verdict] of [
      ['COMMIT never arrives', 'commit\0', true, 'cut-before'],
      ['the reply to COMMIT is lost', 'COMMIT\0', false, 'cut-before'],
      ['COMMIT arrives and the client is gone', 'commit\0', true, 'cut-after'],
      ['COPY breaks off', `,add_to_cart,`, true, 'cut-before'],
      ['the reply to COPY is lost', 'COPY ', false, 'cut-before'],
    ] as const) {
      test(`when ${what} (the ${n}. time), the stream goes on by itself and nothing is lost or doubled${how}`, async (t) => {
        const scene = await setScene(t, { atomicFile });
        const judge = cutAt(text, fromClient, n, verdict);
        await loadThrough(t, scene, judge);
        assert.equal(judge.cuts(), 1, 'the connection was cut');
        await assertWhole(scene);
      });
    }
  }
}

// Bad rows have a key of their own in the ledger, which would stop a second load too: here nothing but the look at the ledger does.
for (const [what, batchBytes, n] of [
  ['a whole file', 8 * 2 ** 20, 1],
  ['a range', 1024, 3],
] as const) {
  test(`when the reply to the COMMIT of ${what} without bad rows is lost, it is not loaded again`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes, connections: 1 });
    shop.put('a.csv', eventFile(0, 40));
    const judge = cutAt('COMMIT\0', false, n, 'cut-before');
    await loadThrough(t, { database, shop }, judge);
    assert.equal(judge.cuts(), 1, 'the connection was cut');
    assert.deepEqual(
      await eventIds(database),
      Array.from({ length: 40 }, (_, index) => eventId(index)),
    );
    assert.deepEqual(
      await database.query(
        'select sum(rows_read)::int4 as read, sum(rows_duplicate)::int4 as duplicates from ecompipe.files',
      ),
      [{ read: 40, duplicates: 0 }],
    );
    await assertLedger(database);
  });
}

test('a connection that breaks after any number of bytes costs nothing but time', async (t) => {
  for (const [limit, fromClient] of [
    [50, true],
    [900, true],
    [2500, true],
    [6000, true],
    [11_000, true],
    [20, false],
    [700, false],
    [1500, false],
    [2500, false],
    [4000, false],
  ] as const) {
    const scene = await setScene(t);
    let bytes = 0;
    await loadThrough(t, scene, (chunk, isRequest) => {
      if (isRequest !== fromClient) return 'pass';
      const before = bytes;
      bytes += chunk.length;
      return before < limit && bytes >= limit ? 'cut-before' : 'pass';
    });
    await assertWhole(scene);
  }
});

test('backends that are terminated again and again while they load cost nothing but time', async (t) => {
  const scene = await setScene(t);
  let terminations = 0;
  const terminate = async (): Promise<void> => {
    await scene.database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'ecompipe' and xact_start is not null",
    );
  };
  const ends: Promise<void>[] = [];
  await load(
    scene.shop,
    scene.database,
    {},
    { onEvent: ({ type }) => type === 'batchCommitted' && ++terminations <= 4 && ends.push(terminate()) },
  );
  await Promise.all(ends);
  assert.ok(terminations >= 4);
  await assertWhole(scene);
});

/** Makes the server answer the n-th insert or COPY into events with this error, once, as if it had a bad moment. */
async function failOnce(database: TestDatabase, sqlState: string, n: number): Promise<void> {
  await database.query('create sequence misfortune');
  await database.query(`create function fail_once() returns trigger language plpgsql as $$
    begin
      if nextval('misfortune') = ${n} then raise exception using errcode = '${sqlState}', message = 'a bad moment'; end if;
      return null;
    end $$`);
  await database.query(
    'create trigger fail_once before insert on public.events for each statement execute function fail_once()',
  );
}

for (const [sqlState, what] of [
  ['40001', 'a serialization failure'],
  ['40P01', 'a deadlock'],
  ['57014', 'a cancelled statement'],
  ['53100', 'a full disk'],
  ['XX000', 'an internal error'],
  ['55P03', 'a lock that is not available'],
  ['P0001', 'an exception of a trigger'],
] as const) {
  for (const n of [1, 4]) {
    test(`${what} (${sqlState}) at the ${n}. batch rejects no row: the batch is done again`, async (t) => {
      const scene = await setScene(t);
      await failOnce(scene.database, sqlState, n);
      await load(scene.shop, scene.database);
      await assertWhole(scene);
    });
  }
}

test('an error that stays ends the run with exit code 69 after --retry-for, and no row is given up', async (t) => {
  const scene = await setScene(t);
  await scene.database.query(
    `create function fail() returns trigger language plpgsql as $$ begin raise exception using errcode = 'ZZ999'; end $$`,
  );
  await scene.database.query(
    'create trigger fail before insert on public.events for each statement execute function fail()',
  );
  await assert.rejects(load(scene.shop, scene.database, {}, { retryForMs: 200 }), { exitCode: 69 });
  assert.deepEqual(
    await scene.database.query(
      'select (select count(*) from public.events)::int4 as events, (select count(*) from ecompipe.rejected_rows)::int4 as rejected',
    ),
    [{ events: 0, rejected: 0 }],
  );
  await scene.database.query('drop trigger fail on public.events');
  await load(scene.shop, scene.database);
  await assertWhole(scene);
});

test('on a slow network, data that the server has refused long before it is all sent ends the COPY and not the process', async (t) => {
  const scene = await setScene(t, { batchBytes: 32 * 2 ** 20, connections: 1 });
  const long = { page_url: 'x'.repeat(2000) };
  // Many pieces, and more bytes than the buffers of two sockets hold.
  for (let n = 0; n < 120; n++)
    scene.shop.put(
      `${n}.csv`,
      [
        HEADER,
        ...Array.from({ length: n === 0 ? 3 : 36 }, (_, row) =>
          eventRow(1000 * (n + 1) + row, n === 0 && row === 1 ? { price: 'free' } : long),
        ),
        '',
      ].join('\n'),
    );
  let isCopying = false;
  let sentBytes = 0;
  let stalls = 0;
  let resume: (() => void) | undefined;
  const proxy = await startProxy(scene.database.port, (chunk, fromClient) => {
    if (fromClient && isCopying) sentBytes += chunk.length;
    // The server must have the whole message with the bad row, or it has nothing to refuse.
    if (sentBytes > 2 ** 19 && stalls === 0) {
      stalls++;
      return { stall: (go) => (resume = go) };
    }
    isCopying ||= fromClient && chunk.includes('copy public.events');
    // ErrorResponse: only when the client has it does the rest of its data move on.
    if (!fromClient && chunk[0] === 'E'.charCodeAt(0)) setImmediate(() => resume?.());
    return 'pass';
  });
  t.after(() => proxy.close());
  await load(scene.shop, scene.database, {}, { via: proxy });
  assert.equal(stalls, 1);
  assert.equal((await eventIds(scene.database)).length, expected.length + 119 * 36 + 2);
  await assertLedger(scene.database);
});

test('a server that refuses the data while the client still has much to send ends the COPY and no more', async (t) => {
  const scene = await setScene(t, { batchBytes: 8 * 2 ** 20, connections: 1 });
  const rows = Array.from({ length: 12_000 }, (_, n) => eventRow(1000 + n, n === 1 ? { price: 'free' } : {}));
  scene.shop.put('refused.csv', [HEADER, ...rows, ''].join('\n'));
  await load(scene.shop, scene.database);
  assert.equal((await eventIds(scene.database)).length, expected.length + 11_999);
  await assertLedger(scene.database);
});
