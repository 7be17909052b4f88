import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFeed } from '../../../src/contract/feeds/parseFeed.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import { silentLogger } from '../../../src/platform/log.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';
import { openShop } from './harness.js';

const FEED = `match: "*.txt"
table: t
format: { header: [id, a] }
columns: { id: id, a: a }
`;

test('a feed that a restored database does not know is entered there again by a stream that runs', async (t) => {
  const database = await migratedDatabase();
  await database.query('create table public.t (id text primary key, a text)');
  const { feed, problems } = parseFeed('shop', 'feeds/shop.yaml', FEED);
  assert.ok(feed, problems?.join('\n'));
  const shop = openShop(t, { feeds: [feed], pollIntervalMs: 20 });
  const stop = new AbortController();
  const streaming = onDatabase(database, { stop: stop.signal }, (target) =>
    runStream(shop.settings, target, {
      stop: stop.signal,
      drain: new AbortController().signal,
      log: silentLogger,
      emit: () => undefined,
    }),
  );
  t.after(() => stop.abort());
  const batches = (): Promise<unknown[]> =>
    database.query(
      'select f.name from ecompipe.batches b left join ecompipe.feeds f using (feed_id) order by batch_id',
    );
  shop.put('before.txt', '1,x\n');
  await until('the first file is loaded', async () => (await batches()).length === 1);
  // As a backup of the time before the stream's first start would have it.
  await database.query('update ecompipe.batches set feed_id = null');
  await database.query('delete from ecompipe.feeds');
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'ecompipe'`,
  );
  shop.put('after.txt', '2,y\n');
  await until('the second file is loaded', async () => (await batches()).length === 2);
  assert.deepEqual(await batches(), [{ name: null }, { name: 'shop' }]);
  stop.abort();
  await streaming;
});
