import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { silentLogger } from '../../src/platform/log.js';
import { findSpark } from '../../src/pipeline/stream/spark/installation.js';
import { jarsDirectory, jobJar } from '../../src/pipeline/stream/spark/jobJar.js';
import { temporaryDirectory } from '../platform/files/directories.js';
import { installedForTests, sparkEnv } from './harness.js';

const SOURCES = fileURLToPath(new URL('job/', import.meta.url));

/** What YARN's pages reach into. */
const OPENED = ['--add-opens=java.base/java.lang=ALL-UNNAMED'];

/** Programs of `test/spark/job/` that call parts of the job, compiled as the job itself is. */
export interface JobPrograms {
  readonly start: (program: string, ...args: readonly string[]) => ChildProcessWithoutNullStreams;
  /** The command that `start` runs. */
  readonly command: (program: string, ...args: readonly string[]) => [program: string, args: string[]];
}

export async function compileJobPrograms(t: TestContext): Promise<JobPrograms> {
  const home = temporaryDirectory(t);
  const env = { PATH: process.env['PATH'], ...sparkEnv(home) };
  const spark = await findSpark(env);
  const java = process.env['JAVA_HOME'] ? path.join(process.env['JAVA_HOME'], 'bin/java') : 'java';
  const classPath = [
    ...installedForTests().hadoop.jars,
    path.join(spark.home, 'jars/*'),
    await jobJar(spark, jarsDirectory(undefined, env), env, silentLogger),
  ].join(':');
  const sources = readdirSync(SOURCES).map((name) => path.join(SOURCES, name));
  const jar = path.join(home, 'programs.jar');
  await promisify(execFile)(java, [
    '-cp',
    classPath,
    'scala.tools.nsc.Main',
    '-usejavacp',
    '-nowarn',
    '-d',
    jar,
    ...sources,
  ]);
  const command = (program: string, ...args: readonly string[]): [string, string[]] => [
    java,
    ['-Xmx512m', ...OPENED, '-cp', `${classPath}:${jar}`, `ecompipe.test.${program}`, ...args],
  ];
  return {
    command,
    start: (program, ...args) => {
      const child = spawn(...command(program, ...args));
      t.after(() => child.kill('SIGKILL'));
      return child;
    },
  };
}
