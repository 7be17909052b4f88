import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { test } from 'node:test';
import { silentLogger } from '../../../src/platform/log.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { eventId, eventRows, HEADER } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';
import { namesIn } from '../../helpers/dayFolders.js';
import { openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

for (const batchBytes of [8 * 2 ** 20, 4096]) {
  test(
    `a file of ${batchBytes === 4096 ? 'many ranges' : 'one batch'} that a producer still writes to in processing/ is loaded when it is finished, not at each of its states`,
    { timeout: 120_000 },
    async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t, { batchBytes, pollIntervalMs: 20 });
      const file = shop.put('growing.csv', `${HEADER}\n${eventRows(0, 50)}`);
      let rows = 50;
      const grow = setInterval(() => {
        appendFileSync(file, eventRows(rows, rows + 1));
        rows++;
      }, 1);
      t.after(() => clearInterval(grow));
      const stop = new AbortController();
      const events: StreamEvent[] = [];
      const stream = onDatabase(database, { stop: stop.signal }, (target) =>
        runStream(shop.settings, target, {
          stop: stop.signal,
          drain: new AbortController().signal,
          log: silentLogger,
          emit: (event) => events.push(event),
        }),
      );
      const count = (type: StreamEvent['type']): number => events.filter((event) => event.type === type).length;
      await until('it failed for its changes twice', () => count('fileFailed') >= 2);
      assert(count('fileLoaded') <= 2, `loaded ${count('fileLoaded')} times while it was written to`);
      clearInterval(grow);
      const before = count('fileLoaded');
      await until('it is loaded', () => count('fileLoaded') > before);
      await until('it is archived', () => namesIn(shop.settings.archiveDir).length === 1);
      stop.abort();
      await stream;
      assert.deepEqual(
        await eventIds(database),
        Array.from({ length: rows }, (_, n) => eventId(n)),
      );
      await assertLedger(database);
    },
  );
}

test(
  'an unreadable file that a producer still writes to is reported now and then, and in quarantine once it is there',
  { timeout: 120_000 },
  async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { pollIntervalMs: 20 });
    const file = shop.put('growing.csv', 'nonsense\n');
    const grow = setInterval(() => appendFileSync(file, 'more\n'.repeat(20)), 1);
    t.after(() => clearInterval(grow));
    const stop = new AbortController();
    const events: StreamEvent[] = [];
    const stream = onDatabase(database, { stop: stop.signal }, (target) =>
      runStream(shop.settings, target, {
        stop: stop.signal,
        drain: new AbortController().signal,
        log: silentLogger,
        emit: (event) => events.push(event),
      }),
    );
    const count = (type: StreamEvent['type']): number => events.filter((event) => event.type === type).length;
    await until('it failed for its changes', () => count('fileFailed') >= 2);
    clearInterval(grow);
    await until('it is in quarantine', () => namesIn(shop.settings.quarantineDir).length === 2);
    stop.abort();
    const result = await stream;
    assert.equal(count('fileQuarantined'), 1);
    assert.equal(result.filesQuarantined, 1);
    const [{ files } = { files: -1 }] = await database.query('select count(*)::int4 as files from ecompipe.files');
    assert(Number(files) <= 5, `${String(files)} entries in the ledger`);
  },
);
