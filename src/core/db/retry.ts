import type { Logger } from '../runtime/log.js';
import { pause } from '../runtime/wait.js';
import { fatalDatabaseError, unavailableError } from './errors.js';
import { classifyError, serverWords, sqlStateOf } from './sqlState.js';

export interface RetrySettings {
  /** How long failures in a row are borne, in milliseconds, before the error goes up (exit 69). */
  readonly retryForMs: number;
  readonly log: Logger;
  /** Ends the waiting; the last error is thrown then. */
  readonly stop: AbortSignal;
}

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 5000;

/**
 * Runs `attempt` until it succeeds, with exponential back-off and full jitter (Brooker, "Exponential Backoff and
 * Jitter", 2015) between attempts that failed for a passing reason.
 * @throws what `attempt` threw when it is a bug or about a row, an explained error when fatal or out of time.
 */
export async function withRetry<T>(what: string, settings: RetrySettings, attempt: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      const kind = classifyError(error);
      if (kind === 'fatal') throw fatalDatabaseError(what, error);
      if (kind !== 'retry') throw error;
      const waitedMs = performance.now() - startedAt;
      if (waitedMs >= settings.retryForMs || settings.stop.aborted) throw unavailableError(what, error, waitedMs);
      const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
      const delayMs = Math.min(ceiling * (0.5 + Math.random() / 2), settings.retryForMs - waitedMs);
      settings.log.warn('database_retry', `${what}: ${serverWords(error)}; trying again in ${Math.ceil(delayMs)} ms`, { sqlState: sqlStateOf(error), delayMs: Math.round(delayMs) });
      await pause(delayMs, settings.stop);
    }
  }
}
