/** What is to be removed. */
export interface PruneSettings {
  /** Everything older goes. */
  readonly before: Date;
  /** Rows of `public.events`, by `event_time`. @default false */
  readonly events: boolean;
  /** Files in archive/, by the day they were loaded: whole days that ended before `before`. @default false */
  readonly archive: boolean;
  /** Files and batches of the ledger that ended before `before` and of which no event is left. @default false */
  readonly ledger: boolean;
  /** Where loaded files are. @default 'data/archive' */
  readonly archiveDir: string;
  /** Count, and remove nothing. @default false */
  readonly dryRun: boolean;
}

export interface PrunedEvents {
  readonly rows: number;
  /** Partitions that were dropped whole; their rows are in `rows`. */
  readonly partitions: readonly string[];
}

export interface PrunedArchive {
  readonly files: number;
  readonly bytes: number;
}

/** With `dryRun` the most that can go: a file stays in the ledger as long as an event of it is in the table. */
export interface PrunedLedger {
  readonly files: number;
  readonly batches: number;
  readonly rejects: number;
  /** Of `rejects`, those that nobody had corrected. */
  readonly openRejects: number;
}

/** What was asked for and went, or would go; null: not asked for. */
export interface PruneResult {
  readonly outcome: 'pruned' | 'would-prune';
  readonly before: Date;
  readonly events: PrunedEvents | null;
  readonly archive: PrunedArchive | null;
  readonly ledger: PrunedLedger | null;
}
