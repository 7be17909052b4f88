import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { FileDisposer } from '../../../src/pipeline/stream/fileDisposer.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import { silentLogger } from '../../../src/platform/log.js';
import { eventFile } from '../../helpers/events.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';
import { openShop } from './harness.js';

test('a stream that keeps loaded files where they are forgets the names of those that are taken away', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { afterLoad: 'keep', pollIntervalMs: 20 });
  const forget = t.mock.method(FileDisposer.prototype, 'forgetAllBut');
  const remembers = (name: string): boolean | undefined =>
    (forget.mock.calls.at(-1)?.this as FileDisposer | undefined)?.isRemembered(name);
  const stop = new AbortController();
  const loaded: string[] = [];
  const emit = (event: StreamEvent): void => {
    if (event.type === 'fileLoaded') loaded.push(event.file);
  };
  const streaming = onDatabase(database, { stop: stop.signal }, (target) =>
    runStream(shop.settings, target, {
      stop: stop.signal,
      drain: new AbortController().signal,
      log: silentLogger,
      emit,
    }),
  );
  const taken = shop.put('taken.csv', eventFile(0, 2));
  shop.put('stays.csv', eventFile(2, 4));
  await until('both are loaded', () => loaded.length === 2 && remembers('taken.csv') === true);
  rmSync(taken);
  await until('the name is forgotten', () => remembers('taken.csv') === false);
  assert.equal(remembers('stays.csv'), true);
  stop.abort();
  const { filesLoaded, filesRedelivered } = await streaming;
  assert.deepEqual([filesLoaded, filesRedelivered], [2, 0]);
});
