import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { readFeeds } from '../../src/contract/feeds/readFeeds.js';
import { run } from '../helpers/executable.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { assertSameTables, runSpark } from './harness.js';

/** Each record is its own event, however many are alike: what tells them apart is their number in the file. */
const FEED = `match: "*.dump"
format: { delimiter: "\\t", quote: none, header: [at, user, product], encoding: shift_jis }
columns:
  event_id: { derive: [at, user, product], repeats: distinct }
  event_type: { value: view_item }
  event_time: { from: at, time: epoch-s }
  user_id: user
  session_id: user
  product_id: product
`;

/** Of several pieces: most records are like many others, some are not in their encoding. */
const DUMP = Buffer.from(
  Array.from({ length: 20_000 }, (_, n) => {
    const product = n % 997 === 0 ? 'x\x95' : `\x95\x5c"${' '.repeat(500)}`;
    return `${1_780_000_000 + (n % 10)}\tu${n % 3}\t${product}\n`;
  }).join(''),
  'latin1',
);

async function withDump(t: TestContext): Promise<{ readonly pipeline: Pipeline; readonly feedsDir: string }> {
  const pipeline = await createPipeline(t);
  const feedsDir = path.join(pipeline.home, 'feeds');
  mkdirSync(feedsDir);
  writeFileSync(path.join(feedsDir, 'dump.yaml'), FEED);
  writeFileSync(path.join(pipeline.processing, 'a.dump'), DUMP);
  return { pipeline, feedsDir };
}

async function loadNative(t: TestContext): Promise<Pipeline> {
  const { pipeline, feedsDir } = await withDump(t);
  const { rows } = await pipeline.stream({ feeds: await readFeeds({ feedsDir, shipped: [] }) });
  assert.deepEqual([rows.inserted, rows.duplicate, rows.rejected], [19_979, 0, 21]);
  return pipeline;
}

/** Kills a run of Spark when it has committed a part of the file. */
async function killSpark(t: TestContext, pipeline: Pipeline, feedsDir: string): Promise<void> {
  const { signal, stderr } = await runSpark(t, pipeline, {
    args: ['--once', '--feeds', feedsDir, '--stage-bytes', '1MiB'],
    env: { ECOMPIPE_FAILPOINT: 'committed:1=kill' },
  });
  assert.equal(signal, 'SIGKILL', stderr);
  await assertBegun(pipeline);
}

async function assertBegun({ database }: Pipeline): Promise<void> {
  const begun = await database.query(
    "select name from ecompipe.files where state = 'loading' and committed_offset > 0",
  );
  assert.deepEqual(begun, [{ name: 'a.dump' }]);
}

test('records that are alike have the same ids whatever the units, also when a run is killed among them', async (t) => {
  const native = await loadNative(t);
  const { pipeline, feedsDir } = await withDump(t);
  await killSpark(t, pipeline, feedsDir);
  const ended = await runSpark(t, pipeline, { args: ['--once', '--feeds', feedsDir, '--stage-bytes', '16MiB'] });
  assert.equal(ended.exitCode, 0, ended.stderr);
  await assertSameTables(pipeline.database, native.database);
  assert.deepEqual(readdirSync(pipeline.processing), []);
});

test('a file that a feed is for goes from native to Spark to native, cut off each time', async (t) => {
  const native = await loadNative(t);
  const { pipeline, feedsDir } = await withDump(t);
  const { home, database } = pipeline;
  const begun = await run(
    t,
    {
      cwd: home,
      env: {
        HOME: home,
        ...database.env,
        PROCESSING_PATH: pipeline.processing,
        ARCHIVE_PATH: pipeline.archive,
        QUARANTINE_PATH: path.join(home, 'quarantine'),
        CHECKPOINT_PATH: path.join(home, 'checkpoints'),
        ECOMPIPE_FAILPOINT: 'committed:2=kill',
      },
    },
    ...['stream', '--once', '--feeds', feedsDir, '--batch-bytes', '1MiB', '--connections', '1'],
  );
  assert.equal(begun.signal, 'SIGKILL', begun.stderr);
  await assertBegun(pipeline);
  await killSpark(t, pipeline, feedsDir);
  const engines = await database.query('select distinct engine from ecompipe.batches order by engine');
  assert.deepEqual(engines, [{ engine: 'native' }, { engine: 'spark' }]);
  await pipeline.stream({ feeds: await readFeeds({ feedsDir, shipped: [] }) });
  await assertSameTables(database, native.database);
  assert.deepEqual(readdirSync(pipeline.processing), []);
});
