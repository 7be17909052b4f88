import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../../src/platform/errors.js';
import { planRun, runIdOf, type GenerateSettings, type Plan } from '../../../src/pipeline/generate/settings.js';

const NOW = Date.UTC(2026, 10, 22, 13);
const plan = (settings: Partial<GenerateSettings>): Plan => planRun({ outputDir: 'out', ...settings }, NOW);

function problemsOf(settings: Partial<GenerateSettings>): readonly string[] {
  try {
    plan(settings);
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error.problems;
  }
  return [];
}

test('all problems are reported together', () => {
  const problems = problemsOf({
    rate: 0,
    batchSize: 1.5,
    seed: -1,
    start: 'yesterday',
    profile: 'shop',
    dirt: 'mud=1',
    products: 0,
  });
  assert.deepEqual(
    problems.map((problem) => problem.split(' ')[0]),
    ['batch-size', 'rate', 'seed', 'products', 'start', 'profile', 'dirt'],
  );
});

for (const start of [
  '2026-11-22T13:00:00',
  '2026-02-30',
  '22.11.2026',
  '2026-13-01T00:00:00Z',
  '1969-12-31',
  '20261122T130000Z',
  '',
]) {
  test(`a start of ${JSON.stringify(start)} is refused`, () => assert.equal(problemsOf({ start }).length, 1));
}

for (const [start, ms] of [
  ['2026-11-22', Date.UTC(2026, 10, 22)],
  ['2026-11-22T13:00Z', NOW],
  ['2026-11-22T14:00:00+01:00', NOW],
  ['2026-11-22 13:00:00.250Z', NOW + 250],
] as const) {
  test(`a start of ${start} is that moment`, () => assert.equal(plan({ start }).traffic.startMs, ms));
}

for (const dirt of [
  'mud=0.1',
  'burst',
  'burst=2',
  'burst=-1',
  'burst=0.1,burst=0.2',
  'clean=1',
  '',
  'burst=0.6,conflict=0.6',
  'nul=1e-3',
]) {
  test(`dirt ${JSON.stringify(dirt)} is refused`, () => assert.equal(problemsOf({ dirt }).length, 1));
}

test('an unknown kind of dirt is answered with the known ones', () => {
  assert.match(problemsOf({ dirt: 'mud=0.1' })[0]!, /redelivery, burst, conflict, late-1h.*truncated-gzip/);
});

test('rates of dirt are shares or percentages', () => {
  assert.deepEqual(plan({ dirt: 'burst=0.25, nul=5%' }).dirt, { burst: 0.25, nul: 0.05 });
  assert.deepEqual(plan({ dirt: 'clean' }).dirt, {});
  assert.equal(plan({ dirt: 'dirty' }).dirt.crlf, 0.45);
});

test('interval, batch size and rate make each other', () => {
  const pace = (settings: Partial<GenerateSettings>): unknown => {
    const { pace: made, batchSize } = plan(settings);
    return [made?.fileIntervalMs, made?.eventsPerSecond, batchSize];
  };
  assert.deepEqual(pace({}), [5000, 2, 10]);
  assert.deepEqual(pace({ intervalSeconds: 1 }), [1000, 10, 10]);
  assert.deepEqual(pace({ intervalSeconds: 0 }), [undefined, undefined, 10]);
  assert.deepEqual(pace({ rate: 100 }), [5000, 100, 500]);
  assert.deepEqual(pace({ rate: 100, batchSize: 50 }), [500, 100, 50]);
  assert.deepEqual(pace({ rate: 100, intervalSeconds: 2 }), [2000, 100, 200]);
  assert.deepEqual(pace({ rate: 100, intervalSeconds: 2, batchSize: 200 }), [2000, 100, 200]);
});

test('an interval, a batch size and a rate that contradict each other are refused', () => {
  assert.match(problemsOf({ rate: 100, intervalSeconds: 2, batchSize: 10 })[0]!, /leave one of the three out/);
});

test('a live run starts now, a bulk run four weeks ago', () => {
  assert.equal(plan({}).traffic.startMs, NOW - 5000);
  assert.equal(plan({ intervalSeconds: 0 }).traffic.startMs, Date.UTC(2026, 9, 25));
});

test('two runs have one name only if they make the same files', () => {
  const base = { seed: 1, start: '2026-01-01', intervalSeconds: 0, events: 100 };
  const name = (settings: Partial<GenerateSettings>): string => runIdOf(plan({ ...base, ...settings }));
  assert.equal(name({}), name({ outputDir: 'elsewhere' }));
  const different = [
    { seed: 2 },
    { start: '2026-01-02' },
    { batchSize: 11 },
    { events: 101 },
    { users: 5 },
    { products: 9 },
    { profile: 'rees46' },
    { dirt: 'nul=1' },
    { intervalSeconds: 1 },
  ];
  assert.equal(new Set([{}, ...different].map(name)).size, different.length + 1);
});
