import { Chart } from '/charts.js';
import { count, money, rate, span, timeAndDay, timeOfBucket, timeOfDay } from '/format.js';
import { byId, say, showPipeline, showShop, showTiles } from '/sections.js';

const charts = {
  rate: new Chart(byId('rate-chart'), {
    title: 'Events a second',
    series: [{ name: 'Loaded' }, { name: 'Duplicate' }, { name: 'Rejected' }],
    value: rate,
    time: timeOfDay,
    empty: 'Nothing was loaded in the last five minutes',
  }),
  latency: new Chart(byId('latency-chart'), {
    title: 'From written to visible',
    series: [{ name: 'p50' }, { name: 'p99' }],
    value: (seconds) => span(seconds * 1000),
    time: timeOfDay,
    empty: 'No file was loaded in the last five minutes',
  }),
  backlog: new Chart(byId('backlog-chart'), {
    title: 'Files waiting',
    series: [{ name: 'In incoming' }, { name: 'In processing' }],
    whole: true,
    value: count,
    time: timeOfDay,
    empty: 'Nothing waits',
  }),
  /** @type {Chart | undefined} */
  revenue: undefined,
};
let revenueKind = '';

/** @param {any} revenue */
function showRevenue(revenue) {
  const kind = `${revenue.bucket} ${revenue.currency}`;
  if (kind !== revenueKind || charts.revenue === undefined) {
    revenueKind = kind;
    const title = `Revenue ${revenue.bucket === 'hour' ? 'an' : 'a'} ${revenue.bucket}`;
    say('revenue-title', title);
    charts.revenue = new Chart(byId('revenue-chart'), {
      title,
      bars: true,
      series: [{ name: 'Purchases' }, { name: 'Refunds' }],
      value: (value) => money(value, revenue.currency),
      time: timeOfBucket(revenue.bucket),
      empty: 'Nothing was sold yet',
    });
  }
  const total = revenue.revenue.reduce((/** @type {number} */ sum, /** @type {number} */ value) => sum + value, 0);
  say(
    'revenue-note',
    revenue.times.length === 0
      ? ''
      : `${money(total, revenue.currency)} in the ${revenue.times.length} ${revenue.bucket}s up to ${timeAndDay(revenue.times.at(-1))}, by the time of the events`,
  );
  charts.revenue.show(revenue.times, revenue.revenue, revenue.refunds);
}

/** @param {any} snapshot */
function show(snapshot) {
  const { database, rates, latency, backlog, shop } = snapshot;
  say('where', database.label);
  showProblem(database.problem);
  showTiles(snapshot);
  if (rates !== null)
    charts.rate.show(rates.times, rates.values.inserted, rates.values.duplicate, rates.values.rejected);
  if (latency !== null) charts.latency.show(latency.times, latency.values.p50, latency.values.p99);
  charts.backlog.show(backlog.series.times, backlog.series.values.incoming, backlog.series.values.processing);
  if (shop !== null) {
    showShop(shop);
    showRevenue(shop.revenue);
  }
  showPipeline(snapshot);
}

/** @param {{ what: string, why: string | null, hint: string | null, sinceMs: number } | null} problem */
function showProblem(problem) {
  byId('problem').hidden = problem === null;
  if (problem === null) {
    setConnection('live', 'Live');
    return;
  }
  setConnection('away', 'Database away');
  say(
    'problem-what',
    `The database can not be asked since ${timeOfDay(problem.sinceMs / 1000)}. The figures below are from before; trying again every second.`,
  );
  say('problem-why', `${problem.what}${problem.why === null ? '' : `: ${problem.why}`}`);
  say('problem-hint', problem.hint === null ? '' : `Hint: ${problem.hint}`);
}

/** The one place that a screen reader is told of by itself; so it changes only when the state does. @param {string} state @param {string} text */
function setConnection(state, text) {
  byId('connection').dataset.state = state;
  say('connection-text', text);
}

const source = new EventSource('/api/events');
source.addEventListener('message', ({ data }) => show(JSON.parse(data)));
// The browser connects again by itself.
source.addEventListener('error', () => setConnection('lost', 'ecompipe does not answer, trying again'));
