import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventRow, HEADER } from '../helpers/events.js';
import { eventIds } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { freePort } from './cluster.js';
import { runSpark } from './harness.js';

/** One event waits in processing/. */
async function createWaiting(t: Parameters<typeof createPipeline>[0]): Promise<Pipeline> {
  const pipeline = await createPipeline(t);
  writeFileSync(path.join(pipeline.processing, 'a.csv'), `${HEADER}\n${eventRow(1)}\n`);
  return pipeline;
}

test("Spark's own settings count: its master, its default file system, its flags", async (t) => {
  const pipeline = await createWaiting(t);
  const conf = { 'spark.master': 'local[3]', 'spark.hadoop.fs.defaultFS': 'hdfs://nowhere.invalid:1' };
  const { exitCode, stderr } = await runSpark(t, pipeline, {
    master: undefined,
    conf,
    args: [
      '--once',
      '--',
      '--conf',
      'spark.eventLog.enabled=true',
      '--conf',
      `spark.eventLog.dir=file://${pipeline.home}`,
    ],
  });
  assert.equal(exitCode, 0, stderr);
  assert.equal((await eventIds(pipeline.database)).length, 1);
  assert.ok(existsSync(path.join(pipeline.home, 'checkpoints/spark/commits/0')));
  // Spark's log of a run is named after the application, local-…, which --conf asked for.
  assert.equal(readdirSync(pipeline.home).filter((name) => /local-\d+/.test(name)).length, 1);
});

test('cluster mode is refused before anything is started', async (t) => {
  const pipeline = await createWaiting(t);
  const { exitCode, stderr } = await runSpark(t, pipeline, { conf: { 'spark.submit.deployMode': 'cluster' } });
  assert.equal(exitCode, 2, stderr);
  assert.match(stderr, /--engine spark needs client mode/);
});

test('a master that can not be reached is named, for as long as --retry-for says', async (t) => {
  const pipeline = await createWaiting(t);
  const master = `spark://127.0.0.1:${await freePort()}`;
  const { exitCode, stderr } = await runSpark(t, pipeline, { master, args: ['--once', '--retry-for', '1'] });
  assert.equal(exitCode, 69, stderr);
  assert.match(stderr, new RegExp(`cannot reach the Spark master ${master}: connect ECONNREFUSED`));
});

test('rows that vanish from the stage again and again end the stream after --retry-for', async (t) => {
  const pipeline = await createWaiting(t);
  // As row-level security or a trigger on all tables would do it.
  await pipeline.database.query(`
    create function public.swallow() returns trigger language plpgsql as 'begin return null; end';
    create function public.on_table() returns event_trigger language plpgsql as $$
      declare made record;
      begin
        for made in select object_identity from pg_event_trigger_ddl_commands() where object_identity like '%spark_stage_%' and object_type = 'table' loop
          execute format('create trigger swallow before insert on %s for each row execute function public.swallow()', made.object_identity);
        end loop;
      end $$;
    create event trigger on_table on ddl_command_end when tag in ('CREATE TABLE') execute function public.on_table()`);
  const { exitCode, stderr } = await runSpark(t, pipeline, { args: ['--once', '--retry-for', '3'] });
  assert.equal(exitCode, 69, stderr);
  assert.match(stderr, /0 rows were staged where 1 were counted, for the first time/);
  assert.match(stderr, /0 rows were staged where 1 were counted, [2-9] times in a row.*gave up after/s);
});
