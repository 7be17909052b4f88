import { countOf } from '../platform/format.js';
import type { Logger } from '../platform/log.js';
import type { StreamFigures } from '../pipeline/stream/streamEventTable.js';

const INTERVAL_MS = 60_000;

/** Lines about rejects that what is drawn on a terminal counts: one by one they would scroll everything else away. */
const COUNTED: ReadonlySet<string> = new Set(['rows_rejected', 'more_rows_rejected', 'file_quarantined']);

/** Leaves lines about single rejects to debug level. */
export function demoteRejects(log: Logger): Logger {
  return {
    ...log,
    warn: (event, message, fields) => (COUNTED.has(event) ? log.debug : log.warn)(event, message, fields),
  };
}

/** Says every minute what was rejected in it. @returns ends it. */
export function reportRejects(figures: Readonly<StreamFigures>, log: Logger): () => void {
  const timer = setInterval(createRejectReport(figures, log), INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** Each call says what was rejected since the last one; nothing, if nothing was. */
export function createRejectReport(figures: Readonly<StreamFigures>, log: Logger): () => void {
  let before = { rows: 0, files: 0 };
  return () => {
    const now = { rows: figures.rows.rejected, files: figures.filesQuarantined };
    const [rows, files] = [now.rows - before.rows, now.files - before.files];
    before = now;
    if (rows + files === 0) return;
    const what = [
      ...(rows === 0 ? [] : [`${countOf(rows, 'row')} rejected`]),
      ...(files === 0 ? [] : [`${countOf(files, 'file')} quarantined`]),
    ].join(' and ');
    log.warn('rejected_meanwhile', `${what} in the last minute: \`ecompipe rejects list\` says why`, { rows, files });
  };
}
