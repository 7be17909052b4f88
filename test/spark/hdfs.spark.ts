import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../platform/files/directories.js';
import { until } from '../helpers/until.js';
import { eventFile } from '../helpers/events.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { freePort } from '../helpers/ports.js';
import { keepRunning } from './cluster.js';
import { installedForTests, runSpark, startSpark } from './harness.js';
import { assertLoaded, makeFiles, ROWS } from './remote.js';
import { eventIds } from '../pipeline/stream/tables.js';

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 300_000;

const java = process.env['JAVA_HOME'] ? path.join(process.env['JAVA_HOME'], 'bin/java') : 'java';

/** A name node and a data node in one process. */
async function startHdfs(t: TestContext): Promise<{ uri: string; shell: (...args: string[]) => Promise<string> }> {
  const { sparkHome, hadoop } = installedForTests();
  const home = temporaryDirectory(t);
  const sparkJars = path.join(sparkHome, 'jars/*');
  const port = await freePort();
  const started = path.join(home, 'started.xml');
  const args = [
    ...['-Xmx512m', '-cp', [...hadoop.jars, sparkJars].join(':'), 'org.apache.hadoop.test.MiniDFSClusterManager'],
    ...['-format', '-datanodes', '1', '-nnport', String(port), '-writeConfig', started],
  ];
  const { log, hasEnded } = keepRunning(t, java, args, { cwd: home });
  await until('HDFS is there', () => existsSync(started) || hasEnded(), WITHIN_MS);
  assert.equal(hasEnded(), false, log());
  // The shell wants to read one.
  writeFileSync(path.join(home, 'core-site.xml'), '<configuration/>');
  const uri = `hdfs://127.0.0.1:${port}`;
  const shell = async (...args: string[]): Promise<string> =>
    (
      await promisify(execFile)(java, [
        '-cp',
        `${home}:${sparkJars}`,
        'org.apache.hadoop.fs.FsShell',
        '-fs',
        uri,
        ...args,
      ])
    ).stdout;
  return { uri, shell };
}

test('files in HDFS are loaded and disposed of', async (t) => {
  const pipeline = await createPipeline(t);
  const { uri, shell } = await startHdfs(t);
  await makeFiles(pipeline);
  await shell('-put', pipeline.processing, '/in');
  const { exitCode, stderr } = await runSpark(t, pipeline, {
    env: { PROCESSING_PATH: `${uri}/in`, ARCHIVE_PATH: `${uri}/archive`, QUARANTINE_PATH: `${uri}/quarantine` },
  });
  assert.equal(exitCode, 0, stderr);
  const listing = await shell('-ls', '-R', '/');
  await assertLoaded(
    pipeline,
    listing.split('\n').flatMap((line) => /^-.* \/((?:in|archive|quarantine)\/.*)$/.exec(line)?.[1] ?? []),
  );

  await t.test('a checkpoint in HDFS is one as on this machine', async (t) => {
    const env = { CHECKPOINT_PATH: `${uri}/checkpoints/` };
    const checkpoint = async (): Promise<unknown> => JSON.parse(await shell('-cat', '/checkpoints/stream.json'));
    writeFileSync(path.join(pipeline.processing, 'first.csv'), eventFile(1000, 1010));
    const stream = startSpark(t, pipeline, { env, args: [] });
    await until('it is loaded', async () => (await eventIds(pipeline.database)).length === ROWS + 10, WITHIN_MS);
    const other = await runSpark(t, pipeline, { env });
    assert.equal(other.exitCode, 5, other.stderr);
    assert.match(other.stderr, /another stream .* the checkpoint directory hdfs:.*checkpoints is running/);
    stream.child.kill('SIGTERM');
    const stopped = await stream.end;
    assert.equal(stopped.exitCode, 0, stopped.stderr);
    const [{ batch } = { batch: undefined }] = await pipeline.database.query<{ batch: number }>(
      'select max(batch_id)::int4 as batch from ecompipe.batches',
    );
    const { lastBatchId } = (await checkpoint()) as { lastBatchId: number };
    assert.equal(lastBatchId, batch);
    assert.match(await shell('-ls', '/checkpoints/spark'), /commits/);
    assert.doesNotMatch(await shell('-ls', '/checkpoints'), /\.tmp|\.stream/);

    writeFileSync(path.join(pipeline.processing, 'second.csv'), eventFile(1010, 1020));
    const again = await runSpark(t, pipeline, { env });
    assert.equal(again.exitCode, 0, again.stderr);
    assert.equal(((await checkpoint()) as { lastBatchId: number }).lastBatchId, lastBatchId + 1);

    const elsewhere = await createPipeline(t);
    const wrong = await runSpark(t, elsewhere, { env });
    assert.equal(wrong.exitCode, 6, wrong.stderr);
    assert.match(wrong.stderr, /hdfs:.*\/checkpoints\/stream\.json is from another database/);
  });
});
