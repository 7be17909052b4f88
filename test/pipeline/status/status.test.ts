import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { ReadOnlyClient } from '../../../src/platform/db/readOnlyClient.js';
import { EcompipeError } from '../../../src/platform/errors.js';
import { describeStatus } from '../../../src/pipeline/status/describeStatus.js';
import { findViolations, type Limits } from '../../../src/pipeline/status/limits.js';
import { readStatus, type Status } from '../../../src/pipeline/status/runStatus.js';
import { onDatabase } from '../../helpers/migrated.js';
import { startProxy } from '../../helpers/proxy.js';
import { until } from '../../helpers/until.js';
import { createPipeline, type Pipeline } from '../verify/pipeline.js';

const NO_LIMITS: Limits = {
  maxPending: undefined,
  maxPendingMs: undefined,
  maxFreshnessMs: undefined,
  maxIdleMs: undefined,
  maxRejectShare: undefined,
  maxQuarantined: undefined,
};

function placesOf({ incoming, processing, home }: Pipeline) {
  return { incomingDir: incoming, processingDir: processing, checkpointDir: path.join(home, 'checkpoints') };
}

async function statusOf(pipeline: Pipeline): Promise<Status> {
  return await pipeline.target(async (database) => {
    const observer = new ReadOnlyClient(database);
    try {
      return await readStatus(placesOf(pipeline), database.label, observer);
    } finally {
      await observer.close();
    }
  });
}

test('an empty pipeline has a status: nothing waits, nothing was loaded, nobody loads', async (t) => {
  const status = await statusOf(await createPipeline(t));
  assert.deepEqual([status.incoming.files, status.processing.files, status.unavailable], [0, 0, undefined]);
  const { ledger } = status;
  assert.deepEqual(
    [ledger?.totals.inserted, ledger?.freshnessMs, ledger?.latency, ledger?.batches, ledger?.owners],
    [0, null, undefined, [], []],
  );
  assert.match(describeStatus(status, [], 80), /nothing was ever loaded[^]*all is well/);
});

test('the status says what waits and what the tables hold', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ dirt: 'wrong-type=5%,redelivered-file=0.5,unknown-column=0.2', events: 5000, batchSize: 500 });
  await pipeline.generate({ seed: 2, events: 1000, batchSize: 500 });
  const { incoming, processing, ledger } = await statusOf(pipeline);
  assert.deepEqual([incoming.files, processing.files], [2, 0]);
  assert.ok(incoming.bytes > 0 && incoming.oldestSinceMs! > Date.now() - 60_000);
  const [tables] = await pipeline.database.query<Record<string, number>>(`select
    (select count(*)::int from events) as inserted, (select count(*)::int from ecompipe.rejected_rows) as rejected, (select count(*)::int from ecompipe.duplicate_rows) as duplicate,
    (select count(*)::int from ecompipe.files where state = 'loaded') as "loadedFiles", 0 as "loadingFiles", (select count(*)::int from ecompipe.files where state = 'quarantined') as "quarantinedFiles",
    (select count(*)::int from ecompipe.redeliveries) as redeliveries`);
  assert.deepEqual({ ...ledger!.totals }, { ...tables });
  assert.ok(tables!['rejected']! > 0 && tables!['quarantinedFiles']! > 0 && tables!['redeliveries']! > 0);
  assert.ok(ledger!.freshnessMs! >= 0 && ledger!.freshnessMs! < 60_000);
  assert.equal(
    Math.round((ledger!.throughput.rowsPerSecond * ledger!.throughput.windowMs) / 1000),
    tables!['inserted'],
  );
  assert.ok(ledger!.latency!.files === tables!['loadedFiles'] && ledger!.latency!.p99Ms >= ledger!.latency!.p50Ms);
  assert.equal(ledger!.problems.recentRejected, tables!['rejected']);
  assert.match(ledger!.problems.lastReject!.message, /./);
  assert.match(ledger!.problems.lastQuarantine!.reason, /unknown column/);
  assert.equal(ledger!.batches.length, 5);
});

test('a running stream is named as the owner of its checkpoint directory', async (t) => {
  const pipeline = await createPipeline(t);
  const { checkpointDir } = placesOf(pipeline);
  mkdirSync(checkpointDir);
  const { createOwnerId, ownershipKey, LOCK_SPACE } = await import('../../../src/contract/streamOwner.js');
  await createOwnerId(checkpointDir);
  const [ours, other] = [await pipeline.database.connect(), await pipeline.database.connect()];
  await ours.query('select pg_advisory_lock($1, $2)', [LOCK_SPACE, await ownershipKey(checkpointDir)]);
  await other.query('select pg_advisory_lock($1, -5)', [LOCK_SPACE]);
  const { ledger } = await statusOf(pipeline);
  assert.deepEqual(
    ledger!.owners.map(({ isOurs, client }) => [isOurs, client]),
    [
      [true, '127.0.0.1'],
      [false, '127.0.0.1'],
    ],
  );
});

test('each limit that does not hold is named, and only those', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ dirt: 'wrong-type=10%,unknown-column=0.5', events: 1000, batchSize: 100 });
  writeFileSync(path.join(pipeline.processing, 'late.csv'), 'x');
  const status = await statusOf(pipeline);
  const violated = (limits: Partial<Limits>, nowMs = Date.now()): string[] =>
    findViolations(status, { ...NO_LIMITS, ...limits }, nowMs).map(({ limit }) => limit);
  const inAnHour = Date.now() + 3_600_000;
  assert.deepEqual(violated({}), []);
  assert.deepEqual(
    violated(
      { maxPending: 0, maxPendingMs: 60_000, maxFreshnessMs: 0, maxRejectShare: 0.01, maxQuarantined: 0 },
      inAnHour,
    ),
    ['maxPending', 'maxPendingMs', 'maxFreshnessMs', 'maxRejectShare', 'maxQuarantined'],
  );
  assert.deepEqual(
    violated(
      { maxPending: 1, maxPendingMs: 7_200_000, maxFreshnessMs: 600_000, maxRejectShare: 0.9, maxQuarantined: 100 },
      inAnHour,
    ),
    [],
  );
});

test('with the database away the directories are still told, with the reason; and the next look finds it back', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 10, batchSize: 10 });
  let isAway = true;
  const proxy = await startProxy(pipeline.database.port, () => (isAway ? 'cut-before' : 'pass'));
  t.after(() => proxy.close());
  await onDatabase(pipeline.database, { via: proxy }, async (database) => {
    const observer = new ReadOnlyClient(database);
    const away = await readStatus(placesOf(pipeline), database.label, observer);
    assert.deepEqual([away.incoming.files, away.ledger, away.unavailable?.exitCode], [1, undefined, 69]);
    assert.match(
      describeStatus(away, [], 80),
      /1 file, [^]*cannot read the ledger[^]*failed: the ledger cannot be read/,
    );
    isAway = false;
    assert.equal((await readStatus(placesOf(pipeline), database.label, observer)).unavailable, undefined);
    isAway = true;
    proxy.cutAll();
    await until(
      'the connection is seen as broken',
      async () => (await readStatus(placesOf(pipeline), database.label, observer)).unavailable !== undefined,
    );
    isAway = false;
    await until(
      'the database is back',
      async () => (await readStatus(placesOf(pipeline), database.label, observer)).ledger !== undefined,
    );
    await observer.close();
  });
});

test('no line is longer than the terminal is wide, and control characters in a file name cannot move its cursor', async (t) => {
  const pipeline = await createPipeline(t);
  writeFileSync(path.join(pipeline.processing, `${'long '.repeat(20)}\u001b[2J.csv`), 'no,header\n');
  await pipeline.stream();
  const text = describeStatus(await statusOf(pipeline), undefined, 60);
  assert.ok(
    text.split('\n').every((line) => line.length <= 60),
    text,
  );
  assert.match(text, /quarantine .*\\u001b\[2J\.csv/);
  assert.ok(!text.includes('\u001b'));
});

test('a reason that a database gives is one that stays: no schema is exit code 2, with what to do', async (t) => {
  const { startTestServer } = await import('../../helpers/postgres.js');
  const database = await (await startTestServer()).createDatabase();
  t.after(() => database.drop());
  await onDatabase(database, {}, async (target) => {
    const observer = new ReadOnlyClient(target);
    const { unavailable } = await readStatus(
      { incomingDir: '/nonexistent', processingDir: '/nonexistent', checkpointDir: '/nonexistent' },
      target.label,
      observer,
    );
    assert.ok(unavailable instanceof EcompipeError);
    assert.deepEqual([unavailable.exitCode, unavailable.facts.hint], [2, 'run `ecompipe migrate` first']);
    await observer.close();
  });
});
