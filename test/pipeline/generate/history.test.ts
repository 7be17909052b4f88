import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileLine } from '../../../src/contract/manifest/format.js';
import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import type { GenerateEvent } from '../../../src/pipeline/generate/generateEvents.js';
import { planRun } from '../../../src/pipeline/generate/settings.js';
import { contextOf, FIXED, generated, rowsOf, temporaryDirectory, type Output } from './run.js';

const DAY_MS = 86_400_000;
const START_MS = Date.parse(FIXED.start);
/** A week of a small shop, and two seconds of its live traffic. */
const WARM = { historyMs: 7 * DAY_MS, users: 1000, intervalSeconds: 0.02, batchSize: 10, batches: 20 } as const;

interface Row {
  readonly id: string;
  readonly timeMs: number;
  readonly user: string;
  readonly product: string;
}

function rows(output: Pick<Output, 'contents'>): Row[] {
  const [header = ''] = output.contents[0]!.split('\n');
  const at = (name: string): number => header.split(',').indexOf(name);
  const [id, time, user, product] = [at('event_id'), at('event_time'), at('user_id'), at('product_id')];
  // None of these is ever quoted, and each comes before the columns that may be.
  return rowsOf(output)
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','))
    .map((cells) => ({
      id: cells[id]!,
      timeMs: Date.parse(cells[time]!),
      user: cells[user]!,
      product: cells[product]!,
    }));
}

test('a history leads up to the start on the daily rhythm, and live events follow on their schedule', async (t) => {
  const output = await generated(t, WARM);
  const all = rows(output);
  const history = all.filter(({ timeMs }) => timeMs < START_MS);
  const live = all.slice(history.length);
  assert.equal(live.length, 200, 'batches count the live files alone');
  live.forEach(({ timeMs }, index) => assert.ok(timeMs >= START_MS && timeMs <= START_MS + index * 2, `${index}`));
  for (let index = 1; index < all.length; index++) assert.ok(all[index]!.timeMs >= all[index - 1]!.timeMs);
  assert.equal(new Set(all.map(({ id }) => id)).size, all.length);

  const byDay = Array.from({ length: 7 }, () => 0);
  const byHour = Array.from({ length: 24 }, () => 0);
  for (const { timeMs } of history) {
    byDay[Math.floor((timeMs - START_MS + WARM.historyMs) / DAY_MS)]! += 1;
    byHour[new Date(timeMs).getUTCHours()]! += 1;
  }
  assert.ok(Math.min(...byDay) > 400, String(byDay));
  assert.ok(byHour[20]! > 3 * byHour[3]!, String(byHour));
  const before = new Set(history.map(({ user }) => user));
  assert.ok(
    live.some(({ user }) => before.has(user)),
    'people of the history come back',
  );
});

test('the files of the history end where the live ones begin, and the manifest says when it began', async (t) => {
  const { manifest } = await generated(t, WARM);
  const [run] = manifest;
  assert.equal(run?.line === 'run' && run.historyStart, new Date(START_MS - WARM.historyMs).toISOString());
  const files = manifest.filter((line): line is FileLine => line.line === 'file');
  assert.equal(files.length, 21);
  assert.ok(Date.parse(files[0]!.lastEventTime!) < START_MS);
  assert.ok(Date.parse(files[1]!.firstEventTime!) >= START_MS);
});

test('the same seed, start and length make the same history; without one the run has other events', async (t) => {
  const [one, two, none] = [
    await generated(t, WARM),
    await generated(t, WARM),
    await generated(t, { ...WARM, historyMs: undefined }),
  ];
  assert.deepEqual([two.names, two.contents], [one.names, one.contents]);
  const ids = new Set(rows(one).map(({ id }) => id));
  assert.ok(rows(none).every(({ id }) => !ids.has(id)));
});

test('dirt spoils the history too', async (t) => {
  const { manifest } = await generated(t, { ...WARM, dirt: 'wrong-type=5%' });
  const history = manifest.find((line): line is FileLine => line.line === 'file');
  assert.ok(Object.values(history!.rejects).reduce((sum, count) => sum + count, 0) > 50);
});

test('a stop in the middle of the history ends the run in good order', async (t) => {
  const stop = new AbortController();
  const events: GenerateEvent[] = [];
  const result = await runGenerate(
    { ...FIXED, ...WARM, users: 1_000_000, outputDir: temporaryDirectory(t) },
    contextOf({
      stop: stop.signal,
      emit: (event) => {
        if (events.push(event) && event.type === 'filePublished') stop.abort();
      },
    }),
  );
  assert.equal(result.files, 1);
  assert.deepEqual(
    events.map((event) => (event.type === 'historyGenerated' ? event.wasCutShort : undefined)).filter(Boolean),
    [true],
  );
});

test('a history needs a pace that follows it', () => {
  assert.throws(
    () => planRun({ ...FIXED, outputDir: 'x', historyMs: DAY_MS }, START_MS),
    /history: with interval 0 all events are of the past already/,
  );
});
