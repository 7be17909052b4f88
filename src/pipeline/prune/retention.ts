import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../platform/db/target.js';
import { EcompipeError, InterruptedError } from '../../platform/errors.js';
import { countOf } from '../../platform/format.js';
import type { Logger } from '../../platform/log.js';
import { runPrune } from './runPrune.js';

/** Between two prunes: small steps, so that no hour has to remove a month. */
const INTERVAL_MS = 3_600_000;

export interface RetentionSettings {
  /** Age in milliseconds from which on events, archived files and their ledger go. */
  readonly retentionMs: number;
  /** Undefined: loaded files are not archived. */
  readonly archiveDir: string | undefined;
}

/**
 * Prunes at once and every hour, on connections of its own, until closed. Its failure is not the loader's: it is
 * reported, and tried again an hour later.
 */
export function keepRetention(
  { retentionMs, archiveDir }: RetentionSettings,
  database: Database,
  log: Logger,
): { readonly close: () => Promise<void> } {
  const stop = new AbortController();
  const prune = async (): Promise<void> => {
    const settings = {
      before: new Date(Date.now() - retentionMs),
      events: true,
      archive: archiveDir !== undefined,
      ledger: true,
      archiveDir: archiveDir ?? '',
      dryRun: false,
    };
    const { before, events, archive, ledger } = await runPrune(settings, database, stop.signal);
    const counts = { events: events?.rows ?? 0, archivedFiles: archive?.files ?? 0, ledgerFiles: ledger?.files ?? 0 };
    const message = `removed what is older than ${before.toISOString()}: ${countOf(counts.events, 'event')}, ${countOf(counts.archivedFiles, 'archived file')}, ${countOf(counts.ledgerFiles, 'file')} of the ledger`;
    log.info('retention_applied', message, counts);
  };
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await prune();
      } catch (error) {
        if (error instanceof InterruptedError) return;
        if (!(error instanceof EcompipeError)) throw error;
        log.warn('retention_failed', `nothing old is removed for now: ${error.message}; loading continues`);
      }
      await sleep(INTERVAL_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  };
  const running = run();
  // Whoever closes hears of it; until then it must not end the process.
  running.catch(() => undefined);
  return {
    close: async () => {
      stop.abort();
      await running;
    },
  };
}
