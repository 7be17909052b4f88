import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { temporaryDirectory } from '../platform/files/directories.js';
import { start } from '../helpers/executable.js';
import { until } from '../helpers/until.js';
import { assertLedger } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { startCluster } from './cluster.js';
import { runSpark, sparkEnv } from './harness.js';
import { startYarn } from './yarn.js';

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 180_000;

let jar = '';

before(async (t) => {
  const context = t as TestContext;
  const home = temporaryDirectory(context);
  jar = path.join(home, 'ecompipe-spark.jar');
  const bundled = await start(
    context,
    { cwd: home, env: { HOME: home, ...sparkEnv(home) } },
    ...['spark', 'bundle', '--output', jar],
  ).end;
  assert.equal(bundled.exitCode, 0, bundled.stderr);
  assert.match(bundled.stdout, /MB, for Spark \S+ on \S+\nsubmit it with what `ecompipe stream` takes/);
});

interface Submitted {
  readonly child: ChildProcess;
  readonly end: Promise<{ exitCode: number | null; output: string }>;
}

/** Submits the jar, with nothing of this program's in the environment: the database is named by a file. */
function submit(
  t: TestContext,
  pipeline: Pipeline,
  flags: readonly string[],
  args: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
): Submitted {
  const env: Record<string, string> = { ...sparkEnv(pipeline.home), ECOMPIPE_JDBC_DRIVER: '', ...more };
  const envFile = path.join(pipeline.home, 'database.env');
  const { database, home, processing, archive } = pipeline;
  writeFileSync(
    envFile,
    Object.entries(database.env)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
    { mode: 0o600 },
  );
  const places = {
    '--env-file': envFile,
    '--input': processing,
    '--checkpoint': path.join(home, 'checkpoints'),
    '--archive-dir': archive,
    '--quarantine-dir': path.join(home, 'quarantine'),
  };
  const child = spawn(
    path.join(env['SPARK_HOME'] ?? '', 'bin/spark-submit'),
    [...flags, '--class', 'ecompipe.Stream', jar, ...Object.entries(places).flat(), ...args],
    { cwd: home, env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { child, end: once(child, 'close').then(() => ({ exitCode: child.exitCode, output })) };
}

async function fill(pipeline: Pipeline, seed: number): Promise<void> {
  const start = `2026-05-${String(seed).padStart(2, '0')}T00:00:00Z`;
  await pipeline.generate({ events: 20_000, batchSize: 2500, seed, start, dirt: 'dirty' });
  await pipeline.move();
}

async function assertProved(pipeline: Pipeline): Promise<void> {
  await assertLedger(pipeline.database);
  const { ok, counts } = await pipeline.verify();
  assert.equal(ok, true, JSON.stringify(counts));
  assert.deepEqual(readdirSync(pipeline.processing), []);
}

/** Processes that were started out of a bundle by the driver with this process id. */
function programsOf(driver: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'utf8')) ?? [];
        return Number(parent) === driver && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('ecompipe.js');
      } catch {
        return false;
      }
    })
    .map(Number);
}

test('a jar of its own is submitted in client mode; its exit code and its result are those of stream', async (t) => {
  const pipeline = await createPipeline(t);
  await fill(pipeline, 1);
  const { exitCode, output } = await submit(t, pipeline, ['--master', 'local[2]'], ['--once', '--strict']).end;
  assert.equal(exitCode, 3, output);
  assert.match(output, /^loaded [\d,]+ rows from \d+ files in /m);
  await assertProved(pipeline);
  const wrong = await submit(t, pipeline, ['--master', 'local[2]'], ['--onec']).end;
  assert.equal(wrong.exitCode, 2, wrong.output);
  assert.match(wrong.output, /unknown option '--onec'/);
});

test('in cluster mode, the driver runs on a worker, and the database is named by a file there', async (t) => {
  const pipeline = await createPipeline(t);
  const { master } = await startCluster(t, pipeline.home);
  await fill(pipeline, 3);
  const settings = [
    'spark.standalone.submit.waitAppCompletion=true',
    'spark.cores.max=1',
    'spark.executor.memory=512m',
  ];
  const flags = ['--master', master, '--deploy-mode', 'cluster', ...settings.flatMap((conf) => ['--conf', conf])];
  const { exitCode, output } = await submit(t, pipeline, flags, ['--once']).end;
  assert.equal(exitCode, 0, output);
  assert.match(output, /FINISHED/);
  await assertProved(pipeline);
});

test('on YARN, in cluster mode, the driver runs in a container, is started once, and ends as finished', async (t) => {
  const pipeline = await createPipeline(t);
  const { settings, env } = await startYarn(t, pipeline.home);
  await fill(pipeline, 5);
  const flags = ['--master', 'yarn', '--deploy-mode', 'cluster', ...settings.flatMap((conf) => ['--conf', conf])];
  const { exitCode, output } = await submit(t, pipeline, flags, ['--once'], env).end;
  assert.equal(exitCode, 0, output);
  assert.match(output, /final status: SUCCEEDED/);
  await assertProved(pipeline);
});

test('on YARN, in client mode, `stream` starts the driver beside itself and the executors run in containers', async (t) => {
  const pipeline = await createPipeline(t);
  const { settings, env } = await startYarn(t, pipeline.home);
  await fill(pipeline, 6);
  const conf = Object.fromEntries(settings.map((setting) => setting.split(/=(.*)/s).slice(0, 2)));
  const { exitCode, stderr } = await runSpark(t, pipeline, { master: 'yarn', conf, env });
  assert.equal(exitCode, 0, stderr);
  await assertProved(pipeline);
});

for (const killed of ['the driver', 'its program'] as const)
  test(`${killed} is killed in the middle of a load, and its checkpoint is lost: the other one ends, and nothing is lost or doubled`, async (t) => {
    const pipeline = await createPipeline(t);
    await fill(pipeline, 4);
    const { database } = pipeline;
    const locker = await database.connect();
    // So that the middle is long enough: the first rows wait.
    await locker.query('begin; lock table public.events in exclusive mode');
    const { child, end } = submit(t, pipeline, ['--master', 'local[2]']);
    const driver = child.pid ?? 0;
    await until(
      'a merge waits for the lock',
      async () =>
        (
          await database.query(
            "select from pg_stat_activity where application_name like 'ecompipe%' and wait_event_type = 'Lock'",
          )
        ).length > 0,
      WITHIN_MS,
    );
    const [program = 0, ...more] = programsOf(driver);
    assert.deepEqual([program > 0, more], [true, []]);
    process.kill(killed === 'the driver' ? driver : program, 'SIGKILL');
    await end;
    await until('the other one has ended', () => !isRunning(program), WITHIN_MS);
    await locker.query('rollback');
    // As with the disk of a machine that is gone.
    rmSync(path.join(pipeline.home, 'checkpoints'), { recursive: true });
    const { exitCode, output } = await submit(t, pipeline, ['--master', 'local[2]'], ['--once']).end;
    assert.equal(exitCode, 0, output);
    await assertProved(pipeline);
  });

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
