import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventFile } from '../helpers/events.js';
import { start } from '../helpers/executable.js';
import { assertLedger, eventIds } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { eventLogConf, eventsIn, progressOf } from './eventLog.js';
import { installedForTests, runSpark, sparkEnv } from './harness.js';

const { sparkHome, others } = installedForTests();
const SPARKS = { ...others, 'the Spark of the other tests': sparkHome };

for (const [version, home] of Object.entries(SPARKS)) {
  test(`Spark prepared once compiles and fetches nothing when it loads: ${version}`, async (t) => {
    const pipeline = await createPipeline(t);
    const jars = path.join(pipeline.home, 'jars');
    // The driver comes from the directory: the other tests name it.
    const { ECOMPIPE_JDBC_DRIVER: jdbcDriver = '', ...env } = { ...sparkEnv(pipeline.home), SPARK_HOME: home };
    const options = { cwd: pipeline.home, env: { HOME: pipeline.home, ...env } };
    const args = ['spark', 'prepare', '--spark-jars', jars, '--jdbc-driver', jdbcDriver];
    const prepared = await start(t, options, ...args).end;
    assert.equal(prepared.exitCode, 0, prepared.stderr);
    assert.match(readdirSync(jars).sort().join(' '), /^classes-\S+\.jsa ecompipe-spark-\S+\.jar postgresql-\S+\.jar$/);
    for (const number of [1, 2])
      writeFileSync(path.join(pipeline.processing, `${number}.csv`), eventFile(10 * number, 10 * number + 10));
    const loaded = await runSpark(t, pipeline, {
      conf: {
        ...eventLogConf(pipeline.home),
        'spark.driver.extraJavaOptions': `-Xlog:class+load:file=${path.join(pipeline.home, 'classes.log')}`,
      },
      // Where nothing can be compiled into, and nothing is in the cache.
      env: { SPARK_HOME: home, ECOMPIPE_JDBC_DRIVER: '', ECOMPIPE_SPARK_JARS: jars, XDG_CACHE_HOME: '/proc/self' },
    });
    assert.equal(loaded.exitCode, 0, loaded.stderr);
    assert.doesNotMatch(loaded.stderr, /spark_job_compiling|spark_classes_archiving/);
    assert.match(
      readFileSync(path.join(pipeline.home, 'classes.log'), 'utf8'),
      /org\.apache\.spark\.SparkContext source: shared objects file \(top\)/,
    );
    assert.equal((await eventIds(pipeline.database)).length, 20);
    const [progress] = progressOf(eventsIn(pipeline.home));
    assert.equal(progress?.numInputRows, 20, 'its input rows are those of the files');
    await assertLedger(pipeline.database);
    assert.ok(!existsSync(path.join(pipeline.home, '.ivy2')));
  });
}

test('a directory that was not prepared is told before anything is started', async (t) => {
  const pipeline = await createPipeline(t);
  const { exitCode, stderr } = await runSpark(t, pipeline, { env: { ECOMPIPE_SPARK_JARS: pipeline.home } });
  assert.equal(exitCode, 69, stderr);
  assert.match(stderr, /there is no job for Spark .*ecompipe spark prepare --spark-jars/s);
});
