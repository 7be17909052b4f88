import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createRandom } from '../../../scripts/torture/random.js';
import { eventFile, eventId, eventRow, HEADER } from '../../helpers/events.js';
import { spawnEcompipe, type Running } from '../../helpers/executable.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';
import { openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';
import { namesIn } from '../../helpers/dayFolders.js';

const STREAMS = 4;
const KILLS = 8;
const LARGE = 3;
const ROWS = 600;
const SMALL = 120;

for (const seed of [1, 2]) {
  test(
    `four streams on one directory, killed and started at random (${seed}), load each row once`,
    { timeout: 120_000 },
    async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t);
      const random = createRandom(seed);
      const expected: string[] = [];
      for (let file = 0; file < LARGE; file++) {
        shop.put(`large-${file}.csv`, eventFile(0, ROWS, {}, file));
        for (let n = 0; n < ROWS; n++) expected.push(eventId(n, file));
      }
      for (let file = 0; file < SMALL; file++) {
        shop.put(`small-${file}.csv`, [HEADER, eventRow(file, {}, LARGE), ''].join('\n'));
        expected.push(eventId(file, LARGE));
      }
      const { inputDir, archiveDir, quarantineDir } = shop.settings;
      let starts = 0;
      const start = (): Running => {
        // Each with a checkpoint directory of its own: a killed owner's lock goes when the server has noticed, not before.
        const env = {
          ...database.env,
          PROCESSING_PATH: inputDir,
          ARCHIVE_PATH: archiveDir,
          QUARANTINE_PATH: quarantineDir,
          CHECKPOINT_PATH: path.join(shop.home, `checkpoints-${starts++}`),
        };
        return spawnEcompipe(
          t,
          [
            'stream',
            '--batch-bytes',
            String(random.between(1024, 4096)),
            '--connections',
            String(random.between(1, 3)),
          ],
          env,
          shop.home,
        );
      };
      const streams = Array.from({ length: STREAMS }, start);
      const batches = async (): Promise<number> => (await database.query('select from ecompipe.batches')).length;
      const isDone = (): boolean => readdirSync(inputDir).length === 0;
      for (let kill = 0; kill < KILLS && !isDone(); kill++) {
        const goal = (await batches()) + random.between(1, 8);
        await until('some more is loaded', async () => isDone() || (await batches()) >= goal);
        const victim = random.between(0, STREAMS - 1);
        streams[victim]!.child.kill('SIGKILL');
        await streams[victim]!.end;
        streams[victim] = start();
      }
      await until('all files are disposed of', isDone, 60_000);
      // One that was started a moment ago must be able to hear.
      await Promise.all(streams.map((stream) => stream.said('loading')));
      for (const { child } of streams) child.kill('SIGTERM');
      const ends = await Promise.all(streams.map(({ end }) => end));
      assert.deepEqual(
        ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
        [0, 0, 0, 0],
      );
      assert.deepEqual(await eventIds(database), expected.sort());
      assert.equal(namesIn(archiveDir).length, LARGE + SMALL);
      await assertLedger(database);
    },
  );
}
