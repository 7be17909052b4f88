import { execFile } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { withFileErrors } from '../../../platform/errors.js';
import { replaceFile } from '../../../platform/files/atomicWrite.js';
import type { Logger } from '../../../platform/log.js';
import type { StageContext } from '../../../platform/stage.js';
import { withClassArchive } from './classArchive.js';
import { findSpark, SparkError } from './installation.js';
import { findJdbcDriver } from './jdbc.js';
import { jarsDirectory, jobJar } from './jobJar.js';
import { readSparkConf } from './sparkConf.js';
import { submitArguments, submitEnvironment, type DriverSettings } from './submit.js';

export interface PrepareSettings {
  readonly sparkJars: string | undefined;
  readonly jdbcDriver: string | undefined;
  /** Flags for spark-submit, such as `--repositories URL`. */
  readonly sparkFlags: readonly string[];
}

export interface PreparedJars {
  readonly directory: string;
  /** Of Spark. */
  readonly version: string;
  readonly sparkHome: string;
  readonly job: string;
  readonly jdbcDriver: string;
}

/** What has been prepared, and what Spark starts faster with. */
export interface PreparedSpark extends PreparedJars {
  /** Java's archive of the classes that Spark starts with; undefined where there can be none. */
  readonly classArchive: string | undefined;
}

/**
 * Makes and fetches what the Spark engine starts with, so that `stream` needs neither a compiler nor a network then: in an
 * image, or on a machine with a network for one without. Run it once for each Spark; jars of several lie side by side.
 *
 * @throws SparkError (69)
 */
export async function prepareSpark(
  settings: PrepareSettings,
  environment: NodeJS.ProcessEnv,
  context: Pick<StageContext<never>, 'log' | 'stop'>,
): Promise<PreparedSpark> {
  const jars = await prepareJars(settings, environment, context.log);
  const { directory, sparkHome, version, job, jdbcDriver } = jars;
  const spark = { home: sparkHome, version };
  const conf = readSparkConf(spark, settings.sparkFlags, environment);
  const driver = { spark, conf, jar: job, master: 'local[1]', jdbcDriver };
  const { classArchive } = await withClassArchive(driver, { directory, isPrepared: false }, environment, context);
  return { ...jars, classArchive: classArchive?.file };
}

/** The job and the JDBC driver alone. @throws SparkError (69) */
export async function prepareJars(
  { sparkJars, jdbcDriver, sparkFlags }: PrepareSettings,
  environment: NodeJS.ProcessEnv,
  log: Logger,
): Promise<PreparedJars> {
  const spark = await findSpark(environment);
  const conf = readSparkConf(spark, sparkFlags, environment);
  const jars = { ...jarsDirectory(sparkJars, environment), isPrepared: false };
  const { directory } = jars;
  const job = await jobJar(spark, jars, environment, log);
  const given = findJdbcDriver(jdbcDriver, spark, jars, conf);
  // The same run tells that Spark can load the job.
  const found = await locateDriver({ spark, conf, jar: job, master: 'local[1]', jdbcDriver: given }, environment);
  const prepared = { directory, version: spark.version, sparkHome: spark.home, job };
  if (found.startsWith(`${path.join(spark.home, 'jars')}${path.sep}`) || path.dirname(found) === directory)
    return { ...prepared, jdbcDriver: found };
  // Ivy's name for it begins with the group.
  const target = path.join(directory, path.basename(found).replace(/^org\.postgresql_/, ''));
  // Whoever runs a container need not be who built its image.
  await withFileErrors('write', target, () => replaceFile(target, createReadStream(found), { mode: 0o644 }));
  return { ...prepared, jdbcDriver: target };
}

export function describePrepared({ directory, version, job, jdbcDriver, classArchive }: PreparedSpark): string {
  return [
    `ready for Spark ${version}`,
    `  job          ${job}`,
    `  JDBC driver  ${jdbcDriver}`,
    `  classes      ${classArchive ?? 'no archive: Spark starts without one, and more slowly'}`,
    `use it with --spark-jars ${directory} (ECOMPIPE_SPARK_JARS)`,
  ].join('\n');
}

/** Has Spark fetch the driver, unless it is there, with its own repositories, mirrors and proxies. @returns its jar. */
async function locateDriver(settings: DriverSettings, environment: NodeJS.ProcessEnv): Promise<string> {
  const submit = path.join(settings.spark.home, 'bin', 'spark-submit');
  const args = [...submitArguments(settings, environment), 'locate-driver'];
  const what = "cannot get PostgreSQL's JDBC driver";
  try {
    const options = { env: submitEnvironment(settings, environment), maxBuffer: 2 ** 24 };
    const { stdout } = await promisify(execFile)(submit, args, options);
    const found = /^driver (.+)$/m.exec(stdout)?.[1];
    if (found !== undefined && existsSync(found)) return found;
    throw new SparkError({ what, why: `spark-submit said: ${stdout.trim().slice(-2000)}` });
  } catch (error) {
    if (error instanceof SparkError) throw error;
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    throw new SparkError({
      what,
      why: `${stdout}${stderr}`.trim().slice(-2000) || message,
      hint: 'name a jar with --jdbc-driver, or a mirror of Maven Central: ecompipe spark prepare -- --repositories URL',
      cause: error,
    });
  }
}
