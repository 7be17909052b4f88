import type { Logger } from '../../platform/log.js';
import type { MoveEvent, SkipReason } from './moveEvents.js';

const PROGRESS_INTERVAL_MS = 10_000;
/** On a full disk thousands of files fail for one reason: so many in a row are told, the others at debug level. */
const MAX_REPORTED_FAILURES = 5;

const SKIP_REASONS: Readonly<Record<SkipReason, string>> = {
  otherEnding: 'its name does not end in .csv or .csv.gz',
  notRegular: 'it is not a regular file',
  empty: 'it is empty; it will be moved once it has content',
};

/** Writes the mover's events to a log: what needs attention at once, moved files as a total every 10 s (each at debug level). */
export function createMoveEventLogger(log: Logger): (event: MoveEvent) => void {
  let [files, bytes, lastProgressMs, failures] = [0, 0, -Infinity, 0];
  return (event) => {
    const { type, ...fields } = event;
    switch (type) {
      case 'fileMoved': {
        failures = 0;
        files += 1;
        bytes += event.bytes;
        log.debug('file_moved', `moved ${event.name} as ${event.target}`, fields);
        const nowMs = performance.now();
        if (nowMs - lastProgressMs < PROGRESS_INTERVAL_MS) break;
        lastProgressMs = nowMs;
        log.info('move_progress', `moved ${files} file${files === 1 ? '' : 's'} so far`, { files, bytes });
        break;
      }
      case 'fileWaiting':
        log.debug('file_waiting', `${event.name} must stay unchanged for ${event.settleMs} ms first`, fields);
        break;
      case 'fileSkipped':
        log.warn('file_skipped', `left ${event.name} alone: ${SKIP_REASONS[event.reason]}`, fields);
        break;
      case 'fileFailed':
        failures += 1;
        (failures <= MAX_REPORTED_FAILURES ? log.warn : log.debug)(
          'file_failed',
          `${event.error.message}\n  ${event.retryInMs === undefined ? 'not tried again in this run' : `tried again in ${event.retryInMs / 1000} s`}`,
          fields,
        );
        if (failures === MAX_REPORTED_FAILURES)
          log.warn('files_failing', 'more files may fail in the same way; they are logged at debug level');
        break;
      case 'backlogFull':
        log.info(
          'backlog_full',
          `${event.backlog} files wait to be loaded (limit ${event.maxBacklog}): waiting too`,
          fields,
        );
        break;
      case 'directoryMissing':
        log.warn('directory_missing', `${event.error.message}\n  waiting for it to come back`, fields);
        break;
      case 'directoryBack':
        log.info('directory_back', `${event.directory} is back`, fields);
        break;
      case 'temporaryRemoved':
        log.info('temporary_removed', `removed ${event.name}, left by a killed process`, fields);
        break;
    }
  };
}
