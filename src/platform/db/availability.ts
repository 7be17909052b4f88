import type { DatabaseEvent } from './retry.js';

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
