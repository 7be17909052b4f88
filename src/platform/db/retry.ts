import { formatSpan } from '../format.js';
import type { Logger } from '../log.js';
import { InterruptedError } from '../errors.js';
import { pause } from '../wait.js';
import { ServerSilentError } from './liveness.js';
import { fatalDatabaseError, unavailableError } from './errors.js';
import { classifyError, hintFor, isCancelled, serverMessage, sqlStateOf } from './sqlState.js';

/** What those who watch over a process want to know of its database. */
export type DatabaseEvent =
  /** A failure that is tried again; without a SQLSTATE it is the network's. */
  | { readonly type: 'databaseRetry'; readonly sqlState: string | undefined; readonly delayMs: number }
  | { readonly type: 'databaseBack'; readonly awayMs: number }
  /** It has not answered for so long on a connection that is open; see Heartbeat. */
  | { readonly type: 'databaseSilent'; readonly silentMs: number }
  | { readonly type: 'databaseHeard'; readonly silentMs: number };

export interface RetrySettings {
  /** How long failures in a row are borne, in milliseconds, before the error goes up (exit 69). */
  readonly retryForMs: number;
  readonly log: Logger;
  /** Ends the waiting. */
  readonly stop: AbortSignal;
  readonly onEvent?: ((event: DatabaseEvent) => void) | undefined;
}

const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 5000;

/**
 * Runs `attempt` until it succeeds, with exponential back-off and full jitter (Brooker, "Exponential Backoff and
 * Jitter", 2015) between attempts that failed for a passing reason.
 * @throws what `attempt` threw when it is a bug or about a row, an explained error when fatal or out of time (69), InterruptedError (130)
 * when stopped meanwhile.
 */
export async function withRetry<T>(what: string, settings: RetrySettings, attempt: () => Promise<T>): Promise<T> {
  let failingSince: number | undefined;
  for (let failures = 0; ; failures++) {
    try {
      const result = await attempt();
      if (failingSince !== undefined) {
        const awayMs = performance.now() - failingSince;
        settings.log.info(
          'database_back',
          `the database is back after ${formatSpan(awayMs)}: ${what.replace(/^cannot /, 'can ')} again`,
        );
        settings.onEvent?.({ type: 'databaseBack', awayMs });
      }
      return result;
    } catch (error) {
      const kind = classifyError(error);
      if (kind === 'fatal') throw fatalDatabaseError(what, error);
      if (kind !== 'retry') throw error;
      if (settings.stop.aborted)
        throw new InterruptedError({
          what: `stopped while ${isCancelled(error) ? 'a statement was under way' : 'the database was away'}; ${what}`,
          why: serverMessage(error),
          outcome: `it was rolled back and nothing is lost, start again${isCancelled(error) ? '' : ' when it is back'}`,
          cause: error,
        });
      // What went well for an hour before must not count: the database is away since now, or since it fell silent.
      failingSince ??= silentSince(error) ?? performance.now();
      const waitedMs = performance.now() - failingSince;
      if (waitedMs >= settings.retryForMs) throw unavailableError(what, error, waitedMs);
      const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
      const delayMs = Math.min(ceiling * (0.5 + Math.random() / 2), settings.retryForMs - waitedMs);
      const message = `${what}: ${serverMessage(error)}; trying again ${failures === 0 ? explainRetries(error, settings) : `in ${Math.ceil(delayMs)} ms`}`;
      // Once is enough to know; what follows is for who looks for it.
      settings.log[failures === 0 ? 'warn' : 'debug']('database_retry', message, {
        sqlState: sqlStateOf(error),
        delayMs: Math.round(delayMs),
      });
      settings.onEvent?.({ type: 'databaseRetry', sqlState: sqlStateOf(error), delayMs });
      await pause(delayMs, settings.stop);
    }
  }
}

/** When the server was last heard of, where the connection was given up for its silence. */
function silentSince(error: unknown): number | undefined {
  return error instanceof Error && error.cause instanceof ServerSilentError ? error.cause.silentSinceMs : undefined;
}

/** Said at the first failure, so that nobody has to wait for the end to learn what to do. */
function explainRetries(error: unknown, { retryForMs }: RetrySettings): string {
  const hint = hintFor(error);
  return `for up to ${Math.ceil(retryForMs / 1000)} s (--retry-for)${hint === undefined ? '' : `\n  hint: ${hint}`}`;
}

/** Whether the database answers, as far as this process knows. */
export class DatabaseAvailability {
  private retryingSinceMs: number | undefined;
  private silentSinceMs: number | undefined;

  /** Since when it has been away, on the clock of performance.now(); undefined while it answers. */
  get awaySinceMs(): number | undefined {
    return this.silentSinceMs ?? this.retryingSinceMs;
  }

  observe(event: DatabaseEvent): void {
    const nowMs = performance.now();
    switch (event.type) {
      case 'databaseRetry':
        this.retryingSinceMs ??= nowMs;
        break;
      case 'databaseBack':
        this.retryingSinceMs = undefined;
        break;
      case 'databaseSilent':
        this.silentSinceMs ??= nowMs - event.silentMs;
        break;
      case 'databaseHeard':
        this.silentSinceMs = undefined;
        break;
    }
  }
}
