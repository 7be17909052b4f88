import type { Logger } from '../../platform/log.js';
import type { StreamEvent } from './streamEvents.js';

const PROGRESS_INTERVAL_MS = 10_000;

/** Writes the loader's events to a log: what needs attention at once, progress as totals every 10 s (each batch at debug level). */
export function createStreamEventLogger(log: Logger): (event: StreamEvent) => void {
  let [files, rows, rejected, lastProgressMs] = [0, 0, 0, performance.now()];
  const limiter = new RejectReportLimiter();
  return (event) => {
    const { type, ...fields } = event;
    switch (type) {
      case 'streamStarted':
        log.info('stream_started', `loading ${event.inputDir} into ${event.database}`, fields);
        break;
      case 'batchCommitted': {
        rows += event.rows.inserted;
        log.debug(
          'batch_committed',
          `batch ${event.batchId}: ${event.rows.inserted} rows in ${event.durationMs} ms (${event.loadPath} path)`,
          fields,
        );
        const nowMs = performance.now();
        if (nowMs - lastProgressMs < PROGRESS_INTERVAL_MS) break;
        lastProgressMs = nowMs;
        log.info(
          'stream_progress',
          `${rows} rows from ${files} files so far${rejected > 0 ? `, ${rejected} rejected` : ''}`,
          { files, rows, rejected },
        );
        break;
      }
      case 'rowsRejected': {
        rejected += event.rejected;
        const report = limiter.next(performance.now(), event.rejected);
        if (report.suppressed !== undefined)
          log.warn(
            'more_rows_rejected',
            `${report.suppressed.rows} more rows of ${report.suppressed.files} more files rejected meanwhile; each is reported at debug level`,
            report.suppressed,
          );
        (report.isReported ? log.warn : log.debug)(
          'rows_rejected',
          `${event.file}: ${event.rejected} row${event.rejected === 1 ? '' : 's'} rejected, kept in ecompipe.rejected_rows (batch ${event.batchId})`,
          fields,
        );
        break;
      }
      case 'fileLoaded':
        files += 1;
        log.debug('file_loaded', `loaded ${event.file}`, fields);
        break;
      case 'fileRedelivered':
        log.info(
          'file_redelivered',
          `${event.file} has the content of ${event.firstName}, which is loaded: not loaded again`,
          fields,
        );
        break;
      case 'fileQuarantined':
        log.warn('file_quarantined', `${event.file} can't be read and went to quarantine: ${event.reason}`, fields);
        break;
      case 'fileFailed':
        log.warn(
          'file_failed',
          `${event.error.message}\n  ${event.retryInMs === undefined ? 'not tried again in this run' : `tried again in ${event.retryInMs / 1000} s`}`,
          fields,
        );
        break;
      case 'directoryMissing':
        log.warn('directory_missing', `${event.error.message}\n  waiting for it to come back`, fields);
        break;
      case 'directoryBack':
        log.info('directory_back', `${event.directory} is back`, fields);
        break;
    }
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
