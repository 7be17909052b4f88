import { LEFT_ALONE_REASONS } from '../../contract/leftAlone.js';
import { countOf, formatCount, formatSpan } from '../../platform/format.js';
import type { Logger } from '../../platform/log.js';
import { reportedFacts } from '../../platform/errors.js';
import { ProgressInterval, type StageEvents } from '../../platform/stageEvents.js';
import { addCounts, NO_ROWS, type RowCounts } from './batch.js';
import { RejectReportLimiter } from './rejectReportLimiter.js';
import type { StreamEvent } from './streamEvents.js';
import { printableLine } from '../../platform/printable.js';

/** What the loader has done so far. */
export interface StreamFigures {
  filesLoaded: number;
  filesRedelivered: number;
  filesQuarantined: number;
  /** Attempts on files. */
  filesFailed: number;
  /** Entries of the directory that were left alone. */
  entriesSkipped: number;
  /** Files whose last columns have no name. */
  filesWithUnnamed: number;
  bytes: number;
  /** Of files that are loaded to their end. */
  finishedBytes: number;
  rows: RowCounts;
  lastBatch: { readonly id: number; readonly rows: number; readonly durationMs: number } | undefined;
}

/** In a directory full of other files only so many are reported one by one; `ecompipe status` counts them all. */
const MAX_REPORTED_SKIPS = 10;

/** A file that has failed so often has done so for a minute, and is not one that somebody was still writing to. */
const NOTIFIED_ATTEMPT = 7;

/** From a single small file to a bulk load of a minute. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const LATENCY_BUCKETS = [...DURATION_BUCKETS, 300, 1800];

const metrics = {
  rows: {
    kind: 'counter',
    name: 'ecompipe_rows_total',
    help: 'Rows read from files, by what became of them.',
    label: 'outcome',
    values: ['inserted', 'duplicate', 'rejected'],
  },
  files: {
    kind: 'counter',
    name: 'ecompipe_files_total',
    help: 'Files by what became of them; failed counts attempts.',
    label: 'outcome',
    values: ['loaded', 'redelivered', 'quarantined', 'failed'],
  },
  bytes: { kind: 'counter', name: 'ecompipe_loaded_bytes_total', help: 'Bytes of CSV that were committed.' },
  batches: {
    kind: 'counter',
    name: 'ecompipe_batches_total',
    help: 'Committed load transactions, by path: direct (COPY alone) or staged (each row gets its verdict).',
    label: 'load_path',
    values: ['direct', 'staged'],
  },
  duration: {
    kind: 'histogram',
    name: 'ecompipe_batch_duration_seconds',
    help: 'Time that a committed load transaction took.',
    buckets: DURATION_BUCKETS,
  },
  latency: {
    kind: 'histogram',
    name: 'ecompipe_file_to_visible_seconds',
    help: 'Time from the last write of a file to the commit that made all of it visible.',
    buckets: LATENCY_BUCKETS,
  },
  lastCommit: {
    kind: 'gauge',
    name: 'ecompipe_last_commit_timestamp_seconds',
    help: 'When this process last committed rows, in seconds since 1970; 0 before the first commit.',
  },
} as const;

export type StreamEvents = StageEvents<StreamEvent, StreamFigures, typeof metrics>;

/** What the events of one run of the loader mean. */
export function createStreamEvents(): StreamEvents {
  return {
    figures: {
      filesLoaded: 0,
      filesRedelivered: 0,
      filesQuarantined: 0,
      filesFailed: 0,
      entriesSkipped: 0,
      filesWithUnnamed: 0,
      bytes: 0,
      finishedBytes: 0,
      rows: NO_ROWS,
      lastBatch: undefined,
    },
    metrics,
    table: { ...STARTS, ...FILES, batchCommitted: batchCommitted(), rowsRejected: rowsRejected() },
  };
}

const STARTS: Pick<
  StreamEvents['table'],
  'streamStarted' | 'filesReturned' | 'fileNotCompressed' | 'directoryMissing' | 'directoryBack'
> = {
  streamStarted: {
    log: (log, { inputDir, database }) => log.info('stream_started', `loading ${inputDir} into ${database}`),
  },
  filesReturned: {
    log: (log, { files, directory }) =>
      log.info(
        'files_returned',
        `put back ${countOf(files, 'file')} from ${directory} whose content the ledger does not have`,
      ),
  },
  fileNotCompressed: {
    log: (log, { error, isLast }) =>
      log.warn(
        'file_not_compressed',
        `${error.message}\n  it is archived as it is${isLast ? ', and so are all others until the next start' : ''}`,
      ),
  },
  directoryMissing: {
    log: (log, { error }) => log.warn('directory_missing', `${error.message}\n  waiting for it to come back`),
    notify: ({ directory, error }) => ({
      event: 'directory_missing',
      text: error.message,
      facts: { directory, ...reportedFacts(error) },
    }),
  },
  directoryBack: { log: (log, { directory }) => log.info('directory_back', `${directory} is back`) },
};

const FILES: Pick<
  StreamEvents['table'],
  'fileSkipped' | 'columnsIgnored' | 'fileLoaded' | 'fileRedelivered' | 'fileQuarantined' | 'fileFailed'
> = {
  fileSkipped: {
    count: (figures) => (figures.entriesSkipped += 1),
    log: (log, { name, reason }, { entriesSkipped }) => {
      (entriesSkipped <= MAX_REPORTED_SKIPS ? log.warn : log.debug)(
        'file_skipped',
        `left ${printableLine(name)} alone: ${LEFT_ALONE_REASONS[reason]}`,
      );
      if (entriesSkipped === MAX_REPORTED_SKIPS)
        log.warn('files_skipped', 'whatever else is left alone is logged at debug level', {});
    },
  },
  columnsIgnored: {
    count: (figures) => (figures.filesWithUnnamed += 1),
    log: (log, { file, columns }, { filesWithUnnamed }) => {
      (filesWithUnnamed <= MAX_REPORTED_SKIPS ? log.warn : log.debug)(
        'columns_ignored',
        `${printableLine(file)}: the header ends with ${countOf(columns, 'column that has no name; it is', 'columns that have no name; they are')} ignored where empty`,
      );
    },
  },
  fileLoaded: {
    count: (figures, { bytes }) => {
      figures.filesLoaded += 1;
      figures.finishedBytes += bytes;
    },
    log: (log, { file }) => log.debug('file_loaded', `loaded ${printableLine(file)}`),
    measure: (meters, { writtenAtMs }) => {
      meters.files(1, 'loaded');
      // A producer's clock may be ahead of ours.
      meters.latency(Math.max(0, Date.now() - writtenAtMs) / 1000);
    },
  },
  fileRedelivered: {
    count: (figures) => (figures.filesRedelivered += 1),
    log: (log, { file, firstName }) =>
      log.info(
        'file_redelivered',
        `${printableLine(file)} has the content of ${printableLine(firstName)}, which is loaded: not loaded again`,
      ),
    measure: (meters) => meters.files(1, 'redelivered'),
  },
  fileQuarantined: {
    count: (figures) => (figures.filesQuarantined += 1),
    log: (log, { file, reason }) =>
      log.warn(
        'file_quarantined',
        `${printableLine(file)} can't be read and went to quarantine: ${printableLine(reason)}`,
      ),
    measure: (meters) => meters.files(1, 'quarantined'),
    attention: ({ file, reason }) => `${file} went to quarantine: ${reason}`,
    notify: ({ file, reason }) => ({
      event: 'file_quarantined',
      text: `${printableLine(file)} can't be read and went to quarantine: ${printableLine(reason)}`,
      facts: { file, reason },
    }),
  },
  fileFailed: {
    count: (figures) => (figures.filesFailed += 1),
    log: (log, { error, retryInMs }) =>
      log.warn(
        'file_failed',
        `${error.message}\n  ${retryInMs === undefined ? 'not tried again in this run' : `tried again in ${formatSpan(retryInMs)}`}`,
      ),
    measure: (meters) => meters.files(1, 'failed'),
    attention: ({ error }) => `stream: ${error.facts.what}`,
    notify: ({ file, error, attempt, retryInMs }) =>
      retryInMs === undefined || attempt === NOTIFIED_ATTEMPT
        ? { event: 'file_failed', text: error.message, facts: { file, ...reportedFacts(error) } }
        : undefined,
  },
};

function batchCommitted(): StreamEvents['table']['batchCommitted'] {
  const progress = new ProgressInterval();
  return {
    count: (figures, { batchId, rows, bytes, durationMs }) => {
      figures.rows = addCounts(figures.rows, rows);
      figures.bytes += bytes;
      figures.lastBatch = { id: batchId, rows: rows.read, durationMs };
    },
    log: (log, { batchId, files, bytes, rows, durationMs, loadPath }, figures) => {
      log.debug(
        'batch_committed',
        `batch ${batchId}: ${countOf(rows.inserted, 'row')} in ${formatSpan(durationMs)} (${loadPath} path)`,
        { batchId, loadPath, files, bytes, rows, durationMs },
      );
      if (progress.isDue()) logProgress(log, figures);
    },
    measure: (meters, { rows, bytes, loadPath, durationMs }) => {
      for (const outcome of metrics.rows.values) meters.rows(rows[outcome], outcome);
      meters.bytes(bytes);
      meters.batches(1, loadPath);
      meters.duration(durationMs / 1000);
      meters.lastCommit(Date.now() / 1000);
    },
  };
}

function logProgress(log: Logger, { filesLoaded, rows: { inserted, rejected } }: Readonly<StreamFigures>): void {
  const rejects = rejected > 0 ? `, ${formatCount(rejected)} rejected` : '';
  log.info('stream_progress', `${countOf(inserted, 'row')} from ${countOf(filesLoaded, 'file')} so far${rejects}`, {
    files: filesLoaded,
    rows: inserted,
    rejected,
  });
}

/** The rows themselves are counted with their batch. */
function rowsRejected(): StreamEvents['table']['rowsRejected'] {
  const limiter = new RejectReportLimiter();
  return {
    log: (log, { file, rejected, batchId }) => {
      const { suppressed, isReported } = limiter.next(performance.now(), rejected);
      if (suppressed !== undefined)
        log.warn(
          'more_rows_rejected',
          `${countOf(suppressed.rows, 'more row')} of ${countOf(suppressed.files, 'more file')} rejected meanwhile; each is reported at debug level`,
          suppressed,
        );
      (isReported ? log.warn : log.debug)(
        'rows_rejected',
        `${printableLine(file)}: ${countOf(rejected, 'row')} rejected, kept in ecompipe.rejected_rows (batch ${batchId})`,
      );
    },
  };
}
