import { Chart } from '/charts.js';
import { count, countOf, finePercent, middle, rate, short, size, span, timeAndDay, timeOfDay } from '/format.js';
import { stageName, typeName } from '/names.js';
import { byId, say, sayIfAny, showCard, showIf } from '/tables.js';

/** More than this share of the rows of the last minutes asks for somebody to look: a producer has changed something. */
const BAD_REJECT_SHARE = 0.01;

const charts = {
  rate: new Chart(byId('rate-chart'), {
    title: 'Events a second',
    series: [
      { name: 'Loaded', value: rate },
      { name: 'Duplicate', value: rate },
      { name: 'Rejected', value: rate },
    ],
    axis: rate,
    empty: 'Nothing was loaded in this time',
  }),
  latency: new Chart(byId('latency-chart'), {
    title: 'From written to visible',
    series: [
      { name: 'p50', value: (seconds) => span(seconds * 1000) },
      { name: 'p99', value: (seconds) => span(seconds * 1000) },
    ],
    axis: (seconds) => span(seconds * 1000),
    empty: '',
  }),
  backlog: new Chart(byId('backlog-chart'), {
    title: 'Files waiting',
    series: [
      { name: 'To be moved', value: count },
      { name: 'To be loaded', value: count },
    ],
    whole: true,
    axis: short,
    empty: '',
  }),
};

/** @param {any} snapshot */
export function showPipeline(snapshot) {
  const { database, rates, latency, backlog, shop, stages, rejects, batches } = snapshot;
  say('where', database.label);
  showTiles(snapshot);
  if (rates !== null)
    charts.rate.show(rates.times, rates.values.inserted, rates.values.duplicate, rates.values.rejected);
  if (latency !== null) charts.latency.show(latency.times, latency.values.p50, latency.values.p99);
  showIf(charts.latency.place, latency !== null && !charts.latency.isEmpty);
  charts.backlog.show(backlog.series.times, backlog.series.values.incoming, backlog.series.values.processing);
  showIf(charts.backlog.place, !charts.backlog.isEmpty);
  const types = shop?.types ?? [];
  const most = Math.max(1, ...types.map((/** @type {any} */ row) => row.events));
  showCard('types', {
    caption: 'Events by type',
    columns: [
      { title: 'Type', kind: 'name', text: ({ type }) => typeName(type), hint: ({ type }) => type },
      { title: '', kind: 'bar', text: () => '', share: ({ events }) => events / most },
      { title: 'Events', kind: 'number', text: ({ events }) => count(events) },
    ],
    rows: types,
  });
  // What other processes generate and move is not known here; what is loaded stands above.
  const isKnown = stages.some(
    (/** @type {any} */ { stage, filesPerSecond }) => stage !== 'stream' && filesPerSecond !== null,
  );
  showCard('stages', {
    caption: 'Speed of each stage',
    columns: [
      { title: 'Stage', kind: 'fixed', text: ({ stage }) => stageName(stage) },
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
    rows: isKnown ? stages : [],
  });
  showRejects(rejects ?? NO_REJECTS);
  showBatches(batches, isBad(snapshot.recent));
}

/** @param {any} snapshot */
function showTiles({ throughput, freshnessMs, latestLatency, backlog, events, behind, rejects, recent, batches }) {
  if (throughput !== null) {
    say('tile-rate', rate(throughput.rowsPerSecond));
    say('tile-rate-note', `${size(throughput.bytesPerSecond)}/s in the last ${span(throughput.windowMs)}`);
  }
  if (events !== null) {
    say('tile-events', short(events + (behind?.rows ?? 0)));
    say('tile-events-note', `${count(events + (behind?.rows ?? 0))} since the beginning`);
  }
  say('tile-latency', latestLatency === null ? '–' : span(latestLatency.p50Ms));
  say(
    'tile-latency-note',
    latestLatency === null
      ? 'no file loaded yet'
      : `p99 ${span(latestLatency.p99Ms)}, last ${countOf(latestLatency.files, 'file')}`,
  );
  say('tile-fresh', freshnessMs === null ? '–' : `${span(freshnessMs)} ago`);
  say('tile-fresh-note', freshnessMs === null ? 'nothing was loaded yet' : `batch ${batches[0]?.batchId ?? ''}`);
  const { incoming, processing } = backlog;
  say('tile-backlog', short(incoming.files + processing.files));
  const oldestMs = Math.max(incoming.oldestMs ?? 0, processing.oldestMs ?? 0);
  say(
    'tile-backlog-note',
    incoming.files + processing.files === 0
      ? 'nothing waits'
      : `${size(incoming.bytes + processing.bytes)}, for up to ${span(oldestMs)}`,
  );
  if (rejects === null || recent === null) return;
  const share = recent.read === 0 ? 0 : recent.rejected / recent.read;
  say('tile-rejects', rejects.total === null ? `${short(rejects.looked)} or more` : short(rejects.total));
  byId('tile-rejects').dataset.level = isBad(recent) ? 'bad' : '';
  say(
    'tile-rejects-note',
    recent.read === 0
      ? `nothing was read in the last ${span(recent.seconds * 1000)}`
      : `${finePercent(share)} of rows in the last ${span(recent.seconds * 1000)}`,
  );
}

const NO_REJECTS = { reasons: [], examples: [], looked: 0, total: 0 };

/** @param {any} rejects */
function showRejects({ reasons, examples, looked, total }) {
  sayIfAny('reasons-note', total === looked ? '' : `Of the latest ${count(looked)}`);
  showCard('reasons', {
    caption: 'Rejected rows by reason',
    columns: [
      { title: 'Reason', kind: 'name', text: ({ kind, rule }) => (rule === '' ? kind : `${kind}: ${rule}`) },
      { title: 'SQLSTATE', kind: 'fixed', text: ({ sqlState }) => sqlState, minor: true },
      { title: 'Rows', kind: 'number', text: ({ rows }) => count(rows) },
    ],
    rows: reasons,
  });
  showCard('examples', {
    caption: 'Latest rejected rows',
    columns: [
      {
        title: 'File and line',
        kind: 'file',
        text: ({ file, line }) => `${middle(file)}:${line}`,
        hint: ({ file, line }) => `${file}:${line}`,
      },
      { title: 'Why', kind: 'name', text: ({ message }) => message },
      { title: 'Row', kind: 'raw', text: ({ raw }) => raw },
    ],
    rows: examples,
  });
}

/** By what was read lately, not by all time: what was corrected long ago alarms nobody. @param {any} recent */
function isBad(recent) {
  return recent !== null && recent.rejected > recent.read * BAD_REJECT_SHARE;
}

/** @param {readonly any[]} batches @param {boolean} isAlarming */
function showBatches(batches, isAlarming) {
  showCard('batches', {
    caption: 'The latest batches, newest first',
    columns: [
      { title: 'Batch', kind: 'number', text: ({ batchId }) => String(batchId) },
      {
        title: 'Committed',
        kind: 'number',
        text: ({ committedAtMs }) => timeOfDay(committedAtMs / 1000),
        hint: ({ committedAtMs }) => timeAndDay(committedAtMs / 1000),
      },
      { title: 'Rows', kind: 'number', text: ({ read }) => count(read) },
      { title: 'Loaded', kind: 'number', text: ({ inserted }) => count(inserted) },
      { title: 'Duplicate', kind: 'number', text: ({ duplicate }) => count(duplicate) },
      {
        title: 'Rejected',
        kind: 'number',
        text: ({ rejected }) => count(rejected),
        level: ({ rejected }) => (isAlarming && rejected > 0 ? 'bad' : ''),
      },
      { title: 'Size', kind: 'number', text: ({ bytes }) => size(bytes) },
      { title: 'Took', kind: 'number', text: ({ durationMs }) => span(durationMs) },
      { title: 'Path', kind: 'fixed', text: ({ engine, loadPath }) => (engine === 'native' ? loadPath : engine) },
    ],
    rows: batches,
  });
}
