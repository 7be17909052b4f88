import { refreshOnce, RollupRefresher } from '../../contract/rollups.js';
import type { Database } from '../../platform/db/target.js';
import type { Logger } from '../../platform/log.js';
import { pause } from '../../platform/wait.js';

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
 * transaction at a time, each of half a million rows at most. Returns at `stop`, or when the role turns out to have no
 * right to.
 */
export async function refreshWhileWatched(
  database: Database,
  log: Logger,
  stop: AbortSignal,
  needs: RefreshNeeds,
): Promise<void> {
  const refresher = new RollupRefresher(
    () => database.openUnwatched(),
    (why) =>
      log.warn(
        'analytics_not_refreshed',
        `the dashboard cannot bring the figures of the shop up to date: ${why}; it shows those that others refresh`,
      ),
  );
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
      const batches = isNeeded && isItsTurn ? ((await refresher.attempt(refreshOnce)) ?? 0) : 0;
      if (refresher.refused) return;
      if (batches > 0) restingSinceMs = performance.now();
      // More may be pending than one refresh takes.
      if (batches === 0 || needs.isLoading) await pause(MIN_PAUSE_MS, stop);
    }
  } finally {
    await refresher.close();
  }
}
