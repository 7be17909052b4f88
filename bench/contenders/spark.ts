import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installSpark, type InstalledSpark } from '../../scripts/spark/install.js';
import { silentLogger } from '../../src/platform/log.js';
import { findSpark } from '../../src/pipeline/stream/spark/installation.js';
import { prepareSpark } from '../../src/pipeline/stream/spark/prepareSpark.js';
import { jarsDirectory, jobJar } from '../../src/pipeline/stream/spark/jobJar.js';
import type { Bench } from '../harness/question.js';

/** A loader that runs as a user starts it. */
export interface StartedLoader {
  readonly startedMs: number;
  /** Resolves when it begins to look for files. */
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  /** Highest sum so far of the resident sets of all its processes, in bytes. */
  readonly peakRssBytes: () => number;
  readonly stop: () => Promise<void>;
}

export type LoaderName = 'native' | 'spark' | 'plain';

/** Both Sparks get the same: as many cores as the machine has, and the memory that Spark gives a driver by default. */
const MASTER = 'local[*]';
const CONF = {
  'spark.ui.enabled': 'false',
  'spark.ui.showConsoleProgress': 'false',
  'spark.driver.bindAddress': '127.0.0.1',
  'spark.driver.host': '127.0.0.1',
};
const RSS_INTERVAL_MS = 50;

/** Starts one of the three on the workspace; `once`: load what is there and exit, else continuous, looking all the time. */
export async function startLoader(bench: Bench, name: LoaderName, once: boolean): Promise<StartedLoader> {
  const { workspace, database } = bench;
  const directories = {
    PROCESSING_PATH: workspace.processing,
    ARCHIVE_PATH: path.join(workspace.root, 'archive'),
    QUARANTINE_PATH: path.join(workspace.root, 'quarantine'),
    CHECKPOINT_PATH: path.join(workspace.root, 'checkpoints'),
  };
  const ecompipe = [
    process.execPath,
    fileURLToPath(new URL('../../bin/ecompipe.js', import.meta.url)),
    'stream',
    '--log-format',
    'json',
    ...(once ? ['--once'] : []),
  ] as const;
  if (name === 'native')
    return launch(ecompipe, { ...database.env, ...directories }, workspace.root, 'stderr', 'stream_started');
  // Not measured: either job is compiled once, before.
  if (name === 'plain') {
    const { program, env } = await plainJob(bench, 'plain.Plain', [
      workspace.processing,
      path.join(workspace.root, 'plain-checkpoint'),
      once ? 'once' : 'continuous',
    ]);
    return launch(program, env, workspace.root, 'stdout', 'started');
  }
  const sparkEnv = sparkEnvironment(workspace, installSpark());
  await prepareSpark(
    { sparkJars: undefined, jdbcDriver: sparkEnv['ECOMPIPE_JDBC_DRIVER'], sparkFlags: [] },
    { ...process.env, ...sparkEnv },
    { log: silentLogger, stop: bench.stop },
  );
  return launch(
    [...ecompipe, '--engine', 'spark', '--master', MASTER, '--trigger-interval', '0'],
    { ...database.env, ...directories, ...sparkEnv },
    workspace.root,
    'stderr',
    'stream_started',
  );
}

/** How one of the jobs in bench/spark is started: with the same Spark and the same settings as ours. */
export async function plainJob(
  { workspace, database }: Bench,
  mainClass: string,
  args: readonly string[],
): Promise<{ program: readonly string[]; env: NodeJS.ProcessEnv }> {
  const installed = installSpark();
  const env = sparkEnvironment(workspace, installed);
  const spark = await findSpark(env);
  const jar = await jobJar(
    spark,
    jarsDirectory(undefined, env),
    { ...process.env, ...env },
    silentLogger,
    fileURLToPath(new URL('../spark', import.meta.url)),
  );
  const { host, port, database: dbname, user, password = '' } = database.settings;
  const secrets = {
    PLAIN_URL: `jdbc:postgresql://${host}:${port}/${dbname}?reWriteBatchedInserts=true&stringtype=unspecified`,
    PLAIN_USER: user,
    PLAIN_PASSWORD: password,
  };
  return {
    program: [
      path.join(spark.home, 'bin/spark-submit'),
      '--master',
      MASTER,
      '--class',
      mainClass,
      '--jars',
      installed.jdbcDriver,
      jar,
      ...args,
    ],
    env: { ...env, ...secrets },
  };
}

function sparkEnvironment({ root, cacheDir }: Bench['workspace'], installed: InstalledSpark): Record<string, string> {
  return {
    SPARK_HOME: installed.sparkHome,
    SPARK_CONF_DIR: sparkConf(root),
    SPARK_LOCAL_IP: '127.0.0.1',
    ECOMPIPE_JDBC_DRIVER: installed.jdbcDriver,
    XDG_CACHE_HOME: cacheDir,
    HOME: root,
  };
}

function sparkConf(root: string): string {
  const directory = path.join(root, 'spark-conf');
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    path.join(directory, 'spark-defaults.conf'),
    Object.entries(CONF)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  );
  return directory;
}

function launch(
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
  readyOn: 'stdout' | 'stderr',
  readyText: string,
): StartedLoader {
  const startedMs = performance.now();
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const ready = new Promise<void>((resolve) => {
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-8192);
        if (name === readyOn && output.includes(readyText)) resolve();
      });
    }
  });
  const peak = watchTree(child);
  let isStopped = false;
  const ended = new Promise<void>((resolve, reject) => {
    child
      .once('error', reject)
      .once('close', (code) =>
        code === 0 || isStopped ? resolve() : reject(new Error(`${program} ended with code ${code}:\n${output}`)),
      );
  });
  ended.catch(() => undefined);
  const stop = async (): Promise<void> => {
    isStopped = true;
    child.kill('SIGTERM');
    await ended;
  };
  return {
    startedMs,
    ready: Promise.race([ready, ended.then(() => Promise.reject(new Error(`${program} ended before it began`)))]),
    ended,
    peakRssBytes: peak,
    stop,
  };
}

/** Sums the resident sets of a process and all that it started, again and again, and keeps the highest sum. */
function watchTree(child: ChildProcess): () => number {
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, treeRss(child.pid ?? 0));
  }, RSS_INTERVAL_MS);
  child.once('exit', () => clearInterval(timer));
  return () => peakBytes;
}

function treeRss(root: number): number {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        return [
          {
            pid: Number(pid),
            parent: Number(/PPid:\s+(\d+)/.exec(status)?.[1]),
            bytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
          },
        ];
      } catch {
        return [];
      }
    });
  const sum = (pid: number): number =>
    (processes.find((each) => each.pid === pid)?.bytes ?? 0) +
    processes.filter(({ parent }) => parent === pid).reduce((total, each) => total + sum(each.pid), 0);
  return sum(root);
}
