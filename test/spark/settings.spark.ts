import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { SESSION_SETTINGS } from '../../src/platform/db/sessionSettings.js';
import { eventRow, HEADER } from '../helpers/events.js';
import { eventIds } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { freePort } from '../helpers/ports.js';
import { runSpark } from './harness.js';

/** One event waits in processing/. */
async function createWaiting(t: Parameters<typeof createPipeline>[0]): Promise<Pipeline> {
  const pipeline = await createPipeline(t);
  writeFileSync(path.join(pipeline.processing, 'a.csv'), `${HEADER}\n${eventRow(1)}\n`);
  return pipeline;
}

/** Has a trigger function run for each row of the tables that executors stage rows in. */
function onStageTables(triggerFunction: string): string {
  return `
    create function public.on_table() returns event_trigger language plpgsql as $$
      declare made record;
      begin
        for made in select object_identity from pg_event_trigger_ddl_commands() where object_identity like '%spark_stage_%' and object_type = 'table' loop
          execute format('create trigger of_test before insert on %s for each row execute function public.${triggerFunction}()', made.object_identity);
        end loop;
      end $$;
    create event trigger on_table on ddl_command_end when tag in ('CREATE TABLE') execute function public.on_table()`;
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
    ${onStageTables('swallow')}`);
  const { exitCode, stderr } = await runSpark(t, pipeline, { args: ['--once', '--retry-for', '3'] });
  assert.equal(exitCode, 69, stderr);
  assert.match(stderr, /0 rows were staged where 1 were counted, for the first time/);
  assert.match(stderr, /0 rows were staged where 1 were counted, [2-9] times in a row.*gave up after/s);
});

test('the executors stage rows under the session settings that all of our sessions pin', async (t) => {
  const pipeline = await createWaiting(t);
  const hostile = {
    datestyle: 'SQL, DMY',
    timezone: 'Asia/Tokyo',
    intervalstyle: 'sql_standard',
    bytea_output: 'escape',
    extra_float_digits: '0',
    array_nulls: 'off',
    transform_null_equals: 'on',
    xmloption: 'document',
    default_transaction_isolation: 'serializable',
    lock_timeout: '1h',
    statement_timeout: '1h',
    idle_in_transaction_session_timeout: '1h',
    idle_session_timeout: '1h',
  };
  for (const [name, value] of Object.entries(hostile))
    await pipeline.database.query(
      `alter role current_user in database ${pipeline.database.database} set ${name} = '${value}'`,
    );
  await pipeline.database.query(`
    create table public.seen (name text primary key, setting text);
    create function public.look() returns trigger language plpgsql as $$
      begin
        insert into public.seen select name, current_setting(name) from pg_settings on conflict do nothing;
        return new;
      end $$;
    ${onStageTables('look')}`);
  const { exitCode, stderr } = await runSpark(t, pipeline);
  assert.equal(exitCode, 0, stderr);
  const seen = await pipeline.database.query<{ name: string; setting: string }>('select * from public.seen');
  const settings = Object.fromEntries(seen.map(({ name, setting }) => [name.toLowerCase(), setting]));
  for (const { name, value } of SESSION_SETTINGS)
    if (settings[name] !== undefined) assert.equal(settings[name], value, name);
  assert.equal(settings['datestyle'], 'ISO, YMD');
});
