import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import type { STREAM_FAILPOINTS } from '../../../src/platform/failpoint.js';
import { eventId, eventRow, HEADER } from '../../helpers/events.js';
import { spawnEcompipe, type Running } from '../../helpers/executable.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventsIn, rejectsOf } from './tables.js';
import { namesIn } from '../../helpers/dayFolders.js';

const BAD = new Set([3, 21, 40]);
const large = [
  HEADER,
  ...Array.from({ length: 48 }, (_, n) => eventRow(n, BAD.has(n) ? { quantity: '0' } : {})),
  '',
].join('\n');
const small = (n: number): string => [HEADER, eventRow(100 + n), ''].join('\n');
const SMALL_FILES = 3;

/** What the killed process was started with: seven ranges, three small files in one transaction. */
const FIRST = ['--batch-bytes', '1024', '--connections', '1'];
const RESUMPTIONS = [
  { batchBytes: 1024, connections: 1 },
  { batchBytes: 2500, connections: 3 },
  { batchBytes: 1 << 20, connections: 2 },
  { batchBytes: 1500, connections: 1, atomicFile: true },
] as const;

/** What became of the checkpoint before the next start. `older` is what it was before the load that was killed. */
const CHECKPOINTS: Readonly<Record<string, (file: string, older: string, foreign: string) => void>> = {
  kept: () => undefined,
  deleted: (file) => rmSync(file, { force: true }),
  'rolled back': (file, older) => writeFileSync(file, older),
  damaged: (file) => writeFileSync(file, '{"version":'),
  'from another database': (file, _older, foreign) => writeFileSync(file, foreign),
};

/** First, middle and last pass of each moment in the load above. */
const PASSES: Readonly<Record<keyof typeof STREAM_FAILPOINTS | 'move-linked', readonly [number, number, number]>> = {
  'file-opened': [1, 2, 5],
  'file-hashed': [1, 2, 4],
  'batch-begun': [1, 5, 11],
  copying: [1, 5, 11],
  copied: [1, 4, 8],
  'ledger-written': [1, 4, 8],
  'commit-sent': [1, 4, 8],
  committed: [1, 4, 8],
  'checkpoint-written': [1, 2, 2],
  'checkpoint-renamed': [1, 2, 2],
  'before-archive': [1, 2, 4],
  'move-linked': [1, 2, 4],
  'after-archive': [1, 2, 4],
};

interface Case {
  readonly moment: string;
  readonly position: number;
  readonly pass: number;
  readonly checkpoint: string;
  readonly resumption: (typeof RESUMPTIONS)[number];
}

/**
 * Moment × position × checkpoint × resumption would be 780 cases. These are 65 in which each value of each factor comes
 * together with each value of each other one: most faults need two things to meet, few need three.
 */
const CASES: readonly Case[] = Object.entries(PASSES).flatMap(([moment, passes], m) =>
  Object.keys(CHECKPOINTS).map((checkpoint, c) => {
    const position = (m + c) % passes.length;
    return {
      moment,
      position,
      pass: passes[position] ?? 1,
      checkpoint,
      resumption: RESUMPTIONS[(m + c) % RESUMPTIONS.length] ?? RESUMPTIONS[0],
    };
  }),
);

test('in the cases below any two things come together', () => {
  const values = {
    moment: Object.keys(PASSES),
    position: [0, 1, 2],
    checkpoint: Object.keys(CHECKPOINTS),
    resumption: RESUMPTIONS,
  } as const;
  const factors = Object.keys(values) as (keyof typeof values)[];
  for (const [index, first] of factors.entries()) {
    for (const second of factors.slice(index + 1)) {
      const met = new Set(CASES.map((each) => JSON.stringify([each[first], each[second]])));
      assert.equal(met.size, values[first].length * values[second].length, `${first} × ${second}`);
    }
  }
});

/** A checkpoint of a database that is none of ours. */
const foreignCheckpoint = JSON.stringify({
  version: 1,
  database: { systemIdentifier: '7000000000000000001', oid: 5 },
  lastBatchId: null,
  files: {},
});

describe('killed with SIGKILL', { concurrency: 2 }, () => {
  for (const { moment, pass, checkpoint, resumption } of CASES) {
    test(`at ${moment} the ${pass}. time, checkpoint ${checkpoint}, then started with ${JSON.stringify(resumption)}: nothing is lost, nothing doubled`, async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t);
      const checkpointFile = path.join(shop.settings.checkpointDir, 'stream.json');
      shop.put('before.csv', small(99));
      await load(shop, database);
      const older = readFileSync(checkpointFile, 'utf8');
      shop.put('large.csv', large);
      for (let n = 0; n < SMALL_FILES; n++) shop.put(`small-${n}.csv`, small(n));
      const env = {
        ...database.env,
        PROCESSING_PATH: shop.settings.inputDir,
        ARCHIVE_PATH: shop.settings.archiveDir,
        QUARANTINE_PATH: shop.settings.quarantineDir,
        CHECKPOINT_PATH: shop.settings.checkpointDir,
      };
      const killed = await spawnEcompipe(
        t,
        ['stream', '--once', ...FIRST],
        { ...env, ECOMPIPE_FAILPOINT: `${moment}:${pass}=kill` },
        shop.home,
      ).end;
      assert.equal(killed.signal, 'SIGKILL', killed.stderr);
      await assertLedger(database);
      CHECKPOINTS[checkpoint]!(checkpointFile, older, foreignCheckpoint);
      if (checkpoint === 'from another database') {
        const rowsBefore = (await eventsIn(database)).length;
        await assert.rejects(load(shop, database, resumption), {
          exitCode: 6,
          message: /is from another database: .*\n +nothing was loaded\n +hint: .*--reload-from-archive/,
        });
        assert.equal((await eventsIn(database)).length, rowsBefore, 'it loads nothing until a person has looked');
        rmSync(checkpointFile);
      }
      await load(shop, database, resumption);
      assert.deepEqual(
        (await eventsIn(database)).map(({ event_id: id, user_id: user }) => [id, user]),
        [...Array(48).keys(), 100, 101, 102, 199].filter((n) => !BAD.has(n)).map((n) => [eventId(n), `u${n}`]),
      );
      assert.deepEqual(
        (await rejectsOf(database, large)).map(({ line }) => line),
        [...BAD].map((n) => n + 2),
      );
      assert.deepEqual(readdirSync(shop.settings.inputDir), []);
      assert.deepEqual(namesIn(shop.settings.archiveDir).length, 2 + SMALL_FILES);
      await assertLedger(database);
    });
  }
});

/** A stream that stands still at a fail-point until it gets SIGCONT. */
async function startZombie(t: TestContext, database: TestDatabase, shop: Shop, moment: string): Promise<Running> {
  const env = {
    ...database.env,
    PROCESSING_PATH: shop.settings.inputDir,
    ARCHIVE_PATH: shop.settings.archiveDir,
    QUARANTINE_PATH: shop.settings.quarantineDir,
    CHECKPOINT_PATH: path.join(shop.home, 'zombie'),
  };
  const zombie = spawnEcompipe(
    t,
    ['stream', '--once', ...FIRST],
    { ...env, ECOMPIPE_FAILPOINT: `${moment}=stop` },
    shop.home,
  );
  const isStopped = async (): Promise<boolean> => {
    const [row] = await database.query<{ idle: number }>(
      "select count(*)::int4 as idle from pg_stat_activity where datname = current_database() and application_name = 'ecompipe' and state = 'idle in transaction'",
    );
    return row?.idle === 1 && readFileSync(`/proc/${zombie.child.pid}/stat`, 'utf8').includes(') T ');
  };
  await until('the stream stands still in a transaction', isStopped);
  return zombie;
}

for (const batchBytes of [1024, 2500, 1 << 20]) {
  test(`a stream that is stopped before COMMIT and wakes up when another has loaded its file with batches of ${batchBytes} bytes changes nothing`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    shop.put('large.csv', large);
    const zombie = await startZombie(t, database, shop, 'batch-begun:4');
    await load(shop, database);
    zombie.child.kill('SIGCONT');
    const { exitCode, stderr } = await zombie.end;
    assert.equal(exitCode, 0, stderr);
    assert.equal((await eventsIn(database)).length, 48 - BAD.size);
    assert.equal((await rejectsOf(database, large)).length, BAD.size);
    assert.deepEqual(namesIn(shop.settings.archiveDir), ['large.csv']);
    await assertLedger(database);
  });
}

test('a stream that is stopped with its rows and ledger written holds up nobody but who wants the same file', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  shop.put('large.csv', large);
  const zombie = await startZombie(t, database, shop, 'ledger-written:3');
  for (let n = 0; n < SMALL_FILES; n++) shop.put(`small-${n}.csv`, small(n));
  const rival = load(shop, database);
  const others = async (): Promise<number> =>
    (await database.query("select from public.events where user_id like 'u10_'")).length;
  await until('the other files are loaded', async () => (await others()) === SMALL_FILES);
  zombie.child.kill('SIGCONT');
  const { exitCode, stderr } = await zombie.end;
  assert.equal(exitCode, 0, stderr);
  await rival;
  assert.equal((await eventsIn(database)).length, 48 - BAD.size + SMALL_FILES);
  assert.equal((await rejectsOf(database, large)).length, BAD.size);
  assert.deepEqual(readdirSync(shop.settings.inputDir), []);
  await assertLedger(database);
});
