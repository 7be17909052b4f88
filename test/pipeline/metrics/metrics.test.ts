import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { createGenerateEvents } from '../../../src/pipeline/generate/generateEventTable.js';
import { createMoveEvents } from '../../../src/pipeline/move/moveEventTable.js';
import { createStreamEvents } from '../../../src/pipeline/stream/streamEventTable.js';
import { createMetrics, type MetricsOptions } from '../../../src/pipeline/metrics/metrics.js';
import { serveMetrics, writeTextfile } from '../../../src/pipeline/metrics/serve.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

const ALL: MetricsOptions = {
  command: 'run-all',
  stages: { generate: createGenerateEvents(), move: createMoveEvents(), stream: createStreamEvents() },
  directories: {},
  ofProcess: true,
};
const ALERTS = fileURLToPath(new URL('../../../docs/prometheus-alerts.yml', import.meta.url));

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

const rows = { read: 10, inserted: 7, duplicate: 2, rejected: 1 };
const batch = {
  type: 'batchCommitted',
  batchId: 1,
  loadPath: 'direct',
  files: 1,
  bytes: 100,
  rows,
  rowsByFile: [{ file: 'a', rows }],
  durationMs: 40,
} as const;

test('events become counters, gauges and histograms', async () => {
  const { registry, observe, observeDatabase } = createMetrics(ALL);
  observe({
    stage: 'generate',
    event: {
      type: 'filePublished',
      file: 'a',
      path: 'a',
      isHistory: false,
      rows: 10,
      bytes: 100,
      firstEventTime: null,
      lastEventTime: null,
    },
  });
  observe({ stage: 'move', event: { type: 'fileMoved', name: 'a', target: 'a', bytes: 100 } });
  observe({ stage: 'stream', event: batch });
  observe({ stage: 'stream', event: { ...batch, loadPath: 'staged', durationMs: 4000 } });
  observe({ stage: 'stream', event: { type: 'fileLoaded', file: 'a', bytes: 100, writtenAtMs: Date.now() - 700 } });
  observe({ stage: 'stream', event: { type: 'fileQuarantined', file: 'b', reason: '' } });
  observeDatabase({ type: 'databaseRetry', sqlState: '57P01', delayMs: 1 });
  observeDatabase({ type: 'databaseRetry', sqlState: undefined, delayMs: 1 });
  const lines = (await registry.metrics()).split('\n');
  for (const line of [
    'ecompipe_generated_rows_total{command="run-all"} 10',
    'ecompipe_moved_files_total{outcome="moved",command="run-all"} 1',
    'ecompipe_rows_total{outcome="inserted",command="run-all"} 14',
    'ecompipe_rows_total{outcome="duplicate",command="run-all"} 4',
    'ecompipe_rows_total{outcome="rejected",command="run-all"} 2',
    'ecompipe_files_total{outcome="loaded",command="run-all"} 1',
    'ecompipe_files_total{outcome="quarantined",command="run-all"} 1',
    'ecompipe_files_total{outcome="redelivered",command="run-all"} 0',
    'ecompipe_batches_total{load_path="staged",command="run-all"} 1',
    'ecompipe_batch_duration_seconds_bucket{le="0.05",command="run-all"} 1',
    'ecompipe_batch_duration_seconds_count{command="run-all"} 2',
    'ecompipe_file_to_visible_seconds_bucket{le="0.5",command="run-all"} 0',
    'ecompipe_file_to_visible_seconds_count{command="run-all"} 1',
    'ecompipe_database_retries_total{sqlstate_class="57",command="run-all"} 1',
    'ecompipe_database_retries_total{sqlstate_class="network",command="run-all"} 1',
    'ecompipe_database_up{command="run-all"} 0',
  ])
    assert.ok(lines.includes(line), `${line}\n${lines.filter((text) => text.startsWith('ecompipe_')).join('\n')}`);
});

test('the backlog is what waits at the moment of the scrape, and nothing is oldest when nothing waits', async (t) => {
  const incoming = temporaryDirectory(t);
  const { registry } = createMetrics({ ...ALL, directories: { incoming, processing: '/nonexistent' } });
  assert.doesNotMatch(await registry.metrics(), /^ecompipe_oldest_pending_file_timestamp_seconds\{/m);
  writeFileSync(path.join(incoming, 'a.csv'), 'abc');
  writeFileSync(path.join(incoming, '.hidden.csv'), 'abc');
  const text = await registry.metrics();
  assert.match(text, /^ecompipe_backlog_files\{directory="incoming",command="run-all"\} 1$/m);
  assert.match(text, /^ecompipe_backlog_bytes\{directory="incoming",command="run-all"\} 3$/m);
  assert.match(text, /^ecompipe_backlog_files\{directory="processing",command="run-all"\} 0$/m);
  const since = Number(/^ecompipe_oldest_pending_file_timestamp_seconds\{.*\} (.*)$/m.exec(text)?.[1]);
  assert.ok(Math.abs(Date.now() / 1000 - since) < 60);
});

test('names and labels follow the conventions of Prometheus', async () => {
  for (const { name, help, type } of await createMetrics(ALL).registry.getMetricsAsJSON()) {
    assert.equal(name.endsWith('_total'), String(type) === 'counter', name);
    if (/^(nodejs|process)_/.test(name)) continue;
    assert.match(name, /^ecompipe_[a-z_]+$/);
    assert.match(help, /^[A-Z].*[.1]$/);
    assert.doesNotMatch(name, /_(ms|milliseconds|kb|mb|minutes|hours)(_|$)/);
  }
});

test('the alerts ask only for metrics and labels that exist, and each says what it means', async () => {
  const metrics = createMetrics({ ...ALL, directories: { incoming: '/nonexistent', processing: '/nonexistent' } });
  metrics.ended(0);
  const known = new Set((await metrics.registry.getMetricsAsJSON()).map(({ name }) => name));
  const exposed = await metrics.registry.metrics();
  const { groups } = parse(readFileSync(ALERTS, 'utf8')) as { groups: { name: string; rules: Alert[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  for (const { alert, expr, labels, annotations, ...rest } of rules) {
    assert.match(alert, /^Ecompipe[A-Z]\w+$/);
    assert.match(labels.severity, /^(critical|warning)$/, alert);
    assert.deepEqual(Object.keys(annotations), ['summary', 'description'], alert);
    assert.ok(
      Object.keys(rest).every((key) => key === 'for'),
      alert,
    );
    for (const name of expr.match(/\becompipe_\w+/g) ?? [])
      assert.ok(known.has(name) || known.has(name.replace(/_bucket$/, '')), `${alert}: ${name}`);
    for (const [, label, value] of expr.matchAll(/(outcome|directory)!?="(\w+)"/g))
      assert.ok(exposed.includes(`${label!}="${value!}"`), `${alert}: ${label!}="${value!}"`);
  }
});

test(
  'promtool accepts the alerts',
  { skip: spawnSync('promtool', ['--version']).status !== 0 && 'promtool is not installed' },
  () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', ALERTS], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  },
);

test('the Grafana dashboard asks only for metrics and labels that exist', async () => {
  const metrics = createMetrics({ ...ALL, directories: { incoming: '/nonexistent' } });
  metrics.ended(0);
  const known = new Set(await metrics.registry.getMetricsAsJSON().then((list) => list.map(({ name }) => name)));
  const text = readFileSync(new URL('../../../docs/grafana-dashboard.json', import.meta.url), 'utf8');
  const expressions = [...text.matchAll(/"(?:expr|query)": "((?:[^"\\]|\\.)*)"/g)].map(
    ([, expression]) => JSON.parse(`"${expression!}"`) as string,
  );
  const asked = new Set(
    expressions.flatMap((expression) => expression.match(/\b(?:ecompipe|process|nodejs)_\w+/g) ?? []),
  );
  for (const name of asked) assert.ok(known.has(name) || known.has(name.replace(/_(bucket|sum|count)$/, '')), name);
  // And for everything of ours.
  for (const name of known)
    if (name.startsWith('ecompipe_'))
      assert.ok(asked.has(name) || asked.has(`${name}_bucket`), `no panel shows ${name}`);
  const exposed = await metrics.registry.metrics();
  for (const [, label, value] of expressions
    .join(' ')
    .matchAll(/(outcome|load_path|sqlstate_class|directory)="(\w+)"/g))
    assert.ok(exposed.includes(`${label!}="${value!}"`), `${label}="${value}"`);
});

test('healthz is about the process, readyz about its work: not before the start, not while the database is away', async (t) => {
  const metrics = createMetrics(ALL);
  const server = await serveMetrics(metrics, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const status = async (place: string, method = 'GET'): Promise<number> =>
    (await fetch(`http://127.0.0.1:${server.port}${place}`, { method })).status;
  assert.deepEqual([await status('/healthz'), await status('/readyz')], [200, 503]);
  metrics.observe({ stage: 'stream', event: { type: 'streamStarted', inputDir: '', database: '' } });
  assert.equal(await status('/readyz'), 200);
  metrics.observeDatabase({ type: 'databaseRetry', sqlState: undefined, delayMs: 1 });
  assert.deepEqual([await status('/healthz'), await status('/readyz')], [200, 503]);
  metrics.observeDatabase({ type: 'databaseBack', awayMs: 1 });
  assert.equal(await status('/readyz'), 200);
  metrics.observeDatabase({ type: 'databaseSilent', silentMs: 12_000 });
  metrics.observeDatabase({ type: 'databaseRetry', sqlState: undefined, delayMs: 1 });
  metrics.observeDatabase({ type: 'databaseBack', awayMs: 1 });
  assert.equal(await status('/readyz'), 503, 'one connection may work while another is silent');
  metrics.observeDatabase({ type: 'databaseHeard', silentMs: 20_000 });
  assert.deepEqual(
    [await status('/readyz'), await status('/metrics'), await status('/'), await status('/metrics', 'POST')],
    [200, 200, 404, 405],
  );
  await assert.rejects(
    serveMetrics(metrics, { host: '127.0.0.1', port: server.port }),
    /cannot serve metrics on 127\.0\.0\.1:\d+: .*EADDRINUSE[^]*hint: /,
  );
});

test('with a token only /metrics asks for it: probes have none', async (t) => {
  const server = await serveMetrics(createMetrics(ALL), { host: '0.0.0.0', port: 0, token: 'let-me-in' });
  t.after(() => server.close());
  const ask = async (place: string, token?: string): Promise<Response> =>
    await fetch(`http://127.0.0.1:${server.port}${place}`, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
  const refused = await ask('/metrics');
  assert.deepEqual(
    [refused.status, refused.headers.get('www-authenticate'), await refused.text()],
    [401, 'Bearer realm="metrics of ecompipe"', 'this needs the token\n'],
  );
  assert.equal((await ask('/metrics', 'let-me-out')).status, 401);
  assert.equal((await ask('/nothing')).status, 401);
  assert.match(await (await ask('/metrics', 'let-me-in')).text(), /^ecompipe_build_info/m);
  assert.deepEqual([(await ask('/healthz')).status, (await ask('/readyz')).status], [200, 503]);
});

test('without a token other names than ours get nothing, and other machines are not served at all', async (t) => {
  const metrics = createMetrics(ALL);
  const server = await serveMetrics(metrics, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const status = await new Promise<number | undefined>((resolve, reject) =>
    request(`http://127.0.0.1:${server.port}/metrics`, { headers: { host: 'evil.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end(),
  );
  assert.equal(status, 421);
  await assert.rejects(
    serveMetrics(metrics, { host: '0.0.0.0', port: 0 }),
    /--metrics-host 0\.0\.0\.0: other machines could read[^]*hint: set ECOMPIPE_METRICS_TOKEN or --metrics-token-file/,
  );
});

test('a textfile is replaced whole and has none of the process metrics that the node exporter has itself', async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'ecompipe.prom');
  writeFileSync(file, 'before');
  const metrics = createMetrics({
    ...ALL,
    command: 'stream',
    stages: { stream: createStreamEvents() },
    ofProcess: false,
  });
  metrics.ended(3);
  await writeTextfile(metrics, file);
  const text = readFileSync(file, 'utf8');
  assert.match(text, /^ecompipe_last_run_exit_code\{command="stream"\} 3$/m);
  assert.doesNotMatch(text, /^(process|nodejs)_/m);
  assert.deepEqual((await import('node:fs')).readdirSync(directory), ['ecompipe.prom']);
});
