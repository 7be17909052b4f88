import type { Backlog } from '../../contract/backlog.js';
import type { BatchStatus, Latency, Throughput } from '../status/ledger.js';
import type { LatestEvent, RejectFigures } from './latestRows.js';
import type { RecentRows, Series } from './pipeline.js';
import type { TimeRange } from './ranges.js';
import type { Behind, ShopFigures } from './shop.js';
import type { StageRate } from './history.js';

/** Everything that the page shows over one range. Parts of the database stay as they were while it is away. */
export interface Snapshot extends CommonFigures, RangeFigures {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly range: TimeRange;
  readonly database: { readonly label: string; readonly problem: DatabaseProblem | null };
  readonly backlog: {
    readonly incoming: BacklogFigures;
    readonly processing: BacklogFigures;
    readonly series: Series<'incoming' | 'processing'>;
  };
  readonly stages: readonly StageRate[];
}

/** Why the tables can not be read. */
export interface DatabaseProblem {
  /** `away`: it may come back by itself. `schema`: somebody has to migrate. `final`: somebody has to change the settings. */
  readonly kind: 'away' | 'schema' | 'final';
  readonly what: string;
  readonly why: string | null;
  readonly hint: string | null;
  readonly sinceMs: number;
}

export type BacklogFigures = Pick<Backlog, 'files' | 'bytes'> & {
  readonly oldestMs: number | null;
  readonly errno: string | null;
};

/** Figures of now, whatever the range; null until they were read once. */
export interface CommonFigures {
  readonly throughput: Throughput | null;
  readonly freshnessMs: number | null;
  readonly filesPerSecond: number | null;
  readonly recent: RecentRows | null;
  readonly latestLatency: Latency | null;
  readonly batches: readonly BatchStatus[];
  /** Events of all time. */
  readonly events: number | null;
  readonly behind: Behind | null;
  readonly latestEvents: readonly LatestEvent[];
}

/** Null until they were read once, and while nothing was loaded. */
export interface RangeFigures {
  readonly shop: ShopFigures | null;
  readonly rates: Series<'inserted' | 'duplicate' | 'rejected'> | null;
  readonly latency: Series<'p50' | 'p99'> | null;
  readonly rejects: RejectFigures | null;
}

export const NO_COMMON_FIGURES: CommonFigures = {
  throughput: null,
  freshnessMs: null,
  filesPerSecond: null,
  recent: null,
  latestLatency: null,
  batches: [],
  events: null,
  behind: null,
  latestEvents: [],
};

export const NO_RANGE_FIGURES: RangeFigures = { shop: null, rates: null, latency: null, rejects: null };
