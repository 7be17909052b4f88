import type { Logger } from '../../platform/log.js';
import { countOf } from '../../platform/format.js';
import type { VerifyEvent } from './verifyEvents.js';

const PROGRESS_INTERVAL_MS = 10_000;

/** Writes what verify does to a log: progress every 10 s. */
export function createVerifyEventLogger(log: Logger): (event: VerifyEvent) => void {
  let lastProgressMs = performance.now();
  return (event) => {
    const { type, ...fields } = event;
    if (type === 'manifestsRead') {
      log.debug(
        'manifests_read',
        `${countOf(event.files, 'file')} of ${countOf(event.runs, 'run')}, ${countOf(event.faults, 'fault')}`,
        fields,
      );
      return;
    }
    const nowMs = performance.now();
    if (nowMs - lastProgressMs < PROGRESS_INTERVAL_MS) return;
    lastProgressMs = nowMs;
    if (type === 'tableScanned')
      log.info(
        'verify_progress',
        `${Math.round(event.share * 100)} % of the table read, ${countOf(event.rows, 'row')}`,
        fields,
      );
    else log.info('verify_progress', `${event.files} of ${countOf(event.of, 'file')} compared row by row`, fields);
  };
}
