import { Chart } from '/charts.js';
import { count, countOf, finePercent, money, percent, shortMoney, span, timeAndDay, timeOfDay } from '/format.js';
import { countryName, plainWord, stepName, typeName } from '/names.js';
import { PERIODS } from '/range.js';
import { byId, makeScrollable, say, sayIfAny, showCard, showIf } from '/tables.js';

/** The rollups are refreshed every two seconds; what is a moment old is as good as now. */
const BEHIND_MS = 10_000;

/** @type {Chart | undefined} */
let chart;
/** @type {string | null} */
let chartCurrency = null;

/** The money first. @param {any} snapshot */
export function showShop({ shop, behind, latestEvents, range }) {
  showEvents(latestEvents);
  if (shop === null) {
    const rows = behind?.rows ?? 0;
    sayIfAny('shop-age', rows === 0 ? '' : `Summing up ${countOf(rows, 'row')}; the figures follow`);
    return;
  }
  const { window, sales } = shop;
  say('shop-period', describeWindow(window, range));
  sayIfAny(
    'shop-age',
    behind === null || behind.ms < BEHIND_MS
      ? ''
      : `${countOf(behind.rows, 'row')} of the last ${span(behind.ms)} ${behind.rows === 1 ? 'is' : 'are'} not in all figures yet`,
  );
  showTiles(shop, range);
  showRevenue(window, sales);
  showFunnel(shop);
  showParts(sales);
  const best = Math.max(1, ...sales.products.map((/** @type {any} */ row) => row.revenue));
  say('products-title', sales.source === 'rollups' ? 'Top products of all time' : 'Top products');
  showCard('products', {
    caption: 'Products by revenue',
    columns: [
      { title: 'Product', kind: 'name', text: ({ name, id }) => name ?? id },
      { title: '', kind: 'bar', text: () => '', share: ({ revenue }) => revenue / best, minor: true },
      { title: 'Sold', kind: 'number', text: ({ units }) => count(units) },
      { title: 'Revenue', kind: 'number', text: ({ revenue }) => money(revenue, sales.currency) },
    ],
    rows: sales.products,
  });
  const most = Math.max(1, ...sales.searches.map((/** @type {any} */ row) => row.searches));
  say('searches-title', sales.source === 'rollups' ? 'Top searches of all time' : 'Top searches');
  showCard('searches', {
    caption: 'What was searched for most',
    columns: [
      { title: 'Term', kind: 'name', text: ({ term }) => term },
      { title: '', kind: 'bar', text: () => '', share: ({ searches }) => searches / most },
      { title: 'Searches', kind: 'number', text: ({ searches }) => count(searches) },
    ],
    rows: sales.searches,
  });
  makeScrollable(byId('parts'), 'Sales by traffic source, device and country');
  makeScrollable(byId('lists'), 'Latest events, top products and top searches');
}

/** @param {any} window @param {string} range */
function describeWindow({ startMs, endMs, isLive }, range) {
  if (range === 'all') return `${timeAndDay(startMs / 1000)} to ${isLive ? 'now' : timeAndDay(endMs / 1000)}`;
  return isLive
    ? `the last ${PERIODS[range]}`
    : `the ${PERIODS[range]} up to the newest event, ${timeAndDay(endMs / 1000)}`;
}

/** @param {any} shop @param {string} range */
function showTiles({ sales, visits, sessionIdleSeconds }, range) {
  const { now, before, currency } = sales;
  // Only sessions are known when there were too many events to count their orders: nearly all have one at most.
  const ordersOf = (/** @type {any} */ totals, /** @type {any} */ seen) => totals?.orders ?? seen?.bought ?? null;
  const averageOf = (/** @type {any} */ totals, /** @type {number | null} */ orders) =>
    totals === null || orders === null || orders === 0 ? null : totals.revenue / orders;
  const conversionOf = (/** @type {any} */ seen) =>
    seen === null || seen.ended === 0 ? null : seen.bought / seen.ended;
  const seenNow = visits?.now ?? null;
  const seenBefore = visits?.before ?? null;
  const orders = ordersOf(now, seenNow);
  const ordersBefore = before === null ? null : ordersOf(before, seenBefore);
  const period = { range, isCovered: before !== null };
  const inMoney = (/** @type {number} */ value) => money(value, currency);
  tile('revenue', now.revenue, before?.revenue ?? null, inMoney, period);
  say('tile-revenue-note', now.refunds === 0 ? 'no refunds' : `${money(now.refunds, currency)} refunded`);
  tile('orders', orders, ordersBefore, count, period);
  say('tile-orders-note', now.orders === null ? 'sessions that bought: too many events to count orders' : '');
  tile('conversion', conversionOf(seenNow), conversionOf(seenBefore), finePercent, period);
  say('tile-conversion-note', seenNow === null ? '' : `of ${countOf(seenNow.ended, 'ended visit')}`);
  tile('average', averageOf(now, orders), averageOf(before, ordersBefore), inMoney, period);
  tile('visitors', seenNow?.visitors ?? null, seenBefore?.visitors ?? null, count, period);
  say(
    'tile-visitors-note',
    visits === null ? '' : `${count(visits.activeNow)} in the last ${sessionIdleSeconds / 60} min`,
  );
}

/**
 * A figure, and how it changed.
 * @param {string} name @param {number | null} now @param {number | null} before @param {(value: number) => string} text
 * @param {{ range: string, isCovered: boolean }} period whether there are events of all of the period before
 */
function tile(name, now, before, text, { range, isCovered }) {
  say(`tile-${name}`, now === null ? '–' : text(now));
  const place = byId(`tile-${name}-change`);
  const change = now === null || before === null || before === 0 ? null : now / before - 1;
  const isSame = change !== null && Math.abs(change) < 0.0005;
  place.dataset.change = change === null || isSame ? '' : change > 0 ? 'up' : 'down';
  const period = PERIODS[range];
  place.title = period === undefined || before === null ? '' : `${text(before)} in the ${period} before`;
  if (period === undefined) say(place.id, '');
  else if (!isCovered) say(place.id, `no data of the ${period} before`);
  else if (change === null || before === null)
    say(place.id, `${before === null ? 'none' : text(before)} in the ${period} before`);
  else
    say(
      place.id,
      `${isSame ? '' : change > 0 ? '▲ ' : '▼ '}${change < 10 ? percent(Math.abs(change)) : `${count(change + 1)} times`} from ${text(before)}`,
    );
}

/** @param {any} window @param {any} sales */
function showRevenue({ bucketSeconds }, { series, currency }) {
  if (chart === undefined || currency !== chartCurrency) {
    chartCurrency = currency;
    chart?.remove();
    chart = new Chart(byId('revenue-chart'), {
      title: 'Revenue',
      bars: true,
      series: [
        { name: 'Revenue', value: (value) => money(value, currency) },
        { name: 'Refunds', value: (value) => money(value, currency) },
        { name: 'Orders', value: count, isOnlyTold: true },
      ],
      axis: (value) => shortMoney(value, currency),
      empty: '',
    });
  }
  say('revenue-title', `Revenue by ${BUCKETS[bucketSeconds] ?? span(bucketSeconds * 1000)}`);
  // A line of nothing would only underline the bars.
  const refunds = series.refunds.some((/** @type {number} */ value) => value > 0)
    ? series.refunds
    : series.times.map(() => null);
  chart.show(series.times, series.revenue, refunds, series.orders);
  showIf(chart.place, !chart.isEmpty);
}

/** @type {Readonly<Record<number, string>>} */
const BUCKETS = {
  60: 'minute',
  300: '5 minutes',
  900: '15 minutes',
  1800: 'half-hour',
  3600: 'hour',
  10800: '3 hours',
  21600: '6 hours',
  86400: 'day',
  604800: 'week',
};

/** @param {any} shop */
function showFunnel({ visits, sessionIdleSeconds }) {
  const funnel = visits?.funnel ?? [];
  const minutes = sessionIdleSeconds / 60;
  const hasEnded = funnel[0]?.sessions > 0;
  say(
    'funnel-note',
    visits === null
      ? 'Too many visits to count them in time'
      : `Visits that have ended, ${minutes} min after their last event; ${countOf(visits.open, 'is', 'are')} open`,
  );
  showCard('funnel', {
    caption: 'Visits by how far they came',
    columns: [
      { title: 'Step', kind: 'fixed', text: ({ name }) => stepName(name) },
      {
        title: '',
        kind: 'bar',
        text: () => '',
        share: ({ totalConversion }) => totalConversion ?? 0,
        hint: ({ stepConversion }) => (stepConversion === null ? '' : `${percent(stepConversion)} of the step before`),
      },
      { title: 'Visits', kind: 'number', text: ({ sessions }) => count(sessions) },
      { title: 'Kept', kind: 'number', text: ({ stepConversion }) => percent(stepConversion), minor: true },
      { title: 'Of all', kind: 'number', text: ({ totalConversion }) => percent(totalConversion) },
    ],
    rows: hasEnded ? funnel : [],
  });
  // Without one that has ended the card says when there will be.
  showIf(byId('funnel'), visits === null || hasEnded || visits.open > 0);
  byId('funnel').hidden = !hasEnded;
}

/** @param {any} sales */
function showParts({ parts, currency }) {
  byId('parts').hidden = parts === null;
  sayIfAny(
    'parts-note',
    parts === null
      ? 'There are too many events in this range to break its sales down in time; a shorter one shows them.'
      : '',
  );
  if (parts === null) return;
  for (const [id, title, nameOf] of /** @type {const} */ ([
    ['source', 'Source', plainWord],
    ['device', 'Device', plainWord],
    ['country', 'Country', countryName],
  ])) {
    const rows = parts[id];
    const most = Math.max(1, ...rows.map((/** @type {any} */ row) => row.revenue));
    const hasVisits = rows.some((/** @type {any} */ row) => row.visits > 0);
    showCard(id, {
      caption: `Sales by ${title.toLowerCase()}`,
      columns: [
        { title, kind: 'name', text: ({ name, isRest }) => (isRest ? 'Others' : nameOf(name)) },
        { title: '', kind: 'bar', text: () => '', share: ({ revenue }) => revenue / most },
        { title: 'Revenue', kind: 'number', text: ({ revenue }) => money(revenue, currency) },
        { title: 'Orders', kind: 'number', text: ({ orders }) => count(orders) },
        ...(hasVisits
          ? [
              {
                title: 'Per visit',
                kind: /** @type {const} */ ('number'),
                text: (/** @type {any} */ { orders, visits }) => (visits === 0 ? '–' : finePercent(orders / visits)),
                hint: (/** @type {any} */ { orders, visits }) =>
                  `${countOf(orders, 'order')}, ${countOf(visits, 'visit')}`,
              },
            ]
          : []),
      ],
      rows,
    });
  }
}

/** @param {readonly any[]} events */
function showEvents(events) {
  showCard('events', {
    caption: 'Latest events, newest first',
    columns: [
      {
        title: 'Time',
        kind: 'fixed',
        text: ({ atMs }) => timeOfDay(atMs / 1000),
        hint: ({ atMs }) => timeAndDay(atMs / 1000),
        minor: true,
      },
      {
        title: 'Event',
        kind: 'fixed',
        text: ({ type }) => typeName(type),
        level: ({ type }) => (type === 'purchase' ? 'sale' : ''),
      },
      {
        title: 'What',
        kind: 'line',
        text: ({ about, amount, currency }) =>
          `${about ?? ''}${amount === null ? '' : ` · ${money(amount, currency)}`}`,
        hint: ({ about }) => about ?? '',
      },
      {
        title: 'Where',
        kind: 'fixed',
        text: ({ country, device }) => [country, device].filter((part) => part !== null).join(' · '),
        minor: true,
      },
    ],
    rows: events,
    key: ({ id }) => id,
  });
}
