import assert from 'node:assert/strict';
import { test } from 'node:test';
import { barText } from '../../src/commands/progress.js';
import { TimeWindow } from '../../src/platform/timeWindow.js';

const newSpeed = (): TimeWindow<'done' | 'rows'> => new TimeWindow(10_000);

test('the bar says how far it is, how long it takes and how fast it goes', () => {
  const speed = newSpeed();
  speed.add(0, { done: 0, rows: 0 });
  speed.add(2000, { done: 20_000_000, rows: 120_000 });
  const text = barText('loading', 'bytes', { done: 20_000_000, total: 100_000_000 }, speed, 120);
  assert.match(text, /^loading {2}█{5}░{19} +20 % {2}8 s left {2}60,000 rows\/s {2}20 MB of 100 MB$/);
});

test('the bar fits into any terminal, and leaves out what matters least', () => {
  const speed = { perSecond: () => 1e6 };
  for (const columns of [140, 80, 60, 40, 20])
    assert.ok(barText('generating', 'events', { done: 1e6, total: 1e9 }, speed, columns).length <= columns - 3);
  assert.match(barText('generating', 'events', { done: 1e6, total: 1e9 }, speed, 70), /left$/);
});

test('a speed is that of the last seconds, and nothing is left when all is done', () => {
  const speed = newSpeed();
  for (let second = 0; second <= 60; second++)
    speed.add(second * 1000, { done: second < 50 ? 0 : (second - 50) * 10, rows: 0 });
  assert.equal(speed.perSecond('done'), 10);
  assert.doesNotMatch(barText('loading', 'files', { done: 100, total: 100 }, speed, 120), /left/);
  assert.match(barText('loading', 'files', { done: 0, total: 0 }, newSpeed(), 120), / 0 % /);
});
