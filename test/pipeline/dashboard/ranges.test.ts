import assert from 'node:assert/strict';
import test from 'node:test';
import { History } from '../../../src/pipeline/dashboard/history.js';
import { bucketSeconds, bucketStarts, windowOf } from '../../../src/pipeline/dashboard/ranges.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test('a window ends now while events are new, and with the newest one when they are old', () => {
  const live = windowOf('1h', { firstMs: NOW - 9 * HOUR, newestMs: NOW - 14 * MINUTE }, NOW);
  assert.deepEqual([live.isLive, live.startMs, live.endMs], [true, NOW - HOUR, NOW]);
  const newestMs = NOW - 20 * MINUTE;
  const old = windowOf('1h', { firstMs: NOW - 9 * HOUR, newestMs }, NOW);
  assert.deepEqual([old.isLive, old.endMs], [false, newestMs + 1]);
});

test('there is a period before only when the events cover all of it, and none before all time', () => {
  const previous = (firstMs: number, range: '1h' | 'all'): number | null =>
    windowOf(range, { firstMs, newestMs: NOW }, NOW).previousStartMs;
  assert.equal(previous(NOW - 2 * HOUR, '1h'), NOW - 2 * HOUR);
  assert.equal(previous(NOW - 2 * HOUR + 1, '1h'), null);
  assert.equal(previous(NOW - 9 * HOUR, 'all'), null);
});

test('bars are as narrow as the data allows: a young shop has minutes over any range', () => {
  const widthOf = (firstMs: number): number => windowOf('28d', { firstMs, newestMs: NOW }, NOW).bucketSeconds;
  assert.deepEqual([NOW - 5 * MINUTE, NOW - 24 * HOUR, NOW - 90 * 24 * HOUR].map(widthOf), [60, 1800, 86_400]);
  assert.equal(bucketSeconds(10 * 365 * 86_400, 60, 60), 9 * 604_800);
  assert.deepEqual(bucketStarts(61, 200, 60), [60, 120, 180]);
});

test('what nobody looked at is a gap, and old figures are kept by the minute with the most of each', () => {
  const history = new History<'files'>(['files']);
  history.add(NOW, { files: 1 });
  history.add(NOW + 1000, { files: 7 });
  history.add(NOW + 20 * MINUTE, { files: 2 });
  const { times, values } = history.series('1h', NOW + 20 * MINUTE);
  assert.deepEqual(values.files, [7, null, 2]);
  assert.deepEqual([times[0], times[2]], [NOW / 1000, NOW / 1000 + 1200]);
});
