import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { InstalledForTests } from '../../scripts/spark/install.js';
import { start, type Ended, type Running } from '../helpers/executable.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { assertLedger } from '../pipeline/stream/tables.js';
import type { Pipeline } from '../pipeline/verify/pipeline.js';

/** Where `npm run test:spark` puts Spark and the JDBC driver. */
const INSTALLED = fileURLToPath(new URL('../../.spark/', import.meta.url));

/** What Spark is told in all tests: loopback only, no web pages, no waiting for what never comes. */
const DEFAULTS = {
  'spark.ui.enabled': 'false',
  'spark.driver.bindAddress': '127.0.0.1',
  'spark.driver.host': '127.0.0.1',
  'spark.driver.memory': '512m',
  'spark.sql.streaming.metricsEnabled': 'false',
};

/** What `npm run test:spark` has installed besides. */
export function installedForTests(): InstalledForTests {
  const read = (name: string): object => JSON.parse(readFileSync(path.join(INSTALLED, name), 'utf8')) as object;
  return {
    objectStore: undefined,
    ...read('installed.json'),
    ...read('installed-for-tests.json'),
  } as InstalledForTests;
}

/** The environment in which the tests start Spark. `conf` goes into its spark-defaults.conf, as users do it. */
export function sparkEnv(home: string, conf: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { sparkHome, jdbcDriver } = installedForTests();
  const confDir = path.join(home, 'spark-conf');
  mkdirSync(confDir, { recursive: true });
  writeFileSync(
    path.join(confDir, 'spark-defaults.conf'),
    Object.entries({ ...DEFAULTS, ...conf })
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  );
  return {
    SPARK_HOME: sparkHome,
    SPARK_CONF_DIR: confDir,
    SPARK_LOCAL_IP: '127.0.0.1',
    SPARK_LOCAL_DIRS: home,
    ECOMPIPE_JDBC_DRIVER: jdbcDriver,
    XDG_CACHE_HOME: INSTALLED,
    JAVA_HOME: process.env['JAVA_HOME'] ?? '',
  };
}

export interface SparkOptions {
  /** Default: local[2]; undefined: what Spark's settings say. */
  readonly master?: string | undefined;
  readonly conf?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/** Starts `ecompipe stream --engine spark` on a pipeline's directories and database. */
export function startSpark(
  t: TestContext,
  pipeline: Pipeline,
  { conf = {}, env = {}, args = ['--once'], ...options }: SparkOptions = {},
): Running {
  const master = 'master' in options ? options.master : 'local[2]';
  const directories = {
    PROCESSING_PATH: pipeline.processing,
    ARCHIVE_PATH: pipeline.archive,
    QUARANTINE_PATH: path.join(pipeline.home, 'quarantine'),
    CHECKPOINT_PATH: path.join(pipeline.home, 'checkpoints'),
  };
  return start(
    t,
    {
      cwd: pipeline.home,
      env: { HOME: pipeline.home, ...pipeline.database.env, ...directories, ...sparkEnv(pipeline.home, conf), ...env },
    },
    'stream',
    '--engine',
    'spark',
    ...(master === undefined ? [] : ['--master', master]),
    '--log-format',
    'json',
    ...args,
  );
}

/** Runs it to its end, with `--once` unless told otherwise. */
export async function runSpark(t: TestContext, pipeline: Pipeline, options: SparkOptions = {}): Promise<Ended> {
  return await startSpark(t, pipeline, options).end;
}

/** That a load by either engine left the same in the tables, and a sound ledger. */
export async function assertSameTables(spark: TestDatabase, native: TestDatabase): Promise<void> {
  const [ofSpark, ofNative] = [await tablesOf(spark), await tablesOf(native)];
  for (const [table, rows] of Object.entries(ofNative)) assert.deepEqual(ofSpark[table], rows, table);
  await assertLedger(spark);
}

/** All that a load leaves in the tables, without what two loads may differ in: ids, times, batches. */
export async function tablesOf(database: TestDatabase): Promise<Readonly<Record<string, unknown[]>>> {
  const query = async (sql: string): Promise<unknown[]> =>
    (await database.query<{ row: unknown }>(sql)).map(({ row }) => row);
  return {
    events: await query(
      "select to_jsonb(e) - 'ingested_at' - 'batch_id' as row from public.events e order by event_id",
    ),
    rejects:
      await query(`select jsonb_build_array(sha256, line, byte_offset, item, r.raw, kind, sql_state, column_name, constraint_name, message) as row
      from ecompipe.rejected_rows r join ecompipe.files using (file_id) order by sha256, byte_offset, item`),
    duplicates: await query(
      'select jsonb_build_array(sha256, line, byte_offset, item, key) as row from ecompipe.duplicate_rows join ecompipe.files using (file_id) order by sha256, byte_offset, item',
    ),
    files: await query(
      "select to_jsonb(f) - 'file_id' - 'name' - 'file_stamp' - 'first_seen_at' - 'finished_at' as row from ecompipe.files f order by sha256",
    ),
    // Of files with one content, which was the first and which came again is left to chance, as order across files is.
    names: await query(
      `select jsonb_build_array(sha256, array_agg(name order by name)) as row
       from (select sha256, name from ecompipe.files
             union all select sha256, r.name from ecompipe.redeliveries r join ecompipe.files using (file_id)) n
       group by sha256 order by sha256`,
    ),
  };
}
