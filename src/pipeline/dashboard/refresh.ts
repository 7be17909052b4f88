import { openConnection, type Connection } from '../../core/db/client.js';
import { classifyError, serverWords } from '../../core/db/sqlState.js';
import type { Database } from '../../core/db/target.js';
import type { Logger } from '../../core/runtime/log.js';
import { pause } from '../../core/runtime/wait.js';

const SHORTEST_PAUSE_MS = 2000;
/** While rows are being loaded, refreshing takes at most a tenth of the time: the loader comes first. */
const PAUSE_PER_WORK = 9;

/**
 * Keeps the rollups of the shop up to date while somebody looks at them: a busy loader never does it by itself. One
 * transaction at a time, each of half a million rows at most; on a connection of its own.
 */
export class RollupRefresher {
  private connection: Connection | undefined;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
  ) {}

  /**
   * Refreshes until `stop`, or until the role turns out to have no right to.
   * @param isWanted somebody looks. @param isLoading rows were committed in the last seconds.
   */
  async run(stop: AbortSignal, isWanted: () => boolean, isLoading: () => boolean): Promise<void> {
    try {
      while (!stop.aborted) {
        const startMs = performance.now();
        const batches = isWanted() ? await this.refreshOnce() : 0;
        if (batches === undefined) return;
        const workMs = performance.now() - startMs;
        // More may be pending than one refresh takes. While rows are loaded it is the loader's turn first, and not longer than that.
        if (batches === 0) await pause(SHORTEST_PAUSE_MS, stop);
        for (let restedMs = 0; isLoading() && restedMs < PAUSE_PER_WORK * workMs; restedMs += SHORTEST_PAUSE_MS) await pause(SHORTEST_PAUSE_MS, stop);
      }
    } finally {
      await this.connection?.close();
    }
  }

  /** @returns how many batches were added; undefined when trying again makes no sense. */
  private async refreshOnce(): Promise<number | undefined> {
    try {
      if (this.connection?.broken === true) this.connection = undefined;
      this.connection ??= await openConnection(this.database.settings);
      const { rows } = await this.connection.client.query<{ batches: number }>('select analytics.refresh() as batches');
      return rows[0]?.batches ?? 0;
    } catch (error) {
      void this.connection?.close();
      this.connection = undefined;
      // Away, or without a schema yet: another time.
      if (classifyError(error) === 'retry' || isMissing(error)) return 0;
      this.log.warn('analytics_not_refreshed', `the dashboard can not bring the figures of the shop up to date: ${serverWords(error)}; it shows those that others refresh`);
      return undefined;
    }
  }
}

function isMissing(error: unknown): boolean {
  return ['3F000', '42883', '42P01'].includes((error as { code?: string }).code ?? '');
}
