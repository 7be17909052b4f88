import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readFeeds } from '../../src/contract/feeds/readFeeds.js';
import { migratedDatabase } from '../helpers/migrated.js';
import { load, openShop } from '../pipeline/stream/harness.js';

const SAMPLES = path.join(import.meta.dirname, 'samples');
const EXPECTED = path.join(import.meta.dirname, 'expected');

/** Files of eight sources with invented values, and the shipped feed that is for each. */
const SOURCES = [
  ['rees46', 'rees46_2019-Oct.csv', { read: 201, inserted: 199, duplicate: 2, rejected: 0 }],
  ['retailrocket', 'retailrocket_events.csv', { read: 150, inserted: 150, duplicate: 0, rejected: 0 }],
  ['taobao-user-behavior', 'taobao_UserBehavior.csv', { read: 150, inserted: 150, duplicate: 0, rejected: 0 }],
  ['otto', 'otto_train.jsonl', { read: 148, inserted: 148, duplicate: 0, rejected: 0 }],
  ['uci-online-retail', 'uci_online_retail.csv', { read: 120, inserted: 120, duplicate: 0, rejected: 0 }],
  ['shopify-orders', 'shopify_orders_export.csv', { read: 80, inserted: 80, duplicate: 0, rejected: 0 }],
  ['ga4-flat', 'ga4_flattened.csv', { read: 60, inserted: 60, duplicate: 0, rejected: 0 }],
  ['segment-tracks', 'segment_tracks.csv', { read: 80, inserted: 80, duplicate: 0, rejected: 0 }],
] as const;

for (const [name, sample, rows] of SOURCES)
  test(`the shipped feed ${name} makes the expected rows of its sample`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { feeds: await readFeeds({ feedsDir: undefined, shipped: [name] }) });
    shop.put(sample, readFileSync(path.join(SAMPLES, sample)));
    const result = await load(shop, database);
    const rejects = await database.query<{ message: string }>('select message from ecompipe.rejected_rows limit 3');
    assert.deepEqual(result.rows, rows, rejects.map(({ message }) => message).join('; '));
    assert.equal(result.filesLoaded, 1);
    const found = await database.query<{ line: string }>(
      `select (to_jsonb(e) - 'ingested_at' - 'batch_id')::text as line from public.events e order by event_time, event_id`,
    );
    const text = found.map(({ line }) => `${line}\n`).join('');
    const file = path.join(EXPECTED, `${name}.jsonl`);
    // Written anew by hand: UPDATE_EXPECTED=1 npm test -- feeds/shipped, and looked at.
    if (process.env['UPDATE_EXPECTED'] === '1') writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });
