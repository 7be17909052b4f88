import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { errnoOf, withFileErrors } from '../../../platform/errors.js';
import type { Logger } from '../../../platform/log.js';
import { javaOf, SparkError, type SparkInstallation } from './installation.js';

const JOB_SOURCES = fileURLToPath(new URL('../../../../spark/job', import.meta.url));

/** Where jars are, and whether what is not there may be made. */
export interface JarsDirectory {
  readonly directory: string;
  /** Named by the user: it holds what `ecompipe spark prepare` has put there, and nothing is compiled or fetched. */
  readonly isPrepared: boolean;
}

/** The one that was named, else `ecompipe` in the user's cache (`XDG_CACHE_HOME`, else ~/.cache). */
export function jarsDirectory(named: string | undefined, environment: NodeJS.ProcessEnv): JarsDirectory {
  if (named !== undefined) return { directory: path.resolve(named), isPrepared: true };
  const cache = environment['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache');
  return { directory: path.join(cache, 'ecompipe'), isPrepared: false };
}

/** What a prepared directory lacks. */
export function notPrepared({ directory }: JarsDirectory, missing: string): SparkError {
  return new SparkError({
    what: `cannot start Spark with the jars in ${directory}`,
    why: `there is no ${missing}`,
    outcome: 'nothing was loaded',
    hint: `ecompipe spark prepare --spark-jars ${directory}, with this Spark and this version of ecompipe`,
  });
}

/**
 * The job as a jar for this Spark, compiled by `ecompipe spark prepare`, or else at the first use. The compiler is the one
 * in Spark's own jars/ (spark-shell needs it), so that the job always fits the Spark and the Scala it runs with, and needs
 * no JDK, no build tool and no binary in our package. Takes some 15 s, once.
 */
export async function jobJar(
  spark: SparkInstallation,
  jars: JarsDirectory,
  environment: NodeJS.ProcessEnv,
  log: Logger,
  sources = JOB_SOURCES,
): Promise<string> {
  const { directory } = jars;
  const files = readdirSync(sources)
    .filter((name) => name.endsWith('.scala'))
    .sort()
    .map((name) => path.join(sources, name));
  const hash = createHash('sha256').update(spark.version);
  for (const file of files) hash.update('\0').update(readFileSync(file));
  const jar = path.join(directory, `ecompipe-spark-${spark.version}-${hash.digest('hex').slice(0, 16)}.jar`);
  if (existsSync(jar)) return jar;
  if (jars.isPrepared) throw notPrepared(jars, `job for Spark ${spark.version} (${path.basename(jar)})`);
  await withFileErrors('create the directory', directory, () =>
    Promise.resolve(mkdirSync(directory, { recursive: true })),
  );
  log.info('spark_job_compiling', `compiling the job for Spark ${spark.version}; done once`, { jar });
  const temporary = path.join(directory, `.${process.pid}-${path.basename(jar)}`);
  try {
    await compile(spark, environment, files, temporary);
    renameSync(temporary, jar);
  } finally {
    rmSync(temporary, { force: true });
  }
  return jar;
}

async function compile(
  { home }: SparkInstallation,
  environment: NodeJS.ProcessEnv,
  files: readonly string[],
  jar: string,
): Promise<void> {
  const java = javaOf(environment);
  try {
    await promisify(execFile)(
      java,
      ['-cp', path.join(home, 'jars', '*'), 'scala.tools.nsc.Main', '-usejavacp', '-nowarn', '-d', jar, ...files],
      { env: environment, maxBuffer: 2 ** 24 },
    );
  } catch (error) {
    if (errnoOf(error) === 'ENOENT')
      throw new SparkError({
        what: 'cannot start Spark',
        why: `${java} does not exist`,
        hint: 'install Java 17 or later (Debian: openjdk-17-jre-headless), or set JAVA_HOME',
      });
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new SparkError({
      what: `cannot compile the job with the Scala compiler in ${home}/jars`,
      why: `${stdout}${stderr}`.trim().slice(-2000),
      hint: 'use a complete distribution of Spark (its spark-shell must work)',
      cause: error,
    });
  }
}
