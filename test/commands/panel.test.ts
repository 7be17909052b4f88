import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chalk } from 'chalk';
import { panelText, sparkline, type PanelFigures } from '../../src/commands/panelText.js';
import { createRejectReport, demoteRejects } from '../../src/commands/rejectReport.js';
import { createLogger, silentLogger } from '../../src/platform/log.js';
import { createPipelineState, recordPipeline, type PipelineState } from '../../src/pipeline/pipelineState.js';

const PLAIN = new Chalk({ level: 0 });
const START = '2026-11-01T00:00:00.000Z';
const rows = { read: 400, inserted: 370, duplicate: 20, rejected: 10 };

/** A state to which events did what they do in a run. */
function stateOf({ history }: { readonly history: 'none' | 'half' | 'loaded' }): PipelineState {
  const state = createPipelineState(0);
  const record = recordPipeline(state, silentLogger);
  record({
    stage: 'generate',
    event: {
      type: 'runStarted',
      runId: 'r',
      seed: 149_335_548_551_007,
      start: START,
      historyStart: history === 'none' ? null : '2026-10-04T00:00:00.000Z',
      profile: 'default',
      manifest: 'm',
    },
  });
  const published = {
    type: 'filePublished',
    path: '',
    bytes: 1,
    isHistory: history !== 'none',
    firstEventTime: null,
  } as const;
  const lastEventTime = history === 'half' ? '2026-10-18T00:00:00.000Z' : START;
  record({ stage: 'generate', event: { ...published, file: 'a.csv', rows: 400, lastEventTime } });
  if (history === 'loaded')
    record({ stage: 'generate', event: { type: 'historyGenerated', files: 1, rows: 400, wasCutShort: false } });
  const batch = {
    batchId: 3,
    loadPath: 'direct',
    files: 1,
    bytes: 1,
    rows,
    rowsByFile: [{ file: 'a.csv', rows }],
  } as const;
  record({ stage: 'stream', event: { type: 'batchCommitted', ...batch, durationMs: 12 } });
  record({ stage: 'stream', event: { type: 'fileLoaded', file: 'a.csv', bytes: 1, writtenAtMs: 0 } });
  record({ stage: 'stream', event: { type: 'fileRedelivered', file: 'b.csv', firstName: 'a.csv' } });
  return state;
}

const FUNNEL = [
  ['session', 43_821, 1],
  ['view_item', 20_000, 0.456],
  ['add_to_cart', 3600, 0.082],
  ['begin_checkout', 2100, 0.048],
  ['purchase', 1050, 0.024],
] as const;

type Shop = NonNullable<NonNullable<PanelFigures['snapshot']>['shop']>;

const SHOP: Shop = {
  window: { startMs: 0, endMs: 100_000, previousStartMs: null, isLive: true, bucketSeconds: 60 },
  sales: {
    currency: 'EUR',
    now: { revenue: 8273.41, refunds: 0, orders: 195 },
    before: null,
    series: { times: [], revenue: [], refunds: [], orders: [] },
    parts: null,
    products: [],
    searches: [],
    source: 'events',
  },
  visits: {
    now: { visitors: 1, ended: 1, bought: 1 },
    before: null,
    activeNow: 1,
    open: 0,
    funnel: FUNNEL.map(([name, sessions, totalConversion]) => ({
      name,
      sessions,
      stepConversion: null,
      totalConversion,
    })),
  },
  types: [],
  sessionIdleSeconds: 300,
};
const NOW = { atMs: 100_000, range: '24h', events: 400, behind: { batches: 0, rows: 0, ms: 0 } } as const;

function figuresOf(overrides: Partial<PanelFigures> = {}): PanelFigures {
  return {
    nowMs: 63_400,
    rate: { generated: 25, loaded: 24.6 },
    loadedBySecond: [0, 25, 50],
    waiting: { incoming: 1, processing: 2 },
    snapshot: { ...NOW, shop: SHOP, database: { label: 'db', problem: null } },
    ...overrides,
  };
}

test('the panel says speed, revenue, funnel, backlog, rejects and state of the database in a line each', () => {
  const state = stateOf({ history: 'none' });
  state.dashboardUrl = 'http://127.0.0.1:8787/';
  assert.deepEqual(panelText(state, figuresOf(), 100, PLAIN).split('\n'), [
    'run-all    1 min 3 s   Ctrl-C drains and ends   seed 149335548551007',
    '  ',
    '  dashboard  http://127.0.0.1:8787/',
    '  events/s   ▁▅█   25 loaded   25 generated',
    '  generated  400 rows   1 file',
    '  loaded     370 rows   1 file',
    '  revenue    8,273.41 EUR   195 orders in 24 h',
    '  funnel     43,821 visits → view 46 % → cart 8.2 % → checkout 4.8 % → order 2.4 %',
    '  waiting    1 in incoming   2 in processing',
    '  rejected   10 rows   20 duplicates   0 in quarantine   1 loaded before',
    '  database   answers   last batch 400 rows in 12 ms',
  ]);
});

test('every line fits into 20, 60, 80 and 120 columns, and from 60 on nothing is cut', () => {
  const state = stateOf({ history: 'half' });
  state.dashboardUrl = 'http://127.0.0.1:8787/';
  const wide = panelText(state, figuresOf(), 400, PLAIN);
  const words = new Set(wide.split(/\s+/));
  for (const columns of [20, 60, 80, 120]) {
    const text = panelText(state, figuresOf({ loadedBySecond: Array<number>(60).fill(3) }), columns, PLAIN);
    for (const line of text.split('\n')) assert.ok(line.length < Math.max(columns, 24), `${columns}: ${line}`);
    if (columns < 60) continue;
    assert.doesNotMatch(text, /…/);
    for (const word of text.split(/\s+/)) assert.ok(words.has(word) || /^█+$/.test(word), `${columns}: ${word}`);
    assert.match(text, /order 2\.4 %/);
  }
});

test('while the history is loaded, a bar says how far it is', () => {
  assert.match(
    panelText(stateOf({ history: 'half' }), figuresOf(), 80, PLAIN),
    /\n {2}history {4}█{12}░{12} 50 % {3}25 rows\/s\n/,
  );
  assert.doesNotMatch(panelText(stateOf({ history: 'loaded' }), figuresOf(), 80, PLAIN), /history/);
});

test('a signal is answered: it drains, then proves', () => {
  const state = stateOf({ history: 'none' });
  state.phase = 'draining';
  assert.match(panelText(state, figuresOf(), 60, PLAIN), /^run-all.* draining; Ctrl-C stops at once\n/);
  state.phase = 'proving';
  assert.match(panelText(state, figuresOf(), 60, PLAIN), /^run-all.* drained; proving it\n/);
});

test('a database that is away is told after a moment, with the reason', () => {
  const away = (sinceMs: number): PanelFigures['snapshot'] => ({
    ...NOW,
    shop: null,
    database: {
      label: 'db',
      problem: { kind: 'away', what: 'cannot read', why: 'connect ECONNREFUSED', hint: null, sinceMs },
    },
  });
  const line = (snapshot: PanelFigures['snapshot']): string =>
    /database {3}(.*)/.exec(panelText(stateOf({ history: 'none' }), figuresOf({ snapshot }), 80, PLAIN))![1]!;
  assert.equal(line(away(88_000)), 'away for 12 s: connect ECONNREFUSED');
  assert.match(line(away(99_500)), /^answers/);
});

test('the sparkline is empty without values and flat without events', () => {
  assert.deepEqual([sparkline([]), sparkline([0, 0]), sparkline([1, 8])], ['', '▁▁', '▂█']);
});

test('rejects are reported as a sum now and then, and one by one at debug level only', () => {
  const lines: string[] = [];
  const log = createLogger({ level: 'warn', format: 'text', color: false }, (line) => lines.push(line.slice(9)));
  const { figures } = stateOf({ history: 'none' }).stages.stream;
  const report = createRejectReport(figures, log);
  report();
  report();
  figures.rows = { ...figures.rows, rejected: 11 };
  figures.filesQuarantined = 2;
  report();
  const quiet = demoteRejects(log);
  quiet.warn('rows_rejected', 'one by one');
  quiet.warn('file_failed', 'a failure');
  assert.deepEqual(lines, [
    'warn  10 rows rejected in the last minute: `ecompipe rejects list` says why\n',
    'warn  1 row rejected and 2 files quarantined in the last minute: `ecompipe rejects list` says why\n',
    'warn  a failure\n',
  ]);
});
