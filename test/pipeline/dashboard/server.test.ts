import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import test from 'node:test';
import type { Snapshot } from '../../../src/pipeline/dashboard/feed.js';
import { startProxy } from '../../helpers/proxy.js';
import { until } from '../../helpers/until.js';
import { createPipeline } from '../verify/pipeline.js';
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

const snapshotOf = async (url: string): Promise<Snapshot> =>
  JSON.parse((await get(`${url}api/snapshot`)).body) as Snapshot;

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

test('a name that is not ours gets nothing: another site can not read the figures through its own name', async (t) => {
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
  const before = await snapshotOf(url);
  assert.equal(before.shop!.events, 0);
  const [{ count }] = (await database.query<{ count: number }>('select count(*)::int as count from events')) as [
    { count: number },
  ];
  assert.equal(before.shop!.behind.rows, count);
  await database.query('select analytics.refresh()');
  await until('the snapshot is refreshed', async () => (await snapshotOf(url)).shop!.behind.rows === 0);
  const { shop, rejects, batches } = await snapshotOf(url);
  assert.deepEqual(
    shop!.types,
    await database.query(
      'select event_type as type, events::int from analytics.events_by_type order by events desc, 1',
    ),
  );
  assert.deepEqual(
    shop!.funnel.map(({ name, sessions }) => [name, sessions]),
    (await database.query<{ name: string; sessions: number }>('select name, sessions::int from analytics.funnel')).map(
      ({ name, sessions }) => [name, sessions],
    ),
  );
  assert.deepEqual(
    shop!.products.map(({ id, revenue }) => [id, revenue]),
    (
      await database.query<{ id: string; revenue: number }>(
        'select product_id as id, revenue::float8 from analytics.top_products limit 10',
      )
    ).map(({ id, revenue }) => [id, revenue]),
  );
  assert.deepEqual(
    shop!.searches,
    await database.query('select term, searches::int from analytics.search_terms limit 10'),
  );
  const [sold] = await database.query<{ revenue: number }>(
    `select sum(price * quantity)::float8 as revenue from events where event_type = 'purchase'`,
  );
  assert.ok(shop!.revenue.revenue.reduce((sum, value) => sum + value, 0) <= sold!.revenue + 0.001);
  assert.deepEqual(
    rejects!.reasons.reduce((sum, { rows }) => sum + rows, 0),
    (await database.query<{ count: number }>('select count(*)::int as count from ecompipe.rejected_rows'))[0]!.count,
  );
  assert.deepEqual(
    batches.map(({ batchId, inserted }) => [batchId, inserted]),
    (
      await database.query<{ id: number; inserted: number }>(
        'select batch_id::int as id, rows_inserted::int as inserted from ecompipe.batches order by 1 desc limit 15',
      )
    ).map(({ id, inserted }) => [id, inserted]),
  );
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
    serve(t, pipeline, { settings: { port: Number(port) } }).finally(() => undefined),
    /cannot serve the dashboard on 127\.0\.0\.1:\d+[^]*hint: another program listens there/,
  );
});
