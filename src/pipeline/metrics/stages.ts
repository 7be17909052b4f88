import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { DatabaseEvent } from '../../platform/db/retry.js';
import type { GenerateEvent } from '../generate/generateEvents.js';
import type { MoveEvent } from '../move/moveEvents.js';
import type { StreamEvent } from '../stream/streamEvents.js';

/** From a single small file to a bulk load of a minute. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const LATENCY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

/** A counter whose labels are all there from the start: a rate over a series that only appears at its first event misses it. */
function counter(
  registry: Registry,
  name: string,
  help: string,
  label?: string,
  values: readonly string[] = [],
): (by?: number, value?: string) => void {
  const metric = new Counter({ name, help, registers: [registry], labelNames: label === undefined ? [] : [label] });
  for (const value of values) metric.inc({ [label ?? '']: value }, 0);
  return (by = 1, value) => {
    if (label !== undefined && value !== undefined) metric.inc({ [label]: value }, by);
    else metric.inc(by);
  };
}

export function generateMetrics(registry: Registry): (event: GenerateEvent) => void {
  const files = counter(registry, 'ecompipe_generated_files_total', 'Files published by the generator.');
  const rows = counter(registry, 'ecompipe_generated_rows_total', 'Rows in files published by the generator.');
  const bytes = counter(registry, 'ecompipe_generated_bytes_total', 'Bytes of files published by the generator.');
  return (event) => {
    if (event.type !== 'filePublished') return;
    files();
    rows(event.rows);
    bytes(event.bytes);
  };
}

export function moveMetrics(registry: Registry): (event: MoveEvent) => void {
  const files = counter(
    registry,
    'ecompipe_moved_files_total',
    'Files moved from incoming to processing, and attempts that failed.',
    'outcome',
    ['moved', 'failed'],
  );
  const bytes = counter(registry, 'ecompipe_moved_bytes_total', 'Bytes of files moved from incoming to processing.');
  return (event) => {
    if (event.type === 'fileFailed') files(1, 'failed');
    if (event.type !== 'fileMoved') return;
    files(1, 'moved');
    bytes(event.bytes);
  };
}

/** What the loader is measured by. */
function createStreamMetrics(registry: Registry) {
  const rows = counter(registry, 'ecompipe_rows_total', 'Rows read from files, by what became of them.', 'outcome', [
    'inserted',
    'duplicate',
    'rejected',
  ]);
  const files = counter(
    registry,
    'ecompipe_files_total',
    'Files by what became of them; failed counts attempts.',
    'outcome',
    ['loaded', 'redelivered', 'quarantined', 'failed'],
  );
  const bytes = counter(registry, 'ecompipe_loaded_bytes_total', 'Bytes of CSV that were committed.');
  const batches = counter(
    registry,
    'ecompipe_batches_total',
    'Committed load transactions, by path: direct (COPY alone) or staged (each row gets its verdict).',
    'load_path',
    ['direct', 'staged'],
  );
  const duration = new Histogram({
    name: 'ecompipe_batch_duration_seconds',
    help: 'Time that a committed load transaction took.',
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const latency = new Histogram({
    name: 'ecompipe_file_to_visible_seconds',
    help: 'Time from the last write of a file to the commit that made all of it visible.',
    buckets: LATENCY_BUCKETS,
    registers: [registry],
  });
  const lastCommit = new Gauge({
    name: 'ecompipe_last_commit_timestamp_seconds',
    help: 'When this process last committed rows, in seconds since 1970; 0 before the first commit.',
    registers: [registry],
  });
  return { rows, files, bytes, batches, duration, latency, lastCommit };
}

export function streamMetrics(registry: Registry, nowMs: () => number = Date.now): (event: StreamEvent) => void {
  const { rows, files, bytes, batches, duration, latency, lastCommit } = createStreamMetrics(registry);
  return (event) => {
    switch (event.type) {
      case 'batchCommitted':
        for (const outcome of ['inserted', 'duplicate', 'rejected'] as const) rows(event.rows[outcome], outcome);
        bytes(event.bytes);
        batches(1, event.loadPath);
        duration.observe(event.durationMs / 1000);
        lastCommit.set(nowMs() / 1000);
        break;
      case 'fileLoaded':
        files(1, 'loaded');
        // A producer's clock may be ahead of ours.
        latency.observe(Math.max(0, nowMs() - event.writtenAtMs) / 1000);
        break;
      case 'fileRedelivered':
        files(1, 'redelivered');
        break;
      case 'fileQuarantined':
        files(1, 'quarantined');
        break;
      case 'fileFailed':
        files(1, 'failed');
        break;
      default:
        break;
    }
  };
}

/** Classes of SQLSTATE (its first two characters) number some forty; `network` is a failure without one. */
export function databaseMetrics(registry: Registry): (event: DatabaseEvent) => void {
  const retries = counter(
    registry,
    'ecompipe_database_retries_total',
    'Attempts on the database that failed for a passing reason, by class of SQLSTATE.',
    'sqlstate_class',
    ['network', '08', '40', '53', '57'],
  );
  const up = new Gauge({
    name: 'ecompipe_database_up',
    help: 'Whether the database answered at the last attempt: 1, or 0 while it is being retried.',
    registers: [registry],
  });
  up.set(1);
  return (event) => {
    if (event.type === 'databaseBack') up.set(1);
    else {
      up.set(0);
      retries(1, event.sqlState?.slice(0, 2) ?? 'network');
    }
  };
}
