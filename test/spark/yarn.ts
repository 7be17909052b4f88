import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { until } from '../helpers/until.js';
import { keepRunning } from './cluster.js';
import { installedForTests } from './harness.js';
import { compileJobPrograms } from './job.js';

const STARTED_WITHIN_MS = 300_000;

/** Hadoop's own MiniYARNCluster: a resource manager and a node manager that starts containers as processes. */
export async function startYarn(
  t: TestContext,
  home: string,
): Promise<{ readonly settings: readonly string[]; readonly env: Readonly<Record<string, string>> }> {
  const conf = path.join(home, 'yarn');
  mkdirSync(conf);
  const [program, args] = (await compileJobPrograms(t)).command('Yarn', path.join(conf, 'yarn-site.xml'));
  const { log, hasEnded } = keepRunning(t, program, args, { cwd: home });
  await until('YARN is there', () => existsSync(path.join(conf, 'yarn-site.xml')) || hasEnded(), STARTED_WITHIN_MS);
  assert.equal(hasEnded(), false, log());
  const { sparkHome } = installedForTests();
  return {
    settings: [
      // Where they are on each machine: not to be copied.
      `spark.yarn.jars=local:${sparkHome}/jars/*`,
      `spark.yarn.stagingDir=file://${home}/staging`,
      'spark.hadoop.fs.defaultFS=file:///',
      'spark.yarn.appMasterEnv.SPARK_LOCAL_IP=127.0.0.1',
      'spark.executorEnv.SPARK_LOCAL_IP=127.0.0.1',
      'spark.executor.instances=1',
      'spark.executor.memory=512m',
    ],
    env: { HADOOP_CONF_DIR: conf, YARN_CONF_DIR: conf },
  };
}
