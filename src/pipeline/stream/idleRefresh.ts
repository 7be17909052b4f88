import { refreshAnalytics } from '../../contract/rollups.js';
import type { Connection } from '../../platform/db/client.js';
import { classifyError, serverMessage } from '../../platform/db/sqlState.js';
import type { Database } from '../../platform/db/target.js';
import type { Logger } from '../../platform/log.js';
import { countOf } from '../../platform/format.js';

/** Shortest time between two refreshes, in milliseconds: the views are right without, only slower. */
const INTERVAL_MS = 5000;

/**
 * Brings the rollups behind the analytics views up to date while there is nothing to load. On a connection of its own,
 * one refresh at a time. That it fails (a role without the right, the database away) is no failure of the loader.
 */
export class IdleRefresh {
  private readonly stop = new AbortController();
  private connection: Connection | undefined;
  private running: Promise<void> | undefined;
  private lastEndMs = -Infinity;
  private isDue = true;
  private hasFailed = false;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
  ) {}

  /** Something was committed: the next idle moment is worth a refresh. */
  readonly committed = (): void => {
    this.isDue = true;
  };

  /** Starts a refresh, if there is something to do, none is running and the last one is a while ago. */
  readonly whenIdle = (): void => {
    if (this.running !== undefined || !this.isDue || this.hasFailed || performance.now() - this.lastEndMs < INTERVAL_MS)
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
    await this.connection?.close();
  }

  private async refresh(): Promise<void> {
    try {
      if (this.connection?.broken === true) this.connection = undefined;
      this.connection ??= await this.database.open();
      const batches = await refreshAnalytics(this.connection, this.stop.signal);
      this.log.debug('analytics_refreshed', `${countOf(batches, 'batch', 'batches')} added to the analytics views`, {
        batches,
      });
    } catch (error) {
      this.isDue = true;
      if (classifyError(error) === 'retry') return;
      this.hasFailed = true;
      this.log.warn(
        'analytics_not_refreshed',
        `the analytics views are not kept up to date by this stream: ${serverMessage(error)}; loading goes on`,
      );
    }
  }
}
