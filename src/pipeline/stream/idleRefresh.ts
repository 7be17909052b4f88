import { refreshAnalytics, RollupRefresher } from '../../contract/rollups.js';
import type { Database } from '../../platform/db/target.js';
import type { Logger } from '../../platform/log.js';
import { countOf } from '../../platform/format.js';

/** Shortest time between two refreshes, in milliseconds: the views are right without, only slower. */
const INTERVAL_MS = 5000;

/**
 * Brings the rollups behind the analytics views up to date while there is nothing to load, one refresh at a time.
 */
export class IdleRefresh {
  private readonly stop = new AbortController();
  private readonly refresher: RollupRefresher;
  private running: Promise<void> | undefined;
  private lastEndMs = -Infinity;
  private isDue = true;

  constructor(
    database: Database,
    private readonly log: Logger,
  ) {
    this.refresher = new RollupRefresher(
      () => database.open(),
      (why) =>
        log.warn(
          'analytics_not_refreshed',
          `the analytics views are not kept up to date by this stream: ${why}; loading continues`,
        ),
    );
  }

  /** Something was committed: the next idle moment is worth a refresh. */
  readonly committed = (): void => {
    this.isDue = true;
  };

  /** Starts a refresh, if there is something to do, none is running and the last one is a while ago. */
  readonly whenIdle = (): void => {
    if (
      this.running !== undefined ||
      !this.isDue ||
      this.refresher.refused ||
      performance.now() - this.lastEndMs < INTERVAL_MS
    )
      return;
    this.isDue = false;
    this.running = this.refresh().finally(() => {
      this.lastEndMs = performance.now();
      this.running = undefined;
    });
  };

  /** Waits for the transaction that is open, at most. */
  async close(): Promise<void> {
    this.stop.abort();
    await this.running;
    await this.refresher.close();
  }

  private async refresh(): Promise<void> {
    const batches = await this.refresher.attempt((connection) => refreshAnalytics(connection, this.stop.signal));
    if (batches === undefined) this.isDue = true;
    else
      this.log.debug('analytics_refreshed', `${countOf(batches, 'batch', 'batches')} added to the analytics views`, {
        batches,
      });
  }
}
