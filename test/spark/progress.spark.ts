import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventRow, HEADER } from '../helpers/events.js';
import { eventIds } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { runSpark } from './harness.js';

interface SparkEvent {
  readonly Event: string;
  readonly Properties?: Readonly<Record<string, string>>;
  readonly progress?: string | { readonly json?: string };
}

interface Progress {
  readonly sources: readonly { readonly numInputRows: number; readonly metrics?: Readonly<Record<string, string>> }[];
}

const FILES = 5;

test("Spark's pages and its log say which files a batch is about, and what waits", async (t) => {
  const pipeline = await createPipeline(t);
  for (let number = 1; number <= FILES; number++)
    writeFileSync(path.join(pipeline.processing, `${number}.csv`), `${HEADER}\n${eventRow(number)}\n`);
  const bytes = statSync(path.join(pipeline.processing, '1.csv')).size;
  const { exitCode, stderr } = await runSpark(t, pipeline, {
    conf: {
      'spark.eventLog.enabled': 'true',
      'spark.eventLog.compress': 'false',
      'spark.eventLog.rolling.enabled': 'false',
      'spark.eventLog.dir': `file://${pipeline.home}`,
    },
    // Two files, and not quite three.
    args: ['--once', '--max-bytes-per-trigger', String(bytes * 3 - 1)],
  });
  assert.equal(exitCode, 0, stderr);
  assert.equal((await eventIds(pipeline.database)).length, FILES);

  const [log = ''] = readdirSync(pipeline.home).filter((name) => /^local-\d+/.test(name));
  const events = readFileSync(path.join(pipeline.home, log), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SparkEvent);
  const descriptions = events.flatMap(({ Properties }) => Properties?.['spark.job.description'] ?? []);
  assert.ok(descriptions.includes('batch 0: inspect 1.csv, 2.csv'), descriptions.join('\n'));
  assert.ok(descriptions.includes('batch 2: stage 5.csv'), descriptions.join('\n'));

  const progress = events
    .filter(({ Event }) => Event.endsWith('QueryProgressEvent'))
    .map(({ progress }) => (typeof progress === 'string' ? progress : JSON.stringify(progress)))
    .map((text) => JSON.parse(text) as Progress)
    .filter(({ sources: [source] }) => (source?.numInputRows ?? 0) > 0);
  assert.deepEqual(
    progress.map(({ sources: [source] }) => source?.metrics),
    [3, 1, 0].map((left) => ({ numFilesOutstanding: String(left), numBytesOutstanding: String(left * bytes) })),
  );

  const offsets = path.join(pipeline.home, 'checkpoints/spark/offsets');
  for (const name of readdirSync(offsets).filter((file) => /^\d+$/.test(file)))
    assert.match(readFileSync(path.join(offsets, name), 'utf8').trim().split('\n').at(-1) ?? '', /^\{"look":\d\}$/);
});
