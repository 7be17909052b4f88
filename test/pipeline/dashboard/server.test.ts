import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import test from 'node:test';
import type { Snapshot } from '../../../src/pipeline/dashboard/snapshot.js';
import { eventRow, HEADER, type Fields } from '../../helpers/events.js';
import { startProxy } from '../../helpers/proxy.js';
import { until } from '../../helpers/until.js';
import { createPipeline, type Pipeline } from '../verify/pipeline.js';
import { serve } from './served.js';

async function get(
  url: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  return await new Promise((resolve, reject) => {
    request(url, { headers, method }, (response) => {
      let body = '';
      response
        .setEncoding('utf8')
        .on('data', (text: string) => (body += text))
        .on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }));
    })
      .on('error', reject)
      .end();
  });
}

const snapshotOf = async (url: string, range = 'all'): Promise<Snapshot> =>
  JSON.parse((await get(`${url}api/snapshot?range=${range}`)).body) as Snapshot;

/** The same once the shop's figures hold all that is loaded. */
async function refreshedSnapshotOf({ database }: Pipeline, url: string, range = 'all'): Promise<Snapshot> {
  await database.query('select analytics.refresh()');
  let snapshot = await snapshotOf(url, range);
  await until('the snapshot is refreshed', async () => {
    snapshot = await snapshotOf(url, range);
    return snapshot.behind?.rows === 0 && snapshot.shop !== null;
  });
  return snapshot;
}

/** Loads rows with these fields, their times as minutes before the newest one. */
async function loadEvents(
  pipeline: Pipeline,
  events: readonly (Fields & { readonly minutesAgo: number })[],
): Promise<void> {
  const newestMs = Date.parse('2026-03-01T12:00:00Z');
  const rows = events.map(({ minutesAgo, ...fields }, index) =>
    eventRow(index, { event_time: new Date(newestMs - minutesAgo * 60_000).toISOString(), ...fields }),
  );
  writeFileSync(path.join(pipeline.processing, 'some.csv'), [HEADER, ...rows, ''].join('\n'));
  await pipeline.stream();
}

test('every answer forbids scripts and frames from elsewhere, and nothing but the page can be had', async (t) => {
  const url = await serve(t, await createPipeline(t));
  for (const place of ['', 'app.js', 'uplot.js', 'style.css', 'api/snapshot', 'nothing']) {
    const { headers } = await get(`${url}${place}`);
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/, place);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
  for (const place of [
    '../package.json',
    '%2e%2e/package.json',
    'page/index.html',
    '.env',
    'tsconfig.json',
    '//etc/passwd',
  ])
    assert.equal((await get(`${url}${place}`)).status, 404, place);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) assert.equal((await get(url, {}, method)).status, 405);
  const head = await get(url, {}, 'HEAD');
  assert.deepEqual([head.status, head.body], [200, '']);
});

test('a name that is not ours gets nothing: another site cannot read the figures through its own name', async (t) => {
  const url = await serve(t, await createPipeline(t));
  const { port } = new URL(url);
  for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example', '127.0.0.1.evil.example'])
    assert.equal((await get(`${url}api/snapshot`, { host })).status, 421, host);
  for (const host of ['localhost', `localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`])
    assert.equal((await get(`${url}api/snapshot`, { host })).status, 200, host);
});

test('with a password nothing is served without it, under whatever name it is asked for', async (t) => {
  const url = await serve(t, await createPipeline(t), { settings: { host: '0.0.0.0', password: 'open sesame' } });
  const { port } = new URL(url);
  const authorization = `Basic ${Buffer.from('me:open sesame').toString('base64')}`;
  for (const place of ['', 'app.js', 'api/snapshot', 'api/events', 'nothing']) {
    const { status, headers } = await get(`${url}${place}`);
    assert.deepEqual(
      [status, headers['www-authenticate']],
      [401, 'Basic realm="dashboard of ecompipe", charset="UTF-8"'],
      place,
    );
  }
  for (const host of [`127.0.0.1:${port}`, 'shop.example'])
    assert.equal((await get(`${url}api/snapshot`, { host, authorization })).status, 200, host);
});

test('so many pages can be open that one more can always be opened', async (t) => {
  const url = await serve(t, await createPipeline(t));
  const watch = (): { readonly received: () => number } => {
    let received = 0;
    const watching = request(`${url}api/events`, (response) =>
      response.on('data', (chunk: Buffer) => (received += chunk.length)).on('error', () => undefined),
    ).on('error', () => undefined);
    watching.end();
    t.after(() => watching.destroy());
    return { received: () => received };
  };
  for (let count = 0; count < 80; count++) {
    const { received } = watch();
    await until(`page ${count} is served`, () => received() > 0);
  }
  assert.equal((await get(url)).status, 200);
});

test('the snapshot has the figures of the tables, and once refreshed those of the views', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 4000, dirt: 'wrong-type=2%,redelivery=2%', start: '2026-03-01T00:00:00Z' });
  const { database } = pipeline;
  const url = await serve(t, pipeline);
  const [{ count }] = (await database.query<{ count: number }>('select count(*)::int as count from events')) as [
    { count: number },
  ];
  const before = await snapshotOf(url);
  assert.deepEqual([before.events, before.behind!.rows], [0, count]);
  const { shop, rejects, batches } = await refreshedSnapshotOf(pipeline, url);
  assert.deepEqual(
    shop!.types,
    await database.query(
      'select event_type as type, events::int from analytics.events_by_type order by events desc, 1',
    ),
  );
  assert.deepEqual([shop!.sales.source, shop!.sales.before], ['events', null]);
  const [sold] = await database.query<{ revenue: number; orders: number }>(
    `select sum(price * quantity)::float8 as revenue, count(distinct order_id)::int as orders from events where event_type = 'purchase'`,
  );
  assert.deepEqual([shop!.sales.now.revenue, shop!.sales.now.orders], [sold!.revenue, sold!.orders]);
  const top = await database.query<{ id: string; revenue: number }>(
    'select product_id as id, revenue::float8 from analytics.top_products where revenue > 0 limit 10',
  );
  assert.deepEqual(
    shop!.sales.products.map(({ id, revenue }) => [id, revenue]),
    top.map(({ id, revenue }) => [id, revenue]),
  );
  assert.deepEqual(
    shop!.sales.searches,
    await database.query('select term, searches::int from analytics.search_terms limit 10'),
  );
  for (const part of Object.values(shop!.sales.parts!))
    assert.equal(
      part.reduce((sum, { orders }) => sum + orders, 0),
      sold!.orders,
    );
  assert.equal(rejects!.total, rejects!.looked);
  assert.deepEqual(
    rejects!.reasons.reduce((sum, { rows }) => sum + rows, 0),
    (await database.query<{ count: number }>('select count(*)::int as count from ecompipe.rejected_rows'))[0]!.count,
  );
  assert.deepEqual(
    batches.map(({ batchId, inserted }) => [batchId, inserted]),
    (
      await database.query<{ id: number; inserted: number }>(
        'select batch_id::int as id, rows_inserted::int as inserted from ecompipe.batches order by 1 desc limit 10',
      )
    ).map(({ id, inserted }) => [id, inserted]),
  );
});

test('purchase rows of one order are one order, and each range has the period before it to compare with', async (t) => {
  const pipeline = await createPipeline(t);
  const sale = { event_type: 'purchase', price: '10.00', quantity: '1' };
  await loadEvents(pipeline, [
    { minutesAgo: 0, event_type: 'page_view' },
    { minutesAgo: 5, ...sale, order_id: 'a', session_id: 'x', traffic_source: 'email', device: 'desktop' },
    { minutesAgo: 5, ...sale, order_id: 'a', session_id: 'x', traffic_source: 'email', device: 'desktop' },
    { minutesAgo: 7, ...sale, order_id: 'b', session_id: 'x', traffic_source: 'email', device: 'desktop' },
    { minutesAgo: 8, event_type: 'refund', order_id: 'b', session_id: 'x', price: '4.00', quantity: '1' },
    { minutesAgo: 20, ...sale, order_id: 'c', session_id: 'y' },
    { minutesAgo: 50, event_type: 'page_view' },
  ]);
  const url = await serve(t, pipeline);
  const { shop } = await refreshedSnapshotOf(pipeline, url, '15m');
  const { sales, window, visits } = shop!;
  assert.equal(window.isLive, false);
  assert.deepEqual(sales.now, { revenue: 30, refunds: 4, orders: 2 });
  assert.deepEqual(sales.before, { revenue: 10, refunds: 0, orders: 1 });
  assert.deepEqual(sales.parts!.source, [{ name: 'email', isRest: false, revenue: 30, orders: 2, visits: 0 }]);
  assert.equal(
    sales.series.revenue.reduce((sum, value) => sum + value, 0),
    30,
  );
  assert.equal(
    sales.series.orders.reduce((sum, value) => sum! + value!, 0),
    2,
  );
  assert.deepEqual([visits!.now.visitors, visits!.before!.visitors], [2, 1]);
  const hour = (await snapshotOf(url, '1h')).shop!;
  assert.deepEqual([hour.sales.now.orders, hour.sales.before], [3, null]);
});

test('only visits that have ended are counted in funnel and conversion: an open one may still buy', async (t) => {
  const pipeline = await createPipeline(t);
  await loadEvents(pipeline, [
    { minutesAgo: 0, event_type: 'view_item', session_id: 'open' },
    { minutesAgo: 4, event_type: 'view_item', session_id: 'open too' },
    { minutesAgo: 6, event_type: 'view_item', session_id: 'ended' },
    { minutesAgo: 7, event_type: 'add_to_cart', session_id: 'ended' },
    { minutesAgo: 8, event_type: 'page_view', session_id: 'ended without a look' },
  ]);
  const { visits } = (await refreshedSnapshotOf(pipeline, await serve(t, pipeline))).shop!;
  assert.deepEqual([visits!.now.ended, visits!.open, visits!.now.visitors], [2, 2, 4]);
  assert.deepEqual(
    visits!.funnel.slice(0, 4).map(({ name, sessions }) => [name, sessions]),
    [
      ['session', 2],
      ['view_item', 1],
      ['add_to_cart', 1],
      ['begin_checkout', 0],
    ],
  );
});

test(
  'sales that cannot be counted in time come from the rollups, and the page stays live',
  { timeout: 120_000 },
  async (t) => {
    const pipeline = await createPipeline(t);
    await pipeline.run({ events: 2000 });
    await pipeline.database.query('select analytics.refresh()');
    const holder = await pipeline.database.connect();
    t.after(() => holder.end());
    await holder.query('begin; lock table public.events');
    const { shop, database } = await snapshotOf(await serve(t, pipeline));
    assert.deepEqual([shop!.sales.source, shop!.sales.parts, shop!.sales.now.orders], ['rollups', null, null]);
    const [sold] = await pipeline.database.query<{ revenue: number }>(
      'select sum(revenue)::float8 as revenue from analytics.revenue_rollup',
    );
    assert.equal(shop!.sales.now.revenue, sold!.revenue);
    assert.equal(database.problem, null);
  },
);

test('the rejects are counted over all of their table, not over the groups that are listed', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 500, dirt: 'wrong-type=2%' });
  await pipeline.database.query(
    `insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, kind, sql_state, column_name, message)
     select batch_id, file_id, n, 1000000 + n, 'x', 'invalid', '22P02', 'column_' || n % 40, 'made for this test'
     from generate_series(1, 12000) as n, (select batch_id, file_id from ecompipe.rejected_rows limit 1) as any_reject`,
  );
  const { rejects } = await snapshotOf(await serve(t, pipeline));
  const [{ count }] = (await pipeline.database.query<{ count: number }>(
    'select count(*)::int as count from ecompipe.rejected_rows',
  )) as [{ count: number }];
  assert.deepEqual([rejects!.total, rejects!.looked, rejects!.reasons.length], [count, 10_000, 8]);
});

test('a range that there is not is refused by name', async (t) => {
  const { status, body } = await get(`${await serve(t, await createPipeline(t))}api/snapshot?range=2y`);
  assert.deepEqual([status, body], [400, 'there is no such range; there are 15m, 1h, 24h, 7d, 28d, all\n']);
});

test('while somebody watches, the dashboard brings the rollups up to date itself', async (t) => {
  const pipeline = await createPipeline(t);
  const url = await serve(t, pipeline);
  const watching = request(`${url}api/events`, (response) => response.resume()).on('error', () => undefined);
  watching.end();
  t.after(() => watching.destroy());
  await pipeline.run({ events: 1000 });
  await until(
    'the rollups hold all',
    async () =>
      (
        await pipeline.database.query<{ rows: number }>(
          'select coalesce(sum(events), 0)::int as rows from analytics.type_rollup',
        )
      )[0]!.rows === 1000,
  );
});

test('a page that does not read holds up nobody, and is forgotten when it goes', async (t) => {
  const pipeline = await createPipeline(t);
  const url = await serve(t, pipeline);
  const { port } = new URL(url);
  const deaf = connect(Number(port), '127.0.0.1');
  deaf.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  deaf.pause();
  t.after(() => deaf.destroy());
  let received = 0;
  const watching = request(`${url}api/events`, (response) =>
    response.setEncoding('utf8').on('data', (text: string) => (received += text.split('data: ').length - 1)),
  ).on('error', () => undefined);
  watching.end();
  t.after(() => watching.destroy());
  await until('the other page gets snapshots', () => Promise.resolve(received >= 2));
});

test('with the database away the snapshot says so, keeps the last figures and the directories; then it is back', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 100 });
  let isAway = false;
  const proxy = await startProxy(pipeline.database.port, () => (isAway ? 'cut-before' : 'pass'));
  t.after(() => proxy.close());
  const url = await serve(t, pipeline, { via: proxy });
  assert.equal((await snapshotOf(url)).database.problem, null);
  isAway = true;
  proxy.cutAll();
  await until('the problem is told', async () => (await snapshotOf(url)).database.problem !== null);
  await pipeline.generate({ seed: 9, events: 10, batchSize: 10 });
  await until('the new file is seen', async () => (await snapshotOf(url)).backlog.incoming.files === 1);
  const away = await snapshotOf(url);
  assert.equal(away.batches.length, 1);
  assert.match(away.database.problem!.hint!, /POSTGRES_HOST/);
  isAway = false;
  await until('the problem is gone', async () => (await snapshotOf(url)).database.problem === null);
});

test('a port that is taken is an error that says what to do', async (t) => {
  const pipeline = await createPipeline(t);
  const { port } = new URL(await serve(t, pipeline));
  await assert.rejects(
    serve(t, pipeline, { settings: { port: Number(port), portFlag: '--port' } }).finally(() => undefined),
    /cannot serve the dashboard on 127\.0\.0\.1:\d+[^]*hint: another program listens there: choose another port with --port, or 0/,
  );
});
