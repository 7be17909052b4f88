import type { Logger } from '../platform/log.js';

/** A log beside a bar, which tells the progress by itself. */
export function demoteProgress(log: Logger): Logger {
  return {
    ...log,
    info: (event, message, fields) => (event.endsWith('_progress') ? log.debug : log.info)(event, message, fields),
  };
}
