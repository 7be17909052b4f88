import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { EXECUTABLE } from '../helpers/executable.js';
import { until } from '../helpers/until.js';
import { assertLedger, eventIds } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { namesIn, pathIn } from '../helpers/dayFolders.js';
import { runSpark, startSpark } from './harness.js';

const SMALL_BATCHES = ['--once', '--max-files-per-trigger', '4', '--trigger-interval', '0'];

async function assertVerified(pipeline: Pipeline): Promise<void> {
  await assertLedger(pipeline.database);
  const { ok, counts } = await pipeline.verify();
  assert.equal(ok, true, JSON.stringify(counts));
}

function sparkCheckpoint(pipeline: Pipeline, ...names: readonly string[]): string {
  return path.join(pipeline.home, 'checkpoints/spark', ...names);
}

test('killed again and again, with its checkpoint damaged in between: nothing is lost, nothing doubled', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 8000, batchSize: 200, dirt: 'dirty' });
  await pipeline.move();
  const delivered = readdirSync(pipeline.processing).length;
  const loaded = async (): Promise<number> => (await eventIds(pipeline.database)).length;

  await t.test('the driver, by SIGKILL between our commit and the commit log of Spark', async () => {
    const ended = await runSpark(t, pipeline, {
      args: SMALL_BATCHES,
      env: { ECOMPIPE_TEST_SPARK_FAILPOINT: 'batch-done:2=kill' },
    });
    assert.equal(ended.exitCode, 69, ended.stderr);
    assert.match(ended.stderr, /the Spark driver is gone: it was ended by SIGKILL/);
    // Two micro-batches are committed, Spark knows of one.
    assert.deepEqual(
      readdirSync(sparkCheckpoint(pipeline, 'commits')).filter((name) => /^\d+$/.test(name)),
      ['0'],
    );
    assert.equal(readdirSync(pipeline.processing).length, delivered - 8);
    await assertLedger(pipeline.database);
  });

  await t.test('ourselves, between the database and the archive, with the last commit-log entry deleted', async () => {
    rmSync(sparkCheckpoint(pipeline, 'commits', '0'));
    rmSync(sparkCheckpoint(pipeline, 'commits', '.0.crc'), { force: true });
    const before = await loaded();
    const ended = await runSpark(t, pipeline, {
      args: SMALL_BATCHES,
      env: { ECOMPIPE_FAILPOINT: 'before-archive:3=kill' },
    });
    assert.equal(ended.signal, 'SIGKILL', ended.stderr);
    assert.ok((await loaded()) > before, 'something was committed before it was killed');
    await assertLedger(pipeline.database);
  });

  await t.test('ourselves, with COMMIT on its way, and the checkpoint directory deleted', async () => {
    rmSync(sparkCheckpoint(pipeline), { recursive: true });
    const ended = await runSpark(t, pipeline, {
      args: SMALL_BATCHES,
      env: { ECOMPIPE_FAILPOINT: 'commit-sent:2=kill' },
    });
    assert.equal(ended.signal, 'SIGKILL', ended.stderr);
    await assertLedger(pipeline.database);
  });

  await t.test('and then left alone, with an archive that is compressed', async () => {
    const before = namesIn(pipeline.archive);
    const ended = await runSpark(t, pipeline, { args: ['--once', '--archive-gzip'] });
    assert.equal(ended.exitCode, 0, ended.stderr);
    const archived = namesIn(pipeline.archive).filter((name) => !before.includes(name));
    assert.ok(archived.some((name) => name.endsWith('.csv.gz')));
    // One of a single block, as a dirty run has some of, stays as it is.
    const left = archived.filter((name) => !name.endsWith('.csv.gz'));
    assert.deepEqual(
      left.filter((name) => statSync(pathIn(pipeline.archive, name)).size > 4096),
      [],
    );
    assert.deepEqual(readdirSync(pipeline.processing), []);
    await assertVerified(pipeline);
    assert.deepEqual(
      await pipeline.database.query("select relname from pg_class where relname like 'spark_stage%'"),
      [],
      'stage tables of the killed runs are left behind',
    );
  });
});

test('a backlog with a large file goes from native to Spark to native, cut off each time', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 60_000, batchSize: 60_000, dirt: 'dirty' });
  await pipeline.generate({ events: 2000, batchSize: 100, seed: 43, start: '2026-05-01T00:00:00Z', dirt: 'dirty' });
  await pipeline.move();
  const directories = {
    PROCESSING_PATH: pipeline.processing,
    ARCHIVE_PATH: pipeline.archive,
    QUARANTINE_PATH: path.join(pipeline.home, 'quarantine'),
    CHECKPOINT_PATH: path.join(pipeline.home, 'checkpoints'),
  };
  const native = spawnSync(
    process.execPath,
    [EXECUTABLE, 'stream', '--once', '--batch-bytes', '1MiB', '--connections', '1'],
    {
      cwd: pipeline.home,
      env: {
        PATH: process.env['PATH'],
        ...pipeline.database.env,
        ...directories,
        ECOMPIPE_FAILPOINT: 'committed:3=kill',
      },
    },
  );
  assert.equal(native.signal, 'SIGKILL', native.stderr.toString());
  const spark = await runSpark(t, pipeline, {
    args: ['--once', '--stage-bytes', '2MiB', '--max-files-per-trigger', '3'],
    env: { ECOMPIPE_FAILPOINT: 'committed:2=kill' },
  });
  assert.equal(spark.signal, 'SIGKILL', spark.stderr);
  const engines = await pipeline.database.query(
    'select engine from ecompipe.batches group by engine having count(*) > 0 order by engine',
  );
  assert.deepEqual(engines, [{ engine: 'native' }, { engine: 'spark' }]);
  const [{ partly } = { partly: 0 }] = await pipeline.database.query<{ partly: number }>(
    "select count(*)::int4 as partly from ecompipe.files where state = 'loading' and committed_offset > 0",
  );
  assert.equal(partly, 1, 'the large file is loaded in part');
  await pipeline.stream();
  assert.deepEqual(readdirSync(pipeline.processing), []);
  await assertVerified(pipeline);
});

test('both engines at once on one directory: nothing is lost, nothing doubled', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 60_000, batchSize: 30_000, dirt: 'dirty' });
  await pipeline.generate({ events: 20_000, batchSize: 200, seed: 43, start: '2026-05-01T00:00:00Z', dirt: 'dirty' });
  await pipeline.move();
  const spark = startSpark(t, pipeline, {
    args: ['--once', '--max-files-per-trigger', '10', '--stage-bytes', '1MiB', '--trigger-interval', '0'],
    env: { CHECKPOINT_PATH: path.join(pipeline.home, 'of spark') },
  });
  await spark.said('stream_started');
  await pipeline.stream({ batchBytes: 2 ** 18 });
  const ended = await spark.end;
  assert.equal(ended.exitCode, 0, ended.stderr);
  await pipeline.stream();
  assert.deepEqual(readdirSync(pipeline.processing), []);
  await assertVerified(pipeline);
});

test('a continuous stream loads what comes, shows no password, and ends at the first signal with what it did', async (t) => {
  const pipeline = await createPipeline(t);
  const spark = startSpark(t, pipeline, { args: ['--json', '--after-load', 'keep', '--trigger-interval', '0.1'] });
  await spark.said('stream_started');
  const commandLines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });
  assert.notEqual(commandLines.filter((line) => line.includes('ecompipe.Main')).length, 0);
  assert.deepEqual(
    commandLines.filter((line) => line.includes(pipeline.database.password) && line.includes('ecompipe.Main')),
    [],
  );
  await pipeline.generate({ events: 500, batchSize: 50 });
  await pipeline.move();
  await until('all is loaded', async () => (await eventIds(pipeline.database)).length === 500, 120_000);
  spark.child.kill('SIGINT');
  const { exitCode, stdout, stderr } = await spark.end;
  assert.equal(exitCode, 0, stderr);
  const result = JSON.parse(stdout) as { filesLoaded: number; filesRedelivered: number; rows: { inserted: number } };
  assert.deepEqual([result.filesLoaded, result.filesRedelivered, result.rows.inserted], [10, 0, 500]);
  assert.equal(stderr.includes(pipeline.database.password), false);
  await assertVerified(pipeline);
});
