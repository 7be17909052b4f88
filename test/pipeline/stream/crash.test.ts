import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { FAILPOINTS, type FailpointName } from '../../../src/core/runtime/failpoint.js';
import { eventId, eventRow, HEADER } from '../../helpers/events.js';
import { spawnEcompipe } from '../../helpers/executable.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventsIn, rejectsOf } from './tables.js';

const BAD = new Set([3, 21, 40]);
const large = [HEADER, ...Array.from({ length: 48 }, (_, n) => eventRow(n, BAD.has(n) ? { quantity: '0' } : {})), ''].join('\n');
const small = (n: number): string => [HEADER, eventRow(100 + n), ''].join('\n');
const SMALL_FILES = 3;

/** What the killed process was started with: seven ranges, three small files in one transaction. */
const FIRST = ['--batch-bytes', '1024', '--connections', '1'];
const RESUME = [{ batchBytes: 1024, connections: 1 }, { batchBytes: 2500, connections: 3 }, { batchBytes: 1 << 20, connections: 2 }, { batchBytes: 1500, connections: 1, atomicFile: true }];
const CHECKPOINTS: Readonly<Record<string, (file: string) => void>> = {
  kept: () => undefined,
  deleted: (file) => rmSync(file, { force: true }),
  damaged: (file) => writeFileSync(file, '{"version":'),
};

/** First, middle and last pass of each moment in the load above. */
const PASSES: Readonly<Record<FailpointName, readonly number[]>> = {
  'file-opened': [1, 2, 5],
  'file-hashed': [1, 2, 4],
  'batch-begun': [1, 5, 11],
  copying: [1, 5, 11],
  copied: [1, 4, 8],
  'ledger-written': [1, 4, 8],
  'commit-sent': [1, 4, 8],
  committed: [1, 4, 8],
  'checkpoint-written': [1, 2],
  'checkpoint-renamed': [1, 2],
  'before-archive': [1, 2, 4],
  'after-archive': [1, 2, 4],
};

/** Each kill with another checkpoint and another resumption, in turns, so that each pair of them comes together. */
const CASES = (Object.keys(FAILPOINTS) as FailpointName[]).flatMap((name) => PASSES[name].map((pass) => ({ name, pass })));

describe('killed with SIGKILL', { concurrency: 2 }, () => {
  CASES.forEach(({ name, pass }, index) => {
    const resume = RESUME[index % RESUME.length] ?? {};
    const [what, damage] = Object.entries(CHECKPOINTS)[index % 3] ?? ['', () => undefined];
    test(`at ${name} the ${pass}. time, checkpoint ${what}, then started with ${JSON.stringify(resume)}: nothing is lost, nothing doubled`, async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t);
      shop.put('large.csv', large);
      for (let n = 0; n < SMALL_FILES; n++) shop.put(`small-${n}.csv`, small(n));
      const env = { ...database.env, PROCESSING_PATH: shop.settings.inputDir, ARCHIVE_PATH: shop.settings.archiveDir, QUARANTINE_PATH: shop.settings.quarantineDir, CHECKPOINT_PATH: shop.settings.checkpointDir };
      const killed = await spawnEcompipe(t, ['stream', '--once', ...FIRST], { ...env, ECOMPIPE_FAILPOINT: `${name}:${pass}=kill` }, shop.home).end;
      assert.equal(killed.signal, 'SIGKILL', killed.stderr);
      await assertLedger(database);
      damage(path.join(shop.settings.checkpointDir, 'stream.json'));
      await load(shop, database, resume);
      assert.deepEqual((await eventsIn(database)).map(({ event_id: id, user_id: user }) => [id, user]), [...Array(48).keys(), 100, 101, 102].filter((n) => !BAD.has(n)).map((n) => [eventId(n), `u${n}`]));
      assert.deepEqual((await rejectsOf(database, large)).map(({ line }) => line), [...BAD].map((n) => n + 2));
      assert.deepEqual(readdirSync(shop.settings.inputDir), []);
      assert.deepEqual(readdirSync(shop.settings.archiveDir).length, 1 + SMALL_FILES);
      await assertLedger(database);
    });
  });
});

test('a stream that is stopped before COMMIT and wakes up when another has loaded its file changes nothing', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  shop.put('large.csv', large);
  const env = { ...database.env, PROCESSING_PATH: shop.settings.inputDir, ARCHIVE_PATH: shop.settings.archiveDir, QUARANTINE_PATH: shop.settings.quarantineDir, CHECKPOINT_PATH: path.join(shop.home, 'zombie') };
  const zombie = spawnEcompipe(t, ['stream', '--once', ...FIRST], { ...env, ECOMPIPE_FAILPOINT: 'batch-begun:4=stop' }, shop.home);
  const isStopped = async (): Promise<boolean> => {
    const [row] = await database.query<{ idle: number }>("select count(*)::int4 as idle from pg_stat_activity where datname = current_database() and application_name = 'ecompipe' and state = 'idle in transaction'");
    return row?.idle === 1 && readFileSync(`/proc/${zombie.child.pid}/stat`, 'utf8').includes(') T ');
  };
  await until('the stream stands still in a transaction', isStopped);
  await load(shop, database);
  zombie.child.kill('SIGCONT');
  const { exitCode, stderr } = await zombie.end;
  assert.equal(exitCode, 0, stderr);
  assert.equal((await eventsIn(database)).length, 48 - BAD.size);
  assert.equal((await rejectsOf(database, large)).length, BAD.size);
  assert.deepEqual(readdirSync(shop.settings.archiveDir), ['large.csv']);
  await assertLedger(database);
});
