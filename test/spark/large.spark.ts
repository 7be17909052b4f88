import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { eventFile } from '../helpers/events.js';
import type { Running } from '../helpers/executable.js';
import { until } from '../helpers/until.js';
import { assertLedger } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { eventLogConf, eventsIn, progressOf } from './eventLog.js';
import { startSpark } from './harness.js';

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 300_000;

/** More than one piece of four megabytes, and so more than one micro-batch. */
const LARGE_ROWS = 50_000;
const SMALL_ROWS = 20;

interface Load {
  readonly spark: Running;
  /** Lets the reading of the large file come to its end. */
  readonly release: () => void;
  /** Waits for something, or fails when the stream ends before. */
  readonly sees: (what: string, condition: () => boolean | Promise<boolean>) => Promise<void>;
}

/** Starts a stream on a large file, whose name comes first and whose reading does not end yet, and two small ones. */
function startLoad(t: TestContext, pipeline: Pipeline, args: readonly string[]): Load {
  const { processing, home } = pipeline;
  writeFileSync(path.join(processing, 'large.csv'), eventFile(0, LARGE_ROWS));
  assert.ok(statSync(path.join(processing, 'large.csv')).size > 4 * 2 ** 20);
  putSmall(pipeline, 0);
  // Records of another shape are another unit.
  putSmall(pipeline, 1, (line) => line.replace(/,[^,]*$/, ''));
  const released = path.join(home, 'released');
  const spark = startSpark(t, pipeline, {
    conf: eventLogConf(home),
    args: [...args, '--max-bytes-per-trigger', '1MiB', '--stage-bytes', '1MiB'],
    env: { ECOMPIPE_TEST_SPARK_FAILPOINT: `large-inspected=wait:${released}` },
  });
  const ended = spark.end.then(({ stderr }) => Promise.reject(new Error(`the stream ended:\n${stderr.slice(-3000)}`)));
  ended.catch(() => undefined);
  return {
    spark,
    release: () => writeFileSync(released, ''),
    sees: (what, condition) => Promise.race([until(what, condition, WITHIN_MS), ended]),
  };
}

function putSmall({ processing }: Pipeline, number: number, change = (line: string): string => line): void {
  const rows = eventFile(LARGE_ROWS + number * SMALL_ROWS, LARGE_ROWS + (number + 1) * SMALL_ROWS);
  writeFileSync(path.join(processing, `small ${number}.csv`), rows.split('\n').map(change).join('\n'));
}

async function rowsOf({ database }: Pipeline): Promise<number> {
  const [{ rows } = { rows: 0 }] = await database.query<{ rows: number }>(
    'select count(*)::int4 as rows from public.events',
  );
  return rows;
}

/** That all is loaded, and the large file was read through once, and loaded by more than one micro-batch. */
async function assertLoadedInParts(pipeline: Pipeline, smallFiles: number): Promise<void> {
  const rows = LARGE_ROWS + smallFiles * SMALL_ROWS;
  assert.deepEqual(readdirSync(pipeline.processing), []);
  await assertLedger(pipeline.database);
  assert.equal(await rowsOf(pipeline), rows);
  const events = eventsIn(pipeline.home);
  const jobs = events
    .filter(({ Event }) => Event === 'SparkListenerJobStart')
    .map(({ Properties }) => Properties?.['spark.job.description'] ?? '');
  assert.equal(jobs.filter((job) => job === 'inspect large.csv, beside the batches').length, 1, jobs.join('\n'));
  const batches = new Set(jobs.flatMap((job) => /^(batch \d+): stage large\.csv$/.exec(job)?.[1] ?? []));
  assert.ok(batches.size > 1, jobs.join('\n'));
  const counted = progressOf(events).reduce((sum, { numInputRows }) => sum + numInputRows, 0);
  assert.equal(counted, rows, 'its rows are counted once');
}

test('no file waits for a large one, which is read beside the micro-batches and loaded in parts', async (t) => {
  const pipeline = await createPipeline(t);
  const { spark, release, sees } = startLoad(t, pipeline, ['--trigger-interval', '0.1']);
  await sees('the small files are loaded', async () => (await rowsOf(pipeline)) === 2 * SMALL_ROWS);
  putSmall(pipeline, 2);
  await sees('one that came later is loaded', async () => (await rowsOf(pipeline)) === 3 * SMALL_ROWS);
  release();
  await sees('processing/ is empty', () => readdirSync(pipeline.processing).length === 0);
  spark.child.kill('SIGTERM');
  const { exitCode, stderr } = await spark.end;
  assert.equal(exitCode, 0, stderr);
  await assertLoadedInParts(pipeline, 3);
});

test('units of different files are merged at the same time, and --once waits for a large file', async (t) => {
  const pipeline = await createPipeline(t);
  const locker = await pipeline.database.connect();
  await locker.query('begin; lock table public.events in exclusive mode');
  const { spark, release, sees } = startLoad(t, pipeline, ['--once', '--connections', '2']);
  await sees('two merges wait for the table', async () => {
    const waiting = await pipeline.database.query(
      "select from pg_stat_activity where application_name like 'ecompipe%' and wait_event_type = 'Lock' and datname = current_database()",
    );
    return waiting.length === 2;
  });
  await locker.query('rollback');
  await sees('the small files are loaded', async () => (await rowsOf(pipeline)) === 2 * SMALL_ROWS);
  release();
  const { exitCode, stderr } = await spark.end;
  assert.equal(exitCode, 0, stderr);
  await assertLoadedInParts(pipeline, 2);
});
