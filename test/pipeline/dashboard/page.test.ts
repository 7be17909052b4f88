import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';
import type { Page } from 'playwright-core';
import { noBrowser, openPage } from '../../helpers/browser.js';
import { eventFile, eventRow, HEADER } from '../../helpers/events.js';
import { startProxy } from '../../helpers/proxy.js';
import { createPipeline } from '../verify/pipeline.js';
import { serve } from './served.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const options = { skip: noBrowser, timeout: 120_000 };

async function text(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).innerText()).trim();
}

/** As the browser computed it. In a string: the tests know nothing of a page's types. */
async function styleOf(page: Page, selector: string, property: string): Promise<string> {
  return await page.evaluate(`getComputedStyle(document.querySelector('${selector}')).${property}`);
}

async function isLive(page: Page): Promise<void> {
  await page.locator('#connection[data-state=live]').waitFor();
}

test('the page shows the figures of the tables, and complains about nothing', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 5000, dirt: 'wrong-type=2%' });
  await pipeline.database.query('select analytics.refresh()');
  const { page, complaints } = await openPage(t, `${await serve(t, pipeline)}?range=all`);
  await isLive(page);
  await page.locator('#funnel table').waitFor();
  const [{ count }] = (await pipeline.database.query<{ count: number }>(
    'select count(*)::int as count from events',
  )) as [{ count: number }];
  const [{ rejected }] = (await pipeline.database.query<{ rejected: number }>(
    'select count(*)::int as rejected from ecompipe.rejected_rows',
  )) as [{ rejected: number }];
  const formatted = (value: number): string => value.toLocaleString('en');
  assert.equal(await text(page, '#tile-events-note'), `${formatted(count)} since the beginning`);
  assert.equal(await text(page, '#tile-rejects'), formatted(rejected));
  const [{ revenue, orders }] = (await pipeline.database.query<{ revenue: number; orders: number }>(
    `select sum(price * quantity)::float8 as revenue, count(distinct order_id)::int as orders from events where event_type = 'purchase'`,
  )) as [{ revenue: number; orders: number }];
  assert.equal(await text(page, '#tile-revenue'), `€${Math.round(revenue).toLocaleString('en')}`);
  assert.equal(await text(page, '#tile-orders'), formatted(orders));
  const counts = await page.locator('#types tbody td:last-child').allInnerTexts();
  const types = await pipeline.database.query<{ events: number }>(
    'select count(*)::int as events from events group by event_type order by 1 desc, event_type',
  );
  assert.deepEqual(
    counts,
    types.map(({ events }) => formatted(events)),
  );
  assert.match(await text(page, '#funnel'), /Payment info/);
  assert.equal(await page.locator('#revenue-chart canvas').count(), 1);
  assert.deepEqual(complaints, []);
});

test('what came from a file is shown as text, whatever it is', options, async (t) => {
  const pipeline = await createPipeline(t);
  const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
  const quoted = `"${hostile.replaceAll('"', '""')}"`;
  writeFileSync(
    path.join(pipeline.processing, `<b onclick=alert(1)>.csv`),
    `${HEADER}\n${eventRow(1, { event_type: 'purchase', order_id: 'o', product_name: quoted })}\n${eventRow(2, { event_type: 'search', search_term: quoted })}\n${eventRow(3, { event_type: quoted })}\n`,
  );
  await pipeline.stream();
  await pipeline.database.query('select analytics.refresh()');
  const { page, complaints } = await openPage(t, await serve(t, pipeline));
  await page.locator('#products table').waitFor();
  assert.match(await text(page, '#products'), /<img src=x onerror="document\.title=1"><script>/);
  assert.match(await text(page, '#searches'), /<img src=x/);
  const examples = await text(page, '#examples');
  assert.match(examples, /<b onclick=alert\(1\)>\.csv:4/);
  assert.match(examples, /<script>document/);
  assert.equal(await page.locator('main img, main script, main b').count(), 0);
  assert.deepEqual([await page.title(), complaints], ['ecompipe', []]);
});

test('the page says that the database is away, and goes on by itself when it is back', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 200 });
  let isAway = false;
  const proxy = await startProxy(pipeline.database.port, () => (isAway ? 'cut-before' : 'pass'));
  t.after(() => proxy.close());
  const { page } = await openPage(t, await serve(t, pipeline, { via: proxy }));
  await isLive(page);
  assert.ok(await page.locator('#problem').isHidden());
  isAway = true;
  proxy.cutAll();
  await page.locator('#connection[data-state=away]').waitFor();
  assert.match(await text(page, '#problem'), /The database has not answered since .*What is dimmed is from before/);
  assert.equal(await text(page, '#connection'), 'Database away');
  // What is from before is dimmed; what waits in the directories is known.
  assert.notEqual(await styleOf(page, '#tile-rate', 'color'), await styleOf(page, '#tile-backlog', 'color'));
  // The figures from before are still there.
  assert.equal(await page.locator('#batches tbody tr').count(), 1);
  isAway = false;
  await pipeline.run({ seed: 3, events: 100 });
  await isLive(page);
  assert.ok(await page.locator('#problem').isHidden());
  await page.locator('#batches tbody tr').nth(1).waitFor();
});

test('everything can be reached with the keyboard, in the order in which it is read', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 5000 });
  await pipeline.database.query('select analytics.refresh()');
  const { page } = await openPage(t, `${await serve(t, pipeline)}?range=all`);
  await page.locator('#revenue-chart canvas').waitFor();
  const order: string[] = [];
  for (let press = 0; press < 9; press++) {
    await page.keyboard.press('Tab');
    order.push(await page.evaluate('document.activeElement.textContent'));
  }
  const ranges = ['15 min', '1 h', '24 h', '7 d', '28 d', 'All'];
  assert.deepEqual(order, ['Skip to the figures', ...ranges, 'Dark theme', 'Revenue as a table']);
  await page.keyboard.press('Enter');
  await page.locator('#revenue-chart table').waitFor();
  const headers = await page.locator('#revenue-chart thead th').allInnerTexts();
  assert.deepEqual(headers, ['Time', 'Revenue', 'Refunds', 'Orders']);
});

test('the range is part of the address: a click changes it, a link and the way back keep it', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 3000 });
  await pipeline.database.query('select analytics.refresh()');
  const { page } = await openPage(t, await serve(t, pipeline));
  const period = (words: string): Promise<void> =>
    page.locator('#shop-period', { hasText: words }).waitFor({ state: 'visible' });
  await period('the 24 h up to the newest event');
  await page.getByRole('link', { name: '15 min' }).click();
  await period('the 15 min up to the newest event');
  assert.match(page.url(), /\?range=15m$/);
  assert.equal(await page.locator('#ranges [aria-current]').innerText(), '15 min');
  await page.reload();
  await period('the 15 min up to the newest event');
  await page.goBack();
  await period('the 24 h up to the newest event');
});

test('the pointer over a chart is told the figures of that time', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 5000 });
  await pipeline.database.query('select analytics.refresh()');
  const { page } = await openPage(t, `${await serve(t, pipeline)}?range=all`);
  await page.locator('#revenue-chart canvas').waitFor();
  await page.locator('#revenue-chart .u-over').hover();
  const tip = page.locator('#revenue-chart .tip');
  await tip.waitFor({ state: 'visible' });
  assert.match(await tip.innerText(), /Revenue [€0–][^]*Refunds [€0–][^]*Orders \d/);
});

test(
  'before the first file the page waits for it, and without the tables for those; then it goes on by itself',
  options,
  async (t) => {
    const pipeline = await createPipeline(t);
    await pipeline.database.query('alter schema ecompipe rename to elsewhere');
    const { page } = await openPage(t, await serve(t, pipeline));
    await page.locator('#connection', { hasText: 'Waiting for the tables' }).waitFor();
    assert.match(await text(page, '#problem'), /ecompipe migrate creates them/);
    await pipeline.database.query('alter schema elsewhere rename to ecompipe');
    await page.locator('#connection', { hasText: 'Waiting for the first file' }).waitFor();
    assert.ok(await page.locator('#problem').isHidden());
    await page.locator('#first', { hasText: 'Nothing has been loaded yet' }).waitFor();
    assert.equal(await page.locator('.card:visible, .tile:visible').count(), 0);
    await pipeline.run({ events: 100 });
    await isLive(page);
    assert.ok(await page.locator('#first').isHidden());
    // Nothing was rejected: no cards for that. Whether files waited depends on when the page looked.
    assert.equal(await page.locator('#reasons:visible, #examples:visible').count(), 0);
  },
);

test(
  'rejects are red by the rate of the last minutes, and long file names keep both ends in one line',
  options,
  async (t) => {
    const pipeline = await createPipeline(t);
    const name = `orders-${'of-a-shop-with-a-long-name-'.repeat(3)}2026-03-01.csv`;
    writeFileSync(path.join(pipeline.processing, name), eventFile(1, 50) + eventRow(60, { price: 'x' }));
    await pipeline.stream();
    const { page } = await openPage(t, await serve(t, pipeline));
    await page.locator('#examples table').waitFor();
    const place = page.locator('#examples tbody th');
    assert.match(await place.innerText(), /^orders-of-a….*2026-03-01\.csv:51$/);
    assert.equal(await place.getAttribute('title'), `${name}:51`);
    assert.equal(await styleOf(page, '#examples tbody th', 'whiteSpace'), 'nowrap');
    await page.locator('#tile-rejects[data-level=bad]').waitFor();
    await pipeline.database.query(`update ecompipe.batches set committed_at = committed_at - interval '6 minutes'`);
    await page.locator('#tile-rejects[data-level=""]').waitFor();
    assert.equal(await text(page, '#tile-rejects'), '1');
  },
);

for (const scheme of ['light', 'dark'] as const) {
  for (const width of [375, 1280, 1600]) {
    test(`at ${width} px and ${scheme} nothing is cut off, and axe finds nothing`, options, async (t) => {
      const pipeline = await createPipeline(t);
      writeFileSync(
        path.join(pipeline.processing, `${'a-very-long-name-without-a-place-to-break'.repeat(3)}.csv`),
        eventFile(1, 50) + eventRow(60, { price: 'unbreakable'.repeat(40) }),
      );
      await pipeline.run({ events: 3000, dirt: 'wrong-type=2%' });
      await pipeline.database.query('select analytics.refresh()');
      const { page, complaints } = await openPage(t, `${await serve(t, pipeline)}?range=all`, { width, scheme });
      await isLive(page);
      await page.locator('#parts').waitFor();
      await page.evaluate(`document.getElementById('pipeline-details').open = true`);
      await page.locator('#examples table').waitFor();
      await page.locator('#types table').waitFor();
      assert.ok((await page.evaluate<number>('document.documentElement.scrollWidth')) <= width);
      // A phone swipes; where there is room, no figure is behind the edge of its card.
      if (width >= 1280)
        assert.deepEqual(
          await page.evaluate(
            `[...document.querySelectorAll('.card .scroll')].filter((place) => place.scrollWidth > place.clientWidth + 1).map(({ id }) => id)`,
          ),
          [],
        );
      assert.equal(await page.evaluate('document.documentElement.dataset.theme'), scheme);
      // The page's own policy would not let it in.
      const violations = await page.evaluate<{ id: string; nodes: { target: string[]; failureSummary: string }[] }[]>(
        `(() => { ${AXE}; return axe.run(document).then(({ violations }) => violations); })()`,
      );
      assert.deepEqual(
        violations.map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) => [target, failureSummary])]),
        [],
      );
      assert.deepEqual(complaints, []);
    });
  }
}

test('on a phone the page is short: details on request, cards of a kind beside each other', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 5000, dirt: 'wrong-type=2%' });
  await pipeline.database.query('select analytics.refresh()');
  const { page } = await openPage(t, `${await serve(t, pipeline)}?range=all`, { width: 375 });
  await page.locator('#parts').waitFor();
  assert.ok((await page.evaluate<number>('document.documentElement.scrollHeight')) < 2700);
  assert.ok(await page.locator('#batches').isHidden());
  await page.locator('#pipeline-details > summary').click();
  await page.locator('#batches table').waitFor();
  // Of no tile a word is cut.
  assert.deepEqual(
    await page.evaluate(
      `[...document.querySelectorAll('.tile, .tile dd')].filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.textContent)`,
    ),
    [],
  );
});

test(
  'before the figures of the shop are there the page says what they wait for, and a lone card has the width',
  options,
  async (t) => {
    const pipeline = await createPipeline(t);
    // Nobody sums up.
    await pipeline.database.query('alter function analytics.refresh rename to refresh_elsewhere');
    writeFileSync(path.join(pipeline.processing, 'visits.csv'), eventFile(1, 21));
    await pipeline.stream();
    const { page } = await openPage(t, await serve(t, pipeline), { width: 375 });
    await page.locator('#events table').waitFor();
    await page.locator('#shop-age', { hasText: 'Summing up 20 rows; the figures follow' }).waitFor();
    const widthOf = (selector: string): Promise<number> =>
      page.evaluate(`document.querySelector('${selector}').getBoundingClientRect().width`);
    assert.equal(await page.locator('#lists .card:visible').count(), 1);
    assert.ok((await widthOf('#lists .card:has(#events)')) > (await widthOf('#lists')) - 5);
  },
);

test('the button says which theme it changes to, and the choice outlives the page', options, async (t) => {
  const { page } = await openPage(t, await serve(t, await createPipeline(t)));
  await page.locator('#connection[data-state=waiting]').waitFor();
  await page.getByRole('button', { name: 'Dark theme' }).click();
  await page.getByRole('button', { name: 'Light theme' }).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Light theme' }).waitFor();
  assert.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark');
});
