import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventFile } from '../helpers/events.js';
import { eventIds } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { eventLogConf, eventsIn, progressOf } from './eventLog.js';
import { runSpark } from './harness.js';

const FILES = 5;
const ROWS = 20;
/** From here on rows are of the same length. */
const FIRST = 100;

test("Spark's pages and its log say which files a batch is about, how many rows they have, and what waits", async (t) => {
  const pipeline = await createPipeline(t);
  for (let number = 1; number <= FILES; number++)
    writeFileSync(
      path.join(pipeline.processing, `${number}.csv`),
      eventFile(FIRST + ROWS * number, FIRST + ROWS * (number + 1)),
    );
  const bytes = statSync(path.join(pipeline.processing, '1.csv')).size;
  const { exitCode, stderr } = await runSpark(t, pipeline, {
    conf: eventLogConf(pipeline.home),
    // Two files, and not quite three.
    args: ['--once', '--max-bytes-per-trigger', String(bytes * 3 - 1)],
  });
  assert.equal(exitCode, 0, stderr);
  assert.equal((await eventIds(pipeline.database)).length, FILES * ROWS);

  const events = eventsIn(pipeline.home);
  const descriptions = events.flatMap(({ Properties }) => Properties?.['spark.job.description'] ?? []);
  assert.ok(descriptions.includes('batch 0: inspect 1.csv, 2.csv'), descriptions.join('\n'));
  assert.ok(descriptions.includes('batch 2: stage 5.csv'), descriptions.join('\n'));

  const progress = progressOf(events);
  assert.deepEqual(
    progress.map(({ numInputRows }) => numInputRows),
    [2 * ROWS, 2 * ROWS, ROWS],
  );
  assert.deepEqual(
    progress.map(({ metrics }) => metrics),
    [3, 1, 0].map((left) => ({ numFilesOutstanding: String(left), numBytesOutstanding: String(left * bytes) })),
  );

  const offsets = path.join(pipeline.home, 'checkpoints/spark/offsets');
  for (const name of readdirSync(offsets).filter((file) => /^\d+$/.test(file)))
    assert.match(readFileSync(path.join(offsets, name), 'utf8').trim().split('\n').at(-1) ?? '', /^\{"look":\d\}$/);
});
