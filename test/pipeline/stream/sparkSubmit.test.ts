import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { submitArguments, submitEnvironment } from '../../../src/pipeline/stream/spark/submit.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

const LOOPBACK = ['spark.driver.bindAddress=127.0.0.1', 'spark.driver.host=127.0.0.1', 'spark.authenticate=true'];

/** A Spark whose user has these defaults. */
function spark(t: TestContext, defaults?: string): { readonly home: string; readonly version: string } {
  const home = temporaryDirectory(t);
  mkdirSync(path.join(home, 'conf'));
  if (defaults !== undefined) writeFileSync(path.join(home, 'conf/spark-defaults.conf'), defaults);
  return { home, version: '4.1.4' };
}

/** The properties that are set, but for those that say nothing about the network. */
function properties(args: readonly string[]): string[] {
  return args.filter((arg, index) => args[index - 1] === '--conf' && !arg.startsWith('spark.ui.show'));
}

for (const master of ['local', 'local[*]', 'local[2]', 'local[4,3]']) {
  test(`with ${master} no other machine reaches the driver or its UI`, (t) => {
    const settings = { spark: spark(t), jar: 'job.jar', master, jdbcDriver: undefined };
    const args = submitArguments(settings, {});
    assert.deepEqual(properties(args), LOOPBACK);
    assert.deepEqual([args.slice(0, 2), args.at(-1)], [['--master', master], 'job.jar']);
    assert.equal(submitEnvironment(settings, {})['SPARK_LOCAL_IP'], '127.0.0.1');
  });
}

for (const master of ['spark://host:7077', 'yarn', 'k8s://https://host', 'local-cluster[2,1,1024]']) {
  test(`with ${master} the network is left as it is: executors must reach the driver`, (t) => {
    const settings = { spark: spark(t), jar: 'job.jar', master, jdbcDriver: undefined };
    assert.deepEqual(properties(submitArguments(settings, {})), []);
    assert.equal(submitEnvironment(settings, {})['SPARK_LOCAL_IP'], undefined);
  });
}

test('what the user has set stays: in spark-defaults.conf, wherever it is, and in the environment', (t) => {
  const defaults = '# spark.driver.host here\n spark.authenticate  false\nspark.driver.bindAddress=0.0.0.0\n';
  const settings = { spark: spark(t, defaults), jar: 'job.jar', master: 'local[*]', jdbcDriver: undefined };
  assert.deepEqual(properties(submitArguments(settings, {})), ['spark.driver.host=127.0.0.1']);
  const elsewhere = { SPARK_CONF_DIR: temporaryDirectory(t) };
  assert.deepEqual(properties(submitArguments(settings, elsewhere)), LOOPBACK);
  writeFileSync(path.join(elsewhere.SPARK_CONF_DIR, 'spark-defaults.conf'), 'spark.driver.host: driver.example\n');
  assert.deepEqual(properties(submitArguments(settings, elsewhere)), [LOOPBACK[0], LOOPBACK[2]]);
  assert.equal(submitEnvironment(settings, { SPARK_LOCAL_IP: '10.0.0.7' })['SPARK_LOCAL_IP'], '10.0.0.7');
});

test('secrets of ours do not reach the JVM through its environment', (t) => {
  const environment = {
    DATABASE_URL: 'x',
    POSTGRES_PASSWORD: 'x',
    PGPASSWORD: 'x',
    ECOMPIPE_METRICS_TOKEN: 'x',
    ECOMPIPE_DASHBOARD_PASSWORD: 'x',
    ECOMPIPE_NOTIFY_URL: 'x',
    JAVA_HOME: '/java',
  };
  const { home, version } = spark(t);
  assert.deepEqual(submitEnvironment({ spark: { home, version }, master: 'yarn' }, environment), {
    JAVA_HOME: '/java',
    SPARK_HOME: home,
  });
});
