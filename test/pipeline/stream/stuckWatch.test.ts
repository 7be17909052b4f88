import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { StuckWatch } from '../../../src/pipeline/stream/stuckWatch.js';
import { until } from '../../helpers/until.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

function watch(t: TestContext, inputDir: string | undefined): { readonly stuck: StuckWatch; readonly told: string[] } {
  const told: string[] = [];
  const stuck = new StuckWatch({ stuckAfterMs: 300, inputDir }, ({ event, text }) => told.push(`${event}: ${text}`));
  t.after(() => stuck.close());
  return { stuck, told };
}

test('a database that is away for long is reported once, and once that it is back', async (t) => {
  const { stuck, told } = watch(t, undefined);
  const retry = { type: 'databaseRetry', sqlState: undefined, delayMs: 1 } as const;
  stuck.observeDatabase(retry);
  stuck.observeDatabase(retry);
  await until('it is stuck', () => told.length === 1);
  stuck.observeDatabase(retry);
  stuck.observeDatabase({ type: 'databaseBack', awayMs: 1 });
  await until('it goes on', () => told.length === 2);
  assert.match(told[0]!, /^stream_stuck: it is stuck: the database has been away for \d+ ms$/);
  assert.match(told[1]!, /^stream_recovered: /);
});

test('a database that is silent counts as away from the beginning of its silence', async (t) => {
  const { stuck, told } = watch(t, undefined);
  stuck.observeDatabase({ type: 'databaseSilent', silentMs: 12_000 });
  await until('it is stuck', () => told.length === 1);
  assert.match(told[0]!, /the database has been away for 12(\.\d)? s$/);
});

test('nothing is stuck where nothing waits; a file that is dealt with ends it', async (t) => {
  const directory = temporaryDirectory(t);
  const [empty, full] = [watch(t, temporaryDirectory(t)), watch(t, directory)];
  writeFileSync(path.join(directory, 'a.csv'), 'abc');
  await until('it is stuck', () => full.told.length === 1);
  full.stuck.observe({ type: 'fileQuarantined', file: 'a.csv', reason: '' });
  await until('it goes on', () => full.told.length === 2);
  assert.deepEqual(empty.told, []);
});
