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

async function isLive(page: Page): Promise<void> {
  await page.locator('#connection[data-state=live]').waitFor();
}

test('the page shows the figures of the tables, and complains about nothing', options, async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 5000, dirt: 'wrong-type=2%' });
  await pipeline.database.query('select analytics.refresh()');
  const { page, complaints } = await openPage(t, await serve(t, pipeline));
  await isLive(page);
  const [{ count }] = (await pipeline.database.query<{ count: number }>(
    'select count(*)::int as count from events',
  )) as [{ count: number }];
  const [{ rejected }] = (await pipeline.database.query<{ rejected: number }>(
    'select count(*)::int as rejected from ecompipe.rejected_rows',
  )) as [{ rejected: number }];
  const formatted = (value: number): string => value.toLocaleString('en');
  assert.equal(await text(page, '#tile-events-note'), `${formatted(count)} rows`);
  assert.equal(await text(page, '#tile-rejects'), formatted(rejected));
  const cells = (await page.locator('#types tbody tr').all()).map(async (row) =>
    (await row.locator('th, td').allInnerTexts()).slice(0, 2),
  );
  const types = await pipeline.database.query<{ type: string; events: number }>(
    'select event_type as type, count(*)::int as events from events group by 1 order by 2 desc, 1',
  );
  assert.deepEqual(
    await Promise.all(cells),
    types.map(({ type, events }) => [type, formatted(events)]),
  );
  const steps = await page.locator('#funnel tbody td:nth-child(2)').allInnerTexts();
  assert.deepEqual(
    steps,
    (await pipeline.database.query<{ sessions: number }>('select sessions::int from analytics.funnel')).map(
      ({ sessions }) => formatted(sessions),
    ),
  );
  assert.equal(await page.locator('.plot canvas').count(), 4);
  assert.deepEqual(complaints, []);
});

test('what came from a file is shown as text, whatever it is', options, async (t) => {
  const pipeline = await createPipeline(t);
  const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
  const quoted = `"${hostile.replaceAll('"', '""')}"`;
  writeFileSync(
    path.join(pipeline.processing, `<b onclick=alert(1)>.csv`),
    `${HEADER}\n${eventRow(1, { product_name: quoted })}\n${eventRow(2, { event_type: 'search', search_term: quoted })}\n${eventRow(3, { event_type: quoted })}\n`,
  );
  await pipeline.stream();
  await pipeline.database.query('select analytics.refresh()');
  const { page, complaints } = await openPage(t, await serve(t, pipeline));
  await isLive(page);
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
  assert.match(await text(page, '#problem'), /The database can not be asked since/);
  assert.equal(await text(page, '#connection'), 'Database away');
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
  await pipeline.run({ events: 500 });
  const { page } = await openPage(t, await serve(t, pipeline));
  await isLive(page);
  const order: string[] = [];
  for (let press = 0; press < 5; press++) {
    await page.keyboard.press('Tab');
    order.push(await page.evaluate('document.activeElement.textContent'));
  }
  assert.deepEqual(order, ['Skip to the figures', 'Shop', 'Pipeline', 'Dark', 'Events a second as a table']);
  await page.keyboard.press('Enter');
  await page.locator('#rate-chart table').waitFor();
  const headers = await page.locator('#rate-chart thead th').allInnerTexts();
  assert.deepEqual(headers, ['Time', 'Loaded', 'Duplicate', 'Rejected']);
});

for (const scheme of ['light', 'dark'] as const) {
  for (const width of [375, 1600]) {
    test(`at ${width} px and ${scheme} nothing is cut off, and axe finds nothing`, options, async (t) => {
      const pipeline = await createPipeline(t);
      writeFileSync(
        path.join(pipeline.processing, `${'a-very-long-name-without-a-place-to-break'.repeat(3)}.csv`),
        eventFile(1, 50) + eventRow(60, { price: 'unbreakable'.repeat(40) }),
      );
      await pipeline.run({ events: 3000, dirt: 'wrong-type=2%' });
      const { page, complaints } = await openPage(t, await serve(t, pipeline), { width, scheme });
      await isLive(page);
      await page.locator('#examples table').waitFor();
      await page.locator('#types table').waitFor();
      assert.ok((await page.evaluate<number>('document.documentElement.scrollWidth')) <= width);
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

test('the button changes between light and dark, and the choice outlives the page', options, async (t) => {
  const { page } = await openPage(t, await serve(t, await createPipeline(t)));
  await isLive(page);
  await page.locator('#theme').click();
  assert.equal(await page.locator('#theme').getAttribute('aria-pressed'), 'true');
  await page.reload();
  await isLive(page);
  assert.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark');
});
