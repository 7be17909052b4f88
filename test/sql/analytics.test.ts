import assert from 'node:assert/strict';
import test from 'node:test';
import { refreshAnalytics } from '../../src/contract/rollups.js';
import { withConnection } from '../../src/platform/db/target.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { until } from '../helpers/until.js';
import { NAIVE, VIEWS } from './naiveFigures.js';

const refresh = ({ target }: Pipeline): Promise<number> =>
  target((database) => withConnection(database, 'cannot refresh', (connection) => refreshAnalytics(connection)));

async function assertExact({ database }: Pipeline): Promise<void> {
  for (const view of VIEWS)
    assert.deepEqual(
      await database.query(`select * from analytics.${view} order by 1, 2`),
      await database.query(`${NAIVE[view]} order by 1, 2`),
      view,
    );
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
