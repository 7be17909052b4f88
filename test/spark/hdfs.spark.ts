import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../platform/files/directories.js';
import { until } from '../helpers/until.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { freePort } from '../helpers/ports.js';
import { keepRunning } from './cluster.js';
import { installedForTests, runSpark } from './harness.js';
import { assertLoaded, makeFiles } from './remote.js';

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

test('files in HDFS are loaded and put away', async (t) => {
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
});
