import { countOf, formatCount } from '../../platform/format.js';
import type { LogFields, Logger } from '../../platform/log.js';
import { listener } from '../../platform/stage.js';
import type { StreamEvent } from './streamEvents.js';

const PROGRESS_INTERVAL_MS = 10_000;

/** Writes the loader's events to a log: what needs attention at once, progress as totals every 10 s (each batch at debug level). */
export function createStreamEventLogger(log: Logger): (event: StreamEvent) => void {
  const totals = { files: 0, rows: 0, rejected: 0 };
  const logProgress = createProgressLogger(log, totals);
  const logRejects = createRejectLogger(log);
  return listener<StreamEvent>({
    streamStarted: (event) =>
      log.info('stream_started', `loading ${event.inputDir} into ${event.database}`, fieldsOf(event)),
    filesReturned: (event) =>
      log.info(
        'files_returned',
        `put back ${countOf(event.files, 'file')} from ${event.archiveDir} whose content the ledger does not have`,
        fieldsOf(event),
      ),
    batchCommitted: (event) => {
      totals.rows += event.rows.inserted;
      log.debug(
        'batch_committed',
        `batch ${event.batchId}: ${event.rows.inserted} rows in ${event.durationMs} ms (${event.loadPath} path)`,
        fieldsOf(event),
      );
      logProgress();
    },
    rowsRejected: (event) => {
      totals.rejected += event.rejected;
      logRejects(event);
    },
    fileLoaded: (event) => {
      totals.files += 1;
      log.debug('file_loaded', `loaded ${event.file}`, fieldsOf(event));
    },
    fileRedelivered: (event) =>
      log.info(
        'file_redelivered',
        `${event.file} has the content of ${event.firstName}, which is loaded: not loaded again`,
        fieldsOf(event),
      ),
    fileQuarantined: (event) =>
      log.warn(
        'file_quarantined',
        `${event.file} can't be read and went to quarantine: ${event.reason}`,
        fieldsOf(event),
      ),
    fileFailed: (event) =>
      log.warn(
        'file_failed',
        `${event.error.message}\n  ${event.retryInMs === undefined ? 'not tried again in this run' : `tried again in ${event.retryInMs / 1000} s`}`,
        fieldsOf(event),
      ),
    directoryMissing: (event) =>
      log.warn('directory_missing', `${event.error.message}\n  waiting for it to come back`, fieldsOf(event)),
    directoryBack: (event) => log.info('directory_back', `${event.directory} is back`, fieldsOf(event)),
  });
}

/** All of an event but its type, which is the name of the log line. */
function fieldsOf(event: StreamEvent): LogFields {
  return Object.fromEntries(Object.entries(event).filter(([key]) => key !== 'type'));
}

function createProgressLogger(
  log: Logger,
  totals: { readonly files: number; readonly rows: number; readonly rejected: number },
): () => void {
  let lastMs = performance.now();
  return () => {
    const nowMs = performance.now();
    if (nowMs - lastMs < PROGRESS_INTERVAL_MS) return;
    lastMs = nowMs;
    const { files, rows, rejected } = totals;
    const rejects = rejected > 0 ? `, ${formatCount(rejected)} rejected` : '';
    log.info('stream_progress', `${countOf(rows, 'row')} from ${countOf(files, 'file')} so far${rejects}`, {
      ...totals,
    });
  };
}

function createRejectLogger(log: Logger): (event: Extract<StreamEvent, { type: 'rowsRejected' }>) => void {
  const limiter = new RejectReportLimiter();
  return (event) => {
    const report = limiter.next(performance.now(), event.rejected);
    if (report.suppressed !== undefined)
      log.warn(
        'more_rows_rejected',
        `${countOf(report.suppressed.rows, 'more row')} of ${countOf(report.suppressed.files, 'more file')} rejected meanwhile; each is reported at debug level`,
        report.suppressed,
      );
    (report.isReported ? log.warn : log.debug)(
      'rows_rejected',
      `${event.file}: ${countOf(event.rejected, 'row')} rejected, kept in ecompipe.rejected_rows (batch ${event.batchId})`,
      fieldsOf(event),
    );
  };
}

/** In dirty data every file has its rejects: so many files within an interval are reported one by one, the others as a sum after it. */
const MAX_REPORTED_FILES = 5;
const REPORT_INTERVAL_MS = 10_000;

class RejectReportLimiter {
  private sinceMs = -Infinity;
  private files = 0;
  private suppressed = { files: 0, rows: 0 };

  next(
    nowMs: number,
    rows: number,
  ): {
    readonly isReported: boolean;
    readonly suppressed: { readonly files: number; readonly rows: number } | undefined;
  } {
    let suppressed: { files: number; rows: number } | undefined;
    if (nowMs - this.sinceMs >= REPORT_INTERVAL_MS) {
      if (this.suppressed.files > 0) suppressed = this.suppressed;
      this.suppressed = { files: 0, rows: 0 };
      this.files = 0;
      this.sinceMs = nowMs;
    }
    const isReported = ++this.files <= MAX_REPORTED_FILES;
    if (!isReported) this.suppressed = { files: this.suppressed.files + 1, rows: this.suppressed.rows + rows };
    return { isReported, suppressed };
  }
}
