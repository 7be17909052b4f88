import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { freePort } from '../helpers/ports.js';
import { until } from '../helpers/until.js';
import { sparkEnv } from './harness.js';

/** A standalone cluster on loopback: one master and some workers, each a process with an address of its own. */
export interface Cluster {
  readonly master: string;
}

const STARTED_WITHIN_MS = 120_000;

export async function startCluster(t: TestContext, home: string, workers = 2): Promise<Cluster> {
  const port = await freePort();
  const master = `spark://127.0.0.1:${port}`;
  const launched = launch(t, home, [
    'org.apache.spark.deploy.master.Master',
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    '--webui-port',
    '0',
  ]);
  await until(
    'the master takes applications',
    () => launched().includes('I have been elected leader'),
    STARTED_WITHIN_MS,
  );
  for (let worker = 0; worker < workers; worker++) {
    // Speculation never gives a task to the host that has it already: the two must not seem to be one.
    launch(
      t,
      home,
      [
        'org.apache.spark.deploy.worker.Worker',
        '--host',
        `127.0.0.${worker + 1}`,
        '--webui-port',
        '0',
        '--cores',
        '1',
        '--memory',
        '1g',
        '--work-dir',
        path.join(home, `worker-${worker}`),
        master,
      ],
      { SPARK_LOCAL_IP: `127.0.0.${worker + 1}` },
    );
  }
  await until(
    'all workers are there',
    () => launched().split('Registering worker').length === workers + 1,
    STARTED_WITHIN_MS,
  );
  return { master };
}

/** Starts a daemon of Spark in the foreground, killed at the end of the test; returns what reads its log so far. */
export function launch(
  t: TestContext,
  home: string,
  command: readonly string[],
  more: Readonly<Record<string, string>> = {},
): () => string {
  const env = { ...sparkEnv(home), ...more };
  return keepRunning(t, path.join(env['SPARK_HOME'] ?? '', 'bin/spark-class'), command, {
    cwd: home,
    env: { PATH: process.env['PATH'], ...env, SPARK_DAEMON_MEMORY: '256m' },
  }).log;
}

/** Starts a program that is killed at the end of the test. */
export function keepRunning(
  t: TestContext,
  program: string,
  args: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'env'> = {},
): { readonly log: () => string; readonly hasEnded: () => boolean } {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { log: () => log, hasEnded: () => child.exitCode !== null };
}
