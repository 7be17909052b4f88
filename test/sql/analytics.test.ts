import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { refreshAnalytics } from '../../src/contract/rollups.js';
import { withConnection } from '../../src/platform/db/target.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { eventRow, HEADER } from '../helpers/events.js';
import { until } from '../helpers/until.js';
import { NAIVE, VIEWS } from './naiveFigures.js';

const refresh = ({ target }: Pipeline): Promise<number> =>
  target((database) => withConnection(database, 'cannot refresh', (connection) => refreshAnalytics(connection)));

/** Compared as the server writes them: not every time is one of JavaScript's. */
async function assertExact({ database }: Pipeline): Promise<void> {
  const rowsOf = (select: string): Promise<unknown[]> =>
    database.query(`select f::text as row from (${select} order by 1, 2) as f`);
  for (const view of VIEWS)
    assert.deepEqual(await rowsOf(`select * from analytics.${view}`), await rowsOf(NAIVE[view]), view);
}

test('every view has the figures of events before, between and after refreshes', async (t) => {
  const pipeline = await createPipeline(t);
  await assertExact(pipeline);
  // Sessions go on over files, and files over batches.
  await pipeline.generate({ events: 6000, batchSize: 1500 });
  await pipeline.move();
  await pipeline.stream({ batchBytes: 64 * 1024 });
  await assertExact(pipeline);
  assert.ok((await refresh(pipeline)) > 1);
  await assertExact(pipeline);
  assert.equal(await refresh(pipeline), 0);
  await pipeline.run({ seed: 7, events: 1000 });
  await assertExact(pipeline);
  await refresh(pipeline);
  await assertExact(pipeline);
});

test('sessions that go on in later batches, and that begin earlier than they seemed to, keep their place in the funnel right', async (t) => {
  const pipeline = await createPipeline(t);
  const { database } = pipeline;
  const steps = [
    'begin_checkout',
    'add_to_cart',
    'view_item',
    'purchase',
    'add_payment_info',
    'add_shipping_info',
    'page_view',
  ];
  for (const [index, type] of steps.entries()) {
    // Each batch is a day before the one before it.
    await database.query(`
      with batch as (insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at) values (${index + 1}, 'native', 'direct', 1, 1, 0, 0, 1, now()))
      insert into events (event_id, event_type, event_time, user_id, session_id, product_id, price, currency, quantity, order_id, batch_id)
      values (gen_random_uuid(), '${type}', '2026-03-10'::timestamptz - interval '${index} days', 'u', 's', 'p', 1, 'EUR', 1, 'o', ${index + 1})`);
    if (index % 2 === 0) await assertExact(pipeline);
    await refresh(pipeline);
    await assertExact(pipeline);
  }
  const [purchase] = await database.query<{ sessions: string }>(
    "select sessions from analytics.funnel where name = 'purchase'",
  );
  assert.equal(Number(purchase!.sessions), 1);
});

test('refreshes at the same time as each other and as a load add every batch once', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 10_000, batchSize: 5000 });
  await pipeline.move();
  const loading = pipeline.stream({ batchBytes: 64 * 1024 });
  let isLoaded = false;
  void loading.finally(() => (isLoaded = true)).catch(() => undefined);
  const refreshUntilLoaded = async (): Promise<void> => {
    while (!isLoaded) await refresh(pipeline);
  };
  await Promise.all([loading, refreshUntilLoaded(), refreshUntilLoaded(), refreshUntilLoaded()]);
  await assertExact(pipeline);
  await refresh(pipeline);
  assert.deepEqual(await pipeline.database.query('select pending_batches::int4 from analytics.freshness'), [
    { pending_batches: 0 },
  ]);
  await assertExact(pipeline);
});

test('a refresh that is rolled back leaves its batches pending', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 500 });
  const client = await pipeline.database.connect();
  await client.query('begin; select analytics.refresh(); rollback');
  assert.deepEqual(await pipeline.database.query('select pending_rows::int4 from analytics.freshness'), [
    { pending_rows: 500 },
  ]);
  await refresh(pipeline);
  await assertExact(pipeline);
});

test('a batch that commits after later ones is added too', async (t) => {
  const pipeline = await createPipeline(t);
  const { database } = pipeline;
  const load = (id: number): string => `
    insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at) values (${id}, 'native', 'direct', 1, 1, 0, 0, 1, now());
    insert into events (event_id, event_type, event_time, user_id, session_id, batch_id) values (gen_random_uuid(), 'page_view', now(), 'u', 's', ${id})`;
  const slow = await database.connect();
  await slow.query(`begin; ${load(1)}`);
  await database.query(load(2));
  assert.equal(await refresh(pipeline), 1);
  await slow.query('commit');
  await assertExact(pipeline);
  assert.equal(await refresh(pipeline), 1);
  await assertExact(pipeline);
});

test('a refresh waits for another one that works on the same session, though on another batch', async (t) => {
  const pipeline = await createPipeline(t);
  const { database } = pipeline;
  const load = (id: number, rows: number, type: string): string => `
    insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at) values (${id}, 'native', 'direct', ${rows}, ${rows}, 0, 0, 1, now());
    insert into events (event_id, event_type, event_time, user_id, session_id, product_id, price, currency, batch_id) values (gen_random_uuid(), '${type}', now(), 'u', 's', 'p', 1, 'EUR', ${id})`;
  const [late, first] = [await database.connect(), await database.connect()];
  // So many rows that a refresh takes this batch alone.
  await late.query(`begin; ${load(1, 500_000, 'view_item')}`);
  await database.query(load(2, 1, 'page_view'));
  await first.query('begin; select analytics.refresh()');
  await late.query('commit');
  const second = refresh(pipeline);
  await until(
    'the second refresh waits',
    async () =>
      (
        await database.query(
          "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
      ).length === 1,
  );
  await first.query('commit');
  await second;
  await assertExact(pipeline);
});

test('a rebuild after rows were taken out by hand makes the figures right again', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 1000 });
  await refresh(pipeline);
  await pipeline.database.query("delete from events where event_type = 'view_item'");
  await pipeline.database.query('select analytics.rebuild()');
  await assertExact(pipeline);
  await refresh(pipeline);
  await assertExact(pipeline);
});

test('texts too long for an index neither fail nor stop a refresh', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.database.query(`
    with batch as (insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at) values (1, 'native', 'direct', 1, 1, 0, 0, 1, now()))
    insert into events (event_id, event_type, event_time, user_id, session_id, search_term, batch_id)
    select gen_random_uuid(), 'search', now(), 'u', long, long, 1 from (select string_agg(chr(100 + i % 20000), '') as long from generate_series(1, 20000) as i) as text`);
  assert.equal(await refresh(pipeline), 1);
  assert.deepEqual(
    await pipeline.database.query('select char_length(term) as length, searches::int4 from analytics.search_terms'),
    [{ length: 500, searches: 1 }],
  );
});

/** What a table may hold whose rules were relaxed, or that took the default ones as they are. */
const UNUSUAL_ROWS: Readonly<
  Record<string, { readonly relax?: string; readonly rows: readonly Readonly<Record<string, string>>[] }>
> = {
  'events without price and currency, which the rules allow': {
    rows: [
      { event_type: 'view_item', product_id: 'p', price: '', currency: '' },
      { event_type: 'purchase', product_id: 'p', quantity: '2', order_id: 'o', price: '', currency: '' },
      { event_type: 'refund', product_id: 'p', quantity: '2', order_id: 'o', price: '', currency: '' },
    ],
  },
  'events without a product, a term, a quantity or an order, after those rules were relaxed': {
    relax: `update ecompipe.event_types set needs_product = false, needs_quantity = false, needs_order = false, needs_search_term = false`,
    rows: [
      { event_type: 'view_item', product_id: '', price: '', currency: '' },
      { event_type: 'purchase', product_id: '', price: '9.50', currency: 'EUR', quantity: '', order_id: '' },
      { event_type: 'search', search_term: '' },
    ],
  },
  'events without a user and without a session, after their NOT NULL was dropped': {
    relax: 'alter table events alter user_id drop not null, alter session_id drop not null',
    rows: [{ user_id: '' }, { session_id: '' }, { user_id: '', session_id: '' }],
  },
  'the first and the last time that there is, in one session': {
    rows: [{ event_time: '4713-01-01 BC' }, { event_time: '294276-12-31' }],
  },
};

for (const [what, { relax, rows }] of Object.entries(UNUSUAL_ROWS)) {
  test(`the views and their refresh take ${what}`, async (t) => {
    const pipeline = await createPipeline(t);
    const { database } = pipeline;
    if (relax !== undefined) await database.query(relax);
    const lines = rows.map((row, n) => eventRow(n, { session_id: 's', ...row }));
    writeFileSync(path.join(pipeline.processing, 'a.csv'), [HEADER, ...lines, eventRow(90), ''].join('\n'));
    await pipeline.stream();
    assert.deepEqual(await database.query('select count(*)::int4 as n from events'), [{ n: rows.length + 1 }]);
    await assertExact(pipeline);
    assert.equal(await refresh(pipeline), 1);
    await assertExact(pipeline);
  });
}
