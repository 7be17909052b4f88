import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventRow, HEADER } from '../helpers/events.js';
import { EXECUTABLE } from '../helpers/executable.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { assertLedger, eventIds } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { startCluster } from './cluster.js';
import { runSpark, startSpark } from './harness.js';

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 180_000;

/** Holds a stream up where it enters files that it has inspected into the ledger. */
async function holdLedger(
  database: TestDatabase,
): Promise<{ waited: () => Promise<void>; release: () => Promise<void> }> {
  const blocker = await database.connect();
  await blocker.query('begin; lock table ecompipe.file_entries in share row exclusive mode');
  return {
    waited: () =>
      until(
        'the stream waits for the ledger',
        async () => {
          const { rows } = await blocker.query(
            "select from pg_locks where relation = 'ecompipe.file_entries'::regclass and not granted",
          );
          return rows.length > 0;
        },
        WITHIN_MS,
      ),
    release: () => blocker.end(),
  };
}

test('files that the executors do not see are told, and loaded once they see them', async (t) => {
  const pipeline = await createPipeline(t);
  const { processing } = pipeline;
  // Each process has its own directory under this path: the driver ours, an executor the one it was started in.
  const options = {
    master: (await startCluster(t, pipeline.home, 1)).master,
    conf: { 'spark.executor.memory': '512m' },
    env: { PROCESSING_PATH: '/proc/self/cwd/processing' },
  };
  const write = (name: string, n: number): void =>
    writeFileSync(path.join(processing, name), `${HEADER}\n${eventRow(n)}\n`);
  write('a.csv', 1);
  write('b.csv', 2);

  await t.test('with --once, exit 74', async () => {
    const { exitCode, stdout, stderr } = await runSpark(t, pipeline, options);
    assert.equal(exitCode, 74, stdout + stderr);
    assert.match(stderr, /cannot load .*a\.csv: it exists, but the executors do not see it/);
    assert.deepEqual(readdirSync(processing), ['a.csv', 'b.csv']);
  });

  await t.test('continuously, tried again and again', async () => {
    const spark = startSpark(t, pipeline, { ...options, args: ['--trigger-interval', '0.1'] });
    await spark.said('the executors do not see it');
    const worker = path.join(pipeline.home, 'worker-0');
    const application = readdirSync(worker)
      .filter((name) => name.startsWith('app-'))
      .sort()
      .at(-1)!;
    const link = path.join(worker, application, '0', 'processing');
    symlinkSync(processing, link);
    await until('both are loaded', () => readdirSync(processing).length === 0, WITHIN_MS);

    // The executor loses sight of a file that it has inspected.
    const ledger = await holdLedger(pipeline.database);
    write('c.csv', 3);
    await ledger.waited();
    rmSync(link);
    await ledger.release();
    await until('it is told', () => /cannot load .*c\.csv: it exists, but/.test(spark.output()), WITHIN_MS);
    symlinkSync(processing, link);
    await until('it is loaded', () => readdirSync(processing).length === 0, WITHIN_MS);
    spark.child.kill('SIGTERM');
    assert.equal((await spark.end).exitCode, 0);
  });
  await assertLedger(pipeline.database);
  assert.equal((await eventIds(pipeline.database)).length, 3);
});

test('a file that somebody takes away while it is to be resumed ends nothing', async (t) => {
  const pipeline = await createPipeline(t);
  const { processing } = pipeline;
  await pipeline.generate({ events: 20_000, batchSize: 20_000 });
  await pipeline.move();
  const [large = ''] = readdirSync(processing);
  const killed = spawnSync(
    process.execPath,
    [EXECUTABLE, 'stream', '--once', '--batch-bytes', '1MiB', '--connections', '1'],
    {
      cwd: pipeline.home,
      env: {
        PATH: process.env['PATH'],
        ...pipeline.database.env,
        PROCESSING_PATH: processing,
        ECOMPIPE_FAILPOINT: 'committed:2=kill',
      },
    },
  );
  assert.equal(killed.signal, 'SIGKILL', killed.stderr.toString());
  writeFileSync(path.join(processing, 'small.csv'), `${HEADER}\n${eventRow(1)}\n`);
  const ledger = await holdLedger(pipeline.database);
  const spark = startSpark(t, pipeline);
  await Promise.race([ledger.waited(), spark.end]);
  renameSync(path.join(processing, large), path.join(pipeline.home, large));
  await ledger.release();
  const { exitCode, stdout, stderr } = await spark.end;
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /loaded 1 row from 1 file/);
  renameSync(path.join(pipeline.home, large), path.join(processing, large));
  await pipeline.stream();
  await assertLedger(pipeline.database);
  assert.equal((await eventIds(pipeline.database)).length, 20_001);
});
