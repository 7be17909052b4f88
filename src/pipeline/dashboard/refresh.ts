import type { Connection } from '../../platform/db/client.js';
import { classifyError, serverMessage } from '../../platform/db/sqlState.js';
import type { Database } from '../../platform/db/target.js';
import type { Logger } from '../../platform/log.js';
import { pause } from '../../platform/wait.js';
import { integer, queryRow } from '../../platform/db/decodeRows.js';

const MIN_PAUSE_MS = 2000;
/** While rows are being loaded, refreshing takes at most a fiftieth of the time: the loader comes first. */
const PAUSE_PER_WORK = 49;
/** What a refresh takes, measured over ten million rows on two cores, and how many it takes at once (sql/003_analytics.sql). */
const MS_PER_ROW = 0.006;
const MAX_ROWS = 500_000;

/** What the refresher goes by. */
export interface RefreshNeeds {
  /** Somebody looks. */
  readonly isWatched: boolean;
  /** Rows were committed in the last seconds. */
  readonly isLoading: boolean;
  /** Rows that the rollups do not hold yet. */
  readonly pendingRows: number;
}

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

  /** Refreshes until `stop`, or until the role turns out to have no right to. */
  async run(stop: AbortSignal, needs: RefreshNeeds): Promise<void> {
    let restingSinceMs = performance.now();
    try {
      while (!stop.aborted) {
        const nowMs = performance.now();
        // A rest before the load began does not count: a short load would meet a refresh as long as itself.
        if (!needs.isLoading) restingSinceMs = nowMs;
        const expectedMs = Math.min(needs.pendingRows, MAX_ROWS) * MS_PER_ROW;
        const isItsTurn = !needs.isLoading || nowMs - restingSinceMs >= PAUSE_PER_WORK * expectedMs;
        // Not to see what there is: at the start of a load that is not known to be one yet, it may be much.
        const isNeeded = needs.isWatched && needs.pendingRows > 0;
        const batches = isNeeded && isItsTurn ? await this.refreshOnce() : 0;
        if (batches === undefined) return;
        if (batches > 0) restingSinceMs = performance.now();
        // More may be pending than one refresh takes.
        if (batches === 0 || needs.isLoading) await pause(MIN_PAUSE_MS, stop);
      }
    } finally {
      await this.connection?.close();
    }
  }

  /** @returns how many batches were added; undefined when trying again makes no sense. */
  private async refreshOnce(): Promise<number | undefined> {
    try {
      if (this.connection?.broken === true) this.connection = undefined;
      this.connection ??= await this.database.openUnwatched();
      const { batches } = await queryRow(
        this.connection.client,
        { batches: integer },
        'select analytics.refresh() as batches',
      );
      return batches;
    } catch (error) {
      void this.connection?.close();
      this.connection = undefined;
      // Away, or without a schema yet: another time.
      if (classifyError(error) === 'retry' || isMissing(error)) return 0;
      this.log.warn(
        'analytics_not_refreshed',
        `the dashboard can not bring the figures of the shop up to date: ${serverMessage(error)}; it shows those that others refresh`,
      );
      return undefined;
    }
  }
}

function isMissing(error: unknown): boolean {
  return ['3F000', '42883', '42P01'].includes((error as { code?: string }).code ?? '');
}
