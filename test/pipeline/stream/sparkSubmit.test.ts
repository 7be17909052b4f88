import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { SparkInstallation } from '../../../src/pipeline/stream/spark/installation.js';
import { readSparkConf } from '../../../src/pipeline/stream/spark/sparkConf.js';
import {
  assertClientMode,
  masterOf,
  submitArguments,
  submitEnvironment,
  takesClassArchive,
  type DriverSettings,
} from '../../../src/pipeline/stream/spark/submit.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

const LOOPBACK = ['spark.driver.bindAddress=127.0.0.1', 'spark.driver.host=127.0.0.1', 'spark.authenticate=true'];

/** A Spark whose user has these defaults. */
function spark(t: TestContext, defaults?: string): { readonly home: string; readonly version: string } {
  const home = temporaryDirectory(t);
  mkdirSync(path.join(home, 'conf'));
  if (defaults !== undefined) writeFileSync(path.join(home, 'conf/spark-defaults.conf'), defaults);
  return { home, version: '4.1.4' };
}

function settingsOf(
  spark: SparkInstallation,
  master?: string,
  flags: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): DriverSettings {
  return { spark, jar: 'job.jar', master, jdbcDriver: '/driver.jar', conf: readSparkConf(spark, flags, environment) };
}

/** The properties that are set, but for those that say nothing about the network. */
function properties(args: readonly string[]): string[] {
  return args.filter((arg, index) => args[index - 1] === '--conf' && !/^spark\.(ui\.show|executorEnv)/.test(arg));
}

for (const master of ['local', 'local[*]', 'local[2]', 'local[4,3]']) {
  test(`with ${master} no other machine reaches the driver or its UI`, (t) => {
    const settings = settingsOf(spark(t), master);
    const args = submitArguments(settings, {});
    assert.deepEqual(properties(args), LOOPBACK);
    assert.deepEqual([args.slice(0, 2), args.at(-1)], [['--master', master], 'job.jar']);
    assert.equal(submitEnvironment(settings, {})['SPARK_LOCAL_IP'], '127.0.0.1');
  });
}

for (const master of ['spark://host:7077', 'yarn', 'k8s://https://host', 'local-cluster[2,1,1024]']) {
  test(`with ${master} the network is left as it is: executors must reach the driver`, (t) => {
    const settings = settingsOf(spark(t), master);
    assert.deepEqual(properties(submitArguments(settings, {})), []);
    assert.equal(submitEnvironment(settings, {})['SPARK_LOCAL_IP'], undefined);
  });
}

test('what the user has set stays: in spark-defaults.conf, wherever it is, and in the environment', (t) => {
  const defaults = '# spark.driver.host here\n spark.authenticate  false\nspark.driver.bindAddress=0.0.0.0\n';
  const home = spark(t, defaults);
  const given = (environment: NodeJS.ProcessEnv): string[] =>
    properties(submitArguments(settingsOf(home, 'local[*]', [], environment), environment));
  assert.deepEqual(given({}), ['spark.driver.host=127.0.0.1']);
  const elsewhere = { SPARK_CONF_DIR: temporaryDirectory(t) };
  assert.deepEqual(given(elsewhere), LOOPBACK);
  writeFileSync(path.join(elsewhere.SPARK_CONF_DIR, 'spark-defaults.conf'), 'spark.driver.host: driver.example\n');
  assert.deepEqual(given(elsewhere), [LOOPBACK[0], LOOPBACK[2]]);
  assert.equal(
    submitEnvironment(settingsOf(home, 'local'), { SPARK_LOCAL_IP: '10.0.0.7' })['SPARK_LOCAL_IP'],
    '10.0.0.7',
  );
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
  const installed = spark(t);
  assert.deepEqual(submitEnvironment(settingsOf(installed, 'yarn'), environment), {
    JAVA_HOME: '/java',
    LC_ALL: 'C.UTF-8',
    SPARK_HOME: installed.home,
  });
});

test('names of files are UTF-8 for Java, too, whatever the locale', (t) => {
  const settings = settingsOf(spark(t), 'yarn');
  const localeIn = (environment: NodeJS.ProcessEnv): string | undefined =>
    submitEnvironment(settings, environment)['LC_ALL'];
  assert.equal(localeIn({ LANG: 'C' }), 'C.UTF-8');
  assert.equal(localeIn({ LC_ALL: 'POSIX', LANG: 'de_DE.UTF-8' }), 'C.UTF-8');
  assert.equal(localeIn({ LANG: 'de_DE.UTF-8' }), undefined);
  assert.equal(localeIn({ LC_ALL: 'en_US.utf8' }), 'en_US.utf8');
  assert.ok(submitArguments(settings, {}).includes('spark.executorEnv.LC_ALL=C.UTF-8'));
  const own = settingsOf(spark(t), 'yarn', ['--conf', 'spark.executorEnv.LC_ALL=de_DE.UTF-8']);
  assert.ok(!submitArguments(own, {}).includes('spark.executorEnv.LC_ALL=C.UTF-8'));
});

test('the master: a flag of ours, else what Spark is told, else this machine', (t) => {
  const [plain, configured] = [spark(t), spark(t, 'spark.master = spark://defaults:7077\n')];
  const other = path.join(temporaryDirectory(t), 'other.conf');
  writeFileSync(other, 'spark.master \\\n   spark://other:7077\n');
  assert.equal(masterOf(settingsOf(plain), {}), 'local[*]');
  assert.equal(masterOf(settingsOf(plain), { MASTER: 'local[3]' }), 'local[3]');
  assert.equal(masterOf(settingsOf(configured), { MASTER: 'local[3]' }), 'spark://defaults:7077');
  assert.equal(masterOf(settingsOf(configured, 'yarn'), {}), 'yarn');
  assert.equal(masterOf(settingsOf(configured, undefined, ['--properties-file', other]), {}), 'spark://other:7077');
  assert.equal(masterOf(settingsOf(configured, undefined, ['--conf', 'spark.master=local[7]']), {}), 'local[7]');
  assert.equal(masterOf(settingsOf(configured, 'yarn', ['--master', 'local[5]']), {}), 'local[5]');
});

test("Spark's own flags are passed on, and its jars and packages join ours", (t) => {
  const defaults = 'spark.jars /a.jar,/b.jar\nspark.jars.packages org.example:c:1\n';
  const flags = ['--conf', 'spark.cores.max=8', '--properties-file=/f.conf', '--load-spark-defaults', '--verbose'];
  const args = submitArguments(settingsOf(spark(t, defaults), 'yarn', flags), {});
  const after = args.slice(args.indexOf('spark.cores.max=8') - 1);
  assert.deepEqual(after, [
    '--conf',
    'spark.cores.max=8',
    '--properties-file',
    '/f.conf',
    '--load-spark-defaults',
    '--verbose',
    '--packages',
    'org.example:c:1',
    '--jars',
    '/a.jar,/b.jar,/driver.jar',
    'job.jar',
  ]);
  const fetched = { ...settingsOf(spark(t, defaults), 'yarn', ['--packages', 'x:y:1']), jdbcDriver: undefined };
  assert.match(submitArguments(fetched, {}).join(' '), /--packages x:y:1,org\.postgresql:postgresql:\S+ /);
  const own = { ...settingsOf(spark(t), 'yarn', ['--jars', '/x/postgresql-42.7.8.jar']), jdbcDriver: undefined };
  assert.doesNotMatch(submitArguments(own, {}).join(' '), /--packages/);
});

test('what cannot be passed on is refused', (t) => {
  const installed = spark(t);
  for (const [flags, message] of [
    [['--class', 'x'], /--class: not allowed with --engine spark/],
    [['--conf'], /--conf: its value is missing/],
    [['--conf', 'x'], /expected name=value/],
    [['data'], /"data": unexpected/],
  ] as const)
    assert.throws(() => readSparkConf(installed, flags, {}), message);
});

test('cluster mode is refused, wherever it is asked for', (t) => {
  const plain = spark(t);
  const configured = spark(t, 'spark.submit.deployMode cluster\n');
  assertClientMode(readSparkConf(plain, [], {}), {});
  assertClientMode(readSparkConf(configured, ['--deploy-mode', 'client'], {}), {});
  for (const [conf, environment] of [
    [readSparkConf(configured, [], {}), {}],
    [readSparkConf(plain, ['--deploy-mode', 'cluster'], {}), {}],
    [readSparkConf(plain, ['--conf', 'spark.submit.deployMode=cluster'], {}), {}],
    [readSparkConf(plain, [], {}), { DEPLOY_MODE: 'cluster' }],
  ] as const)
    assert.throws(() => assertClientMode(conf, environment), /"cluster": --engine spark needs client mode/);
});

/** What Java is told of an archive of classes, and where Spark's settings come from then. */
function withArchive(settings: DriverSettings, mode: 'use' | 'make' = 'use'): string[] {
  const args = submitArguments({ ...settings, classArchive: { file: '/jars/a "b".jsa', mode } }, {});
  return args.flatMap((arg, index) => {
    const flag = args[index - 1] ?? '';
    return ['--properties-file', '--driver-java-options'].includes(flag) ? [`${flag} ${arg}`] : [];
  });
}

test('with an archive of classes Spark keeps its settings and its options of Java', (t) => {
  const defaults = 'spark.driver.extraJavaOptions -Dx=1 -Xss4m\n';
  const configured = spark(t, defaults);
  const options = String.raw`--driver-java-options "-XX:SharedArchiveFile=/jars/a \"b\".jsa"`;
  assert.deepEqual(withArchive(settingsOf(configured)), [
    `--properties-file ${configured.home}/conf/spark-defaults.conf`,
    `${options} -Dx=1 -Xss4m`,
  ]);
  assert.deepEqual(withArchive(settingsOf(spark(t))), [options]);
  assert.deepEqual(withArchive(settingsOf(configured, 'local', ['--driver-java-options', '-Dy=2'])).slice(-1), [
    `${options} -Dy=2`,
  ]);
  const flags = ['--properties-file', '/own.conf', '--conf', 'spark.driver.extraJavaOptions=-Dz=3'];
  assert.deepEqual(withArchive(settingsOf(configured, 'local', flags)), [
    '--properties-file /own.conf',
    `${options} -Dz=3`,
  ]);
  assert.deepEqual(withArchive(settingsOf(spark(t)), 'make'), [
    options.replace('SharedArchiveFile', 'ArchiveClassesAtExit'),
  ]);
  const environment = submitEnvironment(
    { ...settingsOf(configured), classArchive: { file: '/jars/a.jsa', mode: 'use' } },
    { SPARK_CONF_DIR: '/mine' },
  );
  assert.equal(environment['SPARK_CONF_DIR'], '/jars/no-conf');
});

test('an archive of classes is for drivers on this machine, whose class path begins with the jars of Spark', (t) => {
  const takes = (settings: DriverSettings): boolean => takesClassArchive(settings, {});
  const [plain, configured] = [spark(t), spark(t, 'spark.executor.memory 2g\n')];
  writeFileSync(path.join(configured.home, 'conf/log4j2.properties.template'), '');
  assert.ok(takes(settingsOf(plain)));
  assert.ok(takes(settingsOf(configured, 'local[3]')));
  assert.ok(takes(settingsOf(plain, 'local', ['--conf', 'spark.driver.memory=2g'])));
  for (const master of ['spark://host:7077', 'yarn', 'local-cluster[2,1,1024]'])
    assert.ok(!takes(settingsOf(plain, master)), master);
  for (const flags of [
    ['--driver-class-path', '/x.jar'],
    ['--conf', 'spark.driver.extraClassPath=/x.jar'],
    ['--driver-java-options', '-XX:SharedArchiveFile=/own.jsa'],
    ['--conf', 'spark.driver.extraJavaOptions=-Dx -XX:+AutoCreateSharedArchive'],
    ['--properties-file', '/own.conf', '--load-spark-defaults'],
  ])
    assert.ok(!takes(settingsOf(plain, 'local', flags)), flags.join(' '));
  for (const name of ['log4j2.properties', 'spark-env.sh', 'core-site.xml']) {
    const other = spark(t);
    writeFileSync(path.join(other.home, 'conf', name), '');
    assert.ok(!takes(settingsOf(other)), name);
  }
});
