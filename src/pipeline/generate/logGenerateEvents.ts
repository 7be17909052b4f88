import type { Logger } from '../../platform/log.js';
import type { GenerateEvent } from './generateEvents.js';

const PROGRESS_INTERVAL_MS = 10_000;

/** Writes the generator's events to a log: the seed at once, published files as a total every 10 s (each at debug level). */
export function createGenerateEventLogger(log: Logger): (event: GenerateEvent) => void {
  let [files, rows, bytes, lastProgressMs] = [0, 0, 0, performance.now()];
  return (event) => {
    switch (event.type) {
      case 'runStarted':
        log.info('run_started', `generating ${event.runId} with seed ${event.seed}; manifest in ${event.manifest}`, {
          ...event,
        });
        break;
      case 'filePublished': {
        files += 1;
        rows += event.rows;
        bytes += event.bytes;
        log.debug('file_published', `${event.file}: ${event.rows} rows`, { ...event });
        const nowMs = performance.now();
        if (nowMs - lastProgressMs < PROGRESS_INTERVAL_MS) break;
        lastProgressMs = nowMs;
        log.info('generate_progress', `${rows} rows in ${files} files so far`, { files, rows, bytes });
        break;
      }
      case 'fileSealed':
        break;
    }
  };
}
