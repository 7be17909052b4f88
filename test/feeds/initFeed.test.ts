import assert from 'node:assert/strict';
import { test, before } from 'node:test';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import { initFeed } from '../../src/pipeline/stream/feeds/initFeed.js';
import { tryFile, type Trial } from '../../src/pipeline/stream/feeds/tryFile.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { openShop, type Shop } from '../pipeline/stream/harness.js';

let database: TestDatabase;

before(async () => {
  database = await migratedDatabase();
});

async function tryInitial(shop: Shop, name: string, content: string): Promise<{ text: string; trial: Trial }> {
  const file = shop.put(name, content);
  const { text } = await initFeed(file);
  const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', text);
  assert.ok(feed, problems?.join('; '));
  return { text, trial: await onDatabase(database, {}, (target) => tryFile(target, file, [feed])) };
}

for (const [time, expected] of [
  ['Nov 21, 2026 9:12:05 AM', '2026-11-21 09:12:05+00'],
  ['Nov 21, 2026, 09:12:05 PM', '2026-11-21 21:12:05+00'],
  ['September 21, 2026', '2026-09-21 00:00:00+00'],
  ['21 Nov 2026 09:12', '2026-11-21 09:12:00+00'],
  ['21-Nov-2026 09:12:05', '2026-11-21 09:12:05+00'],
  ['21/Nov/2026:09:12:05', '2026-11-21 09:12:05+00'],
  ['2026/11/21 09:12:05', '2026-11-21 09:12:05+00'],
  ['2026/11/21', '2026-11-21 00:00:00+00'],
  ['11/21/2026 9:12 PM', '2026-11-21 21:12:00+00'],
  ['21.11.2026 09:12', '2026-11-21 09:12:00+00'],
] as const)
  test(`feeds init reads times such as ${time}`, async (t) => {
    const { text, trial } = await tryInitial(openShop(t), 'x.csv', `who;occurred\nu;${time}\nv;${time}\n`);
    assert.deepEqual(trial.rows.rejected, 0, text);
    assert.equal(trial.first[0]?.after?.['event_time'], expected);
  });

for (const [price, expected] of [
  ['1.004,99', '1004.99'],
  ['1,004.99', '1004.99'],
  ['€ 1.004,99', '1004.99'],
  ['$1,004.99', '1004.99'],
  ['1004,99 €', '1004.99'],
  ['1004.99', '1004.99'],
] as const)
  test(`feeds init reads prices such as ${price}`, async (t) => {
    const content = `customer_email;date;Price;order_currency_code\na@x.example;2026-11-21;${price};USD\n`;
    const { text, trial } = await tryInitial(openShop(t), 'x.csv', content);
    assert.equal(trial.rows.rejected, 0, text);
    const { price: found, currency, user_id: user } = trial.first[0]?.after ?? {};
    assert.deepEqual([found, currency, user], [expected, 'USD', 'a@x.example']);
  });

test('of JSON lines feeds init takes times of day, leaves out objects, and says which lists have rows', async (t) => {
  const line = {
    event_date: '20261121',
    event_timestamp: '1795255200000000',
    event_name: 'page_view',
    user_pseudo_id: '1.2',
    device: { category: 'mobile' },
    items: [{ item_id: 'A' }],
    tags: ['x'],
  };
  const { text, trial } = await tryInitial(openShop(t), 'x.json', `${JSON.stringify(line)}\n`);
  assert.equal(trial.rows.rejected, 0, text);
  assert.equal(trial.first[0]?.after?.['event_time'], '2026-11-21 10:00:00+00');
  assert.match(text, /# a row for each element of items, .*rows: "jsonb_array_elements\(record -> 'items'\) as item"/);
  assert.doesNotMatch(text, /element of tags|device:/);
});

for (const [what, content, why] of [
  ['is empty', '', /the file is empty/],
  ['is binary', Buffer.from([0x61, 0, 0x62]), /the file is binary/],
  ['is UTF-16', Buffer.from([0xff, 0xfe, 0x61, 0]), /the file is UTF-16/],
] as const)
  test(`feeds init says of a file that ${what} that it can't guess`, async (t) => {
    const file = openShop(t).put('x.csv', content);
    await assert.rejects(initFeed(file), (error: Error & { exitCode: number }) => {
      assert.equal(error.exitCode, 2);
      assert.match(error.message, why);
      return true;
    });
  });
