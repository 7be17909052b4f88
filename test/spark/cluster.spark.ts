import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { assertLedger } from '../pipeline/stream/tables.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { startCluster } from './cluster.js';
import { startSpark } from './harness.js';

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 180_000;

const CONF = {
  'spark.executor.memory': '512m',
  'spark.executor.cores': '1',
  'spark.cores.max': '2',
  // Speculation as eager as can be.
  'spark.speculation': 'true',
  'spark.speculation.interval': '50ms',
  'spark.speculation.quantile': '0.1',
  'spark.speculation.multiplier': '1.01',
  'spark.speculation.minTaskRuntime': '50ms',
  'spark.speculation.task.duration.threshold': '5s',
};

/** Sessions of executors that stage rows at this moment. */
async function staging(database: TestDatabase): Promise<{ pid: number; port: number }[]> {
  return await database.query(
    "select pid, client_port as port from pg_stat_activity where application_name = 'ecompipe executor' and state = 'active' and query like 'copy %' and datname = current_database()",
  );
}

/** The process on the other end of a session. */
function executorAt(port: number): number | undefined {
  const inode = readFileSync('/proc/net/tcp', 'utf8')
    .concat(readFileSync('/proc/net/tcp6', 'utf8'))
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local]) => local?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, '0')}`) === true)?.[9];
  if (inode === undefined || inode === '0') return undefined;
  const found = execFileSync(
    'sh',
    ['-c', `ls -l /proc/[0-9]*/fd 2>/dev/null | awk '/^\\/proc/{p=$1} /socket:\\[${inode}\\]/{print p; exit}'`],
    { encoding: 'utf8' },
  );
  return Number(/\/proc\/(\d+)/.exec(found)?.[1]) || undefined;
}

test('a standalone cluster of a master and two workers', async (t) => {
  const pipeline = await createPipeline(t);
  const { master } = await startCluster(t, pipeline.home);
  const spark = startSpark(t, pipeline, {
    master,
    conf: CONF,
    args: ['--trigger-interval', '0.2', '--retry-for', '120'],
  });
  const ended = spark.end.then(({ stderr }) => Promise.reject(new Error(`the stream ended:\n${stderr.slice(-3000)}`)));
  ended.catch(() => undefined);
  await Promise.race([spark.said('stream_started'), ended]);
  let seed = 100;

  /** Puts new files into processing/, does something to the cluster while they are staged, and waits until all are loaded. */
  const load = async (events: number, meanwhile: (database: TestDatabase) => Promise<void>): Promise<void> => {
    await pipeline.generate({
      events,
      batchSize: Math.ceil(events / 8),
      seed: seed++,
      start: `2026-04-${String(seed - 100).padStart(2, '0')}T00:00:00Z`,
      dirt: 'dirty',
    });
    await pipeline.move();
    await Promise.race([meanwhile(pipeline.database), ended]);
    await Promise.race([
      until('processing/ is empty', () => readdirSync(pipeline.processing).length === 0, WITHIN_MS),
      ended,
    ]);
    await assertSound(pipeline);
  };

  await t.test('loads from two executors', async () => {
    const seen = new Set<number>();
    await load(60_000, (database) =>
      until(
        'two sessions stage rows',
        async () => {
          for (const { pid } of await staging(database)) seen.add(pid);
          return seen.size >= 2;
        },
        WITHIN_MS,
      ),
    );
  });

  await t.test('a task that fails twice is tried again, and none of its rows is doubled', async () => {
    let terminated = 0;
    await load(60_000, (database) =>
      until(
        'two sessions of executors are terminated',
        async () => {
          for (const { pid } of await staging(database)) {
            const [{ done } = { done: false }] = await database.query<{ done: boolean }>(
              'select pg_terminate_backend($1) as done',
              [pid],
            );
            if (done) terminated++;
            if (terminated >= 2) break;
          }
          return terminated >= 2;
        },
        WITHIN_MS,
      ),
    );
  });

  await t.test('an executor that is killed while it stages is replaced', async () => {
    let killed: number | undefined;
    await load(60_000, (database) =>
      until(
        'an executor is killed',
        async () => {
          for (const { port } of await staging(database)) {
            const pid = executorAt(port);
            if (pid === undefined) continue;
            process.kill(pid, 'SIGKILL');
            killed = pid;
            return true;
          }
          return false;
        },
        WITHIN_MS,
      ),
    );
    assert.notEqual(killed, undefined);
  });

  await t.test(
    'an executor that stands still is overtaken or given up, and writes nothing that counts when it wakes up',
    async () => {
      let frozen: number | undefined;
      await load(60_000, (database) =>
        until(
          'an executor is frozen',
          async () => {
            for (const { port } of await staging(database)) {
              frozen = executorAt(port);
              if (frozen === undefined) continue;
              process.kill(frozen, 'SIGSTOP');
              return true;
            }
            return false;
          },
          WITHIN_MS,
        ),
      );
      assert.notEqual(frozen, undefined);
      if (frozen !== undefined) wake(frozen);
      await load(2000, () => Promise.resolve());
    },
  );

  await t.test('a crash of PostgreSQL empties the stage, and the rows are staged again', async () => {
    await load(60_000, (database) =>
      until(
        'a session of an executor crashes the server',
        async () => {
          const [session] = await staging(database);
          if (session === undefined) return false;
          process.kill(session.pid, 'SIGKILL');
          return true;
        },
        WITHIN_MS,
      ),
    );
  });

  spark.child.kill('SIGTERM');
  const { exitCode, stderr } = await spark.end;
  assert.equal(exitCode, 0, stderr.slice(-3000));
});

async function assertSound(pipeline: Pipeline): Promise<void> {
  await until(
    'the database answers',
    () =>
      pipeline.database.query('select 1').then(
        () => true,
        () => false,
      ),
    WITHIN_MS,
  );
  await assertLedger(pipeline.database);
  const { ok, counts } = await pipeline.verify();
  assert.equal(ok, true, JSON.stringify(counts));
}

/** Speculation needs a free slot elsewhere; without one, Spark gives up an executor whose heartbeats are missing, and ends it. */
function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
  }
}
