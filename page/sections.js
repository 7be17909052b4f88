import { count, money, percent, rate, short, size, span, timeOfDay } from '/format.js';
import { showTable } from '/tables.js';

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} id @param {string} text */
export function say(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

const STEPS = {
  session: 'Visit',
  view_item: 'Looked at an item',
  add_to_cart: 'Put it into the cart',
  begin_checkout: 'Began the checkout',
  add_shipping_info: 'Gave an address',
  add_payment_info: 'Gave a means of payment',
  purchase: 'Bought',
};
const STAGES = { generate: 'Generated', move: 'Moved', stream: 'Loaded' };

/** @param {any} snapshot */
export function showTiles({ throughput, freshnessMs, latency, backlog, shop, rejects, batches }) {
  if (throughput !== null) {
    say('tile-rate', rate(throughput.rowsPerSecond));
    say('tile-rate-note', `${size(throughput.bytesPerSecond)}/s over the last ${span(throughput.windowMs)}`);
  }
  if (shop !== null) {
    say('tile-events', short(shop.events + shop.behind.rows));
    say('tile-events-note', `${count(shop.events + shop.behind.rows)} rows`);
  }
  const latest = latency?.latest ?? null;
  say('tile-latency', latest === null ? '–' : span(latest.p50Ms));
  say(
    'tile-latency-note',
    latest === null ? 'no file loaded yet' : `p99 ${span(latest.p99Ms)}, last ${count(latest.files)} files`,
  );
  say('tile-fresh', freshnessMs === null ? '–' : span(freshnessMs));
  say('tile-fresh-note', freshnessMs === null ? 'nothing was loaded yet' : `ago, batch ${batches[0]?.batchId ?? ''}`);
  const { incoming, processing } = backlog;
  say('tile-backlog', short(incoming.files + processing.files));
  const oldestMs = Math.max(incoming.oldestMs ?? 0, processing.oldestMs ?? 0);
  say(
    'tile-backlog-note',
    incoming.files + processing.files === 0
      ? 'nothing waits'
      : `${size(incoming.bytes + processing.bytes)}, up to ${span(oldestMs)}`,
  );
  const recent = batches.reduce(
    (/** @type {any} */ sum, /** @type {any} */ batch) => ({
      read: sum.read + batch.read,
      rejected: sum.rejected + batch.rejected,
    }),
    { read: 0, rejected: 0 },
  );
  say('tile-rejects', rejects === null ? '–' : rejects.looked >= 10_000 ? '10,000 or more' : count(rejects.looked));
  byId('tile-rejects').dataset.level = recent.rejected > 0 ? 'bad' : '';
  say('tile-rejects-note', recent.read === 0 ? '' : `lately ${percent(recent.rejected / recent.read)} of rows`);
}

/** @param {any} shop */
export function showShop(shop) {
  const { behind } = shop;
  say(
    'shop-age',
    behind.batches === 0
      ? 'Up to the last commit'
      : `All but the latest ${count(behind.rows)} rows: figures are ${span(behind.ms)} old`,
  );
  const most = Math.max(1, ...shop.types.map((/** @type {any} */ row) => row.events));
  showTable(byId('types'), {
    caption: 'Events by type',
    columns: [
      { title: 'Type', kind: 'fixed', text: ({ type }) => type },
      { title: 'Events', kind: 'number', text: ({ events }) => count(events) },
      { title: 'Share', kind: 'number', text: ({ events }) => percent(events / Math.max(1, shop.events)) },
      { title: '', kind: 'bar', text: () => '', share: ({ events }) => events / most },
    ],
    rows: shop.types,
    none: 'No events yet',
  });
  showTable(byId('funnel'), {
    caption: 'Sessions by how far they came',
    columns: [
      { title: 'Step', kind: 'name', text: ({ name }) => STEPS[/** @type {keyof typeof STEPS} */ (name)] ?? name },
      { title: 'Sessions', kind: 'number', text: ({ sessions }) => count(sessions) },
      { title: 'Of step before', kind: 'number', text: ({ stepConversion }) => percent(stepConversion) },
      { title: 'Of all', kind: 'number', text: ({ totalConversion }) => percent(totalConversion) },
    ],
    rows: shop.funnel[0]?.sessions > 0 ? shop.funnel : [],
    none: 'No sessions yet',
  });
  const best = Math.max(1, ...shop.products.map((/** @type {any} */ row) => row.revenue));
  showTable(byId('products'), {
    caption: 'Products by revenue',
    columns: [
      { title: 'Product', kind: 'name', text: ({ name, id }) => name ?? id },
      { title: 'Views', kind: 'number', text: ({ views }) => count(views) },
      { title: 'Sold', kind: 'number', text: ({ units }) => count(units) },
      { title: 'Revenue', kind: 'number', text: ({ revenue, currency }) => money(revenue, currency) },
      { title: '', kind: 'bar', text: () => '', share: ({ revenue }) => revenue / best },
    ],
    rows: shop.products,
    none: 'Nothing was looked at or sold yet',
  });
  const top = Math.max(1, ...shop.searches.map((/** @type {any} */ row) => row.searches));
  showTable(byId('searches'), {
    caption: 'What was searched for most',
    columns: [
      { title: 'Term', kind: 'name', text: ({ term }) => term },
      { title: 'Searches', kind: 'number', text: ({ searches }) => count(searches) },
      { title: '', kind: 'bar', text: () => '', share: ({ searches }) => searches / top },
    ],
    rows: shop.searches,
    none: 'No searches yet',
  });
}

/** @param {any} snapshot */
export function showPipeline({ stages, rejects, batches }) {
  showTable(byId('stages'), {
    caption: 'Throughput by stage',
    columns: [
      { title: 'Stage', text: ({ stage }) => STAGES[/** @type {keyof typeof STAGES} */ (stage)] ?? stage },
      {
        title: 'Rows/s',
        kind: 'number',
        text: ({ rowsPerSecond }) => (rowsPerSecond === null ? '–' : rate(rowsPerSecond)),
      },
      {
        title: 'Files/s',
        kind: 'number',
        text: ({ filesPerSecond }) => (filesPerSecond === null ? '–' : rate(filesPerSecond)),
      },
    ],
    rows: stages,
    none: 'Not known yet',
  });
  say(
    'stages-note',
    stages.some((/** @type {any} */ { stage, filesPerSecond }) => stage === 'generate' && filesPerSecond === null)
      ? 'Generator and mover are known to the dashboard of run-all only'
      : '',
  );
  if (rejects !== null) showRejects(rejects);
  showTable(byId('batches'), {
    caption: 'The last batches, newest first',
    columns: [
      { title: 'Batch', kind: 'number', text: ({ batchId }) => String(batchId) },
      { title: 'Rows', kind: 'number', text: ({ read }) => count(read) },
      { title: 'Loaded', kind: 'number', text: ({ inserted }) => count(inserted) },
      { title: 'Duplicate', kind: 'number', text: ({ duplicate }) => count(duplicate) },
      {
        title: 'Rejected',
        kind: 'number',
        text: ({ rejected }) => count(rejected),
        bad: ({ rejected }) => rejected > 0,
      },
      { title: 'Size', kind: 'number', text: ({ bytes }) => size(bytes) },
      { title: 'Took', kind: 'number', text: ({ durationMs }) => span(durationMs) },
      { title: 'Path', kind: 'fixed', text: ({ engine, loadPath }) => (engine === 'native' ? loadPath : engine) },
      { title: 'Committed', kind: 'number', text: ({ committedAtMs }) => timeOfDay(committedAtMs / 1000) },
    ],
    rows: batches,
    none: 'Nothing was loaded yet',
  });
}

/** @param {any} rejects */
function showRejects(rejects) {
  showTable(byId('reasons'), {
    caption: 'Rejected rows by reason',
    columns: [
      { title: 'Reason', kind: 'name', text: ({ kind, rule }) => (rule === '' ? kind : `${kind}: ${rule}`) },
      { title: 'SQLSTATE', kind: 'fixed', text: ({ sqlState }) => sqlState },
      { title: 'Rows', kind: 'number', text: ({ rows }) => count(rows) },
    ],
    rows: rejects.reasons,
    none: 'No row was rejected',
  });
  showTable(byId('examples'), {
    caption: 'Latest rejected rows',
    columns: [
      {
        title: 'Place',
        kind: 'name',
        text: ({ file, line }) => `${file.length > 32 ? `…${file.slice(-31)}` : file}:${line}`,
      },
      { title: 'Why', kind: 'name', text: ({ message }) => message },
      { title: 'Row', kind: 'raw', text: ({ raw }) => raw },
    ],
    rows: rejects.examples,
    none: 'No row was rejected',
  });
}
