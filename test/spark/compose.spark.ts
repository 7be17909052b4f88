import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { composeServices, dockerfile, type Service } from '../deploy/composeFile.js';
import { until } from '../helpers/until.js';
import { assertLedger } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { freePort } from '../helpers/ports.js';
import { launch } from './cluster.js';
import { startSpark } from './harness.js';

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 180_000;

test("the compose file's Spark services load what is there, each with its own command", async (t) => {
  const pipeline = await createPipeline(t);
  const services = composeServices();
  const port = await freePort();
  /** What differs on a host: its one name, and that the port may be taken. */
  const onHost = (name: string): readonly string[] =>
    services[name]!.command.map((word) =>
      word
        .replace('spark-master:7077', `127.0.0.1:${port}`)
        .replace('spark-master', '127.0.0.1')
        .replace(/^7077$/, String(port))
        .replace('/tmp/spark-work', `${pipeline.home}/work`),
    );
  const sparkClass = ({ entrypoint }: Service): readonly string[] | undefined => entrypoint;
  assert.deepEqual(
    [sparkClass(services['spark-master']!), sparkClass(services['spark-worker']!)],
    [['/opt/spark/bin/spark-class'], ['/opt/spark/bin/spark-class']],
  );
  assert.ok(dockerfile().some(({ text }) => text.includes('SPARK_HOME=/opt/spark')));

  const master = launch(t, pipeline.home, [...onHost('spark-master'), '--webui-port', '0']);
  await until('the master takes applications', () => master().includes('I have been elected leader'), WITHIN_MS);
  const [workerClass = '', ...workerArgs] = onHost('spark-worker');
  launch(t, pipeline.home, [workerClass, '--webui-port', '0', ...workerArgs]);
  await until('the worker is there', () => master().includes('Registering worker'), WITHIN_MS);

  await pipeline.generate({ events: 2000, batchSize: 500, seed: 7, start: '2026-05-01T00:00:00Z', dirt: 'dirty' });
  await pipeline.move();
  // docker-compose.yml has it as ECOMPIPE_SPARK_MASTER=spark://spark-master:7077.
  const url = onHost('spark-worker').at(-1)!;
  const [command, engine, name, ...rest] = onHost('spark-streaming');
  assert.deepEqual([command, engine, name], ['stream', '--engine', 'spark']);
  const spark = startSpark(t, pipeline, { master: url, conf: { 'spark.executor.memory': '512m' }, args: rest });
  const ended = spark.end.then(({ stderr }) => Promise.reject(new Error(`the stream ended:\n${stderr.slice(-3000)}`)));
  ended.catch(() => undefined);
  await Promise.race([
    until('processing/ is empty', () => readdirSync(pipeline.processing).length === 0, WITHIN_MS),
    ended,
  ]);
  await assertLedger(pipeline.database);
  assert.equal((await pipeline.verify()).ok, true);
  spark.child.kill('SIGTERM');
  assert.equal((await spark.end).exitCode, 0);
});
