/** What is proved against what. */
export interface VerifySettings {
  /**
   * Directory with the generator's manifests, `*.jsonl`, all of which together say what must be in the table; or one of them.
   * @default 'data/incoming/.manifest'
   */
  readonly manifestDir: string;
  /**
   * Where files may lie that are not loaded yet, besides the directory they were generated into. One that the ledger does
   * not know and that is in none of them is lost.
   * @default ['data/incoming', 'data/processing']
   */
  readonly waitingDirs: readonly string[];
  /**
   * Where loaded files may lie. Their bytes are only read to name rows when a sum differs.
   * @default ['data/archive', 'data/processing', 'data/quarantine']
   */
  readonly loadedDirs: readonly string[];
  /** Files that are not loaded yet do not count as a fault. @default false */
  readonly allowPending?: boolean | undefined;
  /** Connections that read the table at once. @default 2 */
  readonly connections?: number | undefined;
}

/** What can be off, in the order in which it is reported. */
export const FINDING_KINDS = [
  'lost',
  'duplicated',
  'corrupted',
  'wronglyAccepted',
  'wronglyRejected',
  'wronglyQuarantined',
  'wronglyLoaded',
  'miscounted',
  'unproven',
] as const;

/**
 * - `lost`: a row that must be in the table and isn't, or a rejected row of which nothing was kept.
 * - `duplicated`: a row in the table that no file has, most often a copy under another id.
 * - `corrupted`: the table has the row with other content.
 * - `wronglyAccepted`, `wronglyRejected`: rows on the wrong side.
 * - `wronglyQuarantined`, `wronglyLoaded`: files on the wrong side.
 * - `miscounted`: a file of which the ledger counted other rows than it has.
 * - `unproven`: rows that can't be told from those of other files, as they share a batch and the file's bytes are gone.
 */
export type FindingKind = (typeof FINDING_KINDS)[number];

/** One example of what is off. */
export interface Finding {
  readonly kind: FindingKind;
  readonly file?: string;
  /** Physical line in the file, from 1. */
  readonly line?: number;
  readonly eventId?: string;
  readonly detail: string;
}

export interface VerifyResult {
  /** Nothing is off, and nothing is pending unless that is allowed. */
  readonly ok: boolean;
  readonly runs: number;
  /** Contents that the manifests name; the same bytes twice count once. */
  readonly files: number;
  /** Rows that the table must hold because of the files that are loaded. */
  readonly rows: number;
  /** How many rows (files for the kinds that are about files) are off, by kind. */
  readonly counts: Readonly<Record<FindingKind, number>>;
  readonly pendingFiles: number;
  readonly pendingRows: number;
  /** Files that ecompipe prune removed events of: nothing is claimed of them, nor of their rows. */
  readonly prunedFiles: number;
  readonly prunedRows: number;
  /** Rows expected as duplicates and rejects, and files expected in quarantine: all where they should be when `ok`. */
  readonly duplicates: number;
  readonly rejects: number;
  readonly quarantined: number;
  /** Rows of `public.events` that were looked at, those of others included. */
  readonly rowsScanned: number;
  /** At most a hundred examples. */
  readonly findings: readonly Finding[];
  readonly durationMs: number;
}

/** Everything verify tells the outside. */
export type VerifyEvent =
  | { readonly type: 'manifestsRead'; readonly runs: number; readonly files: number; readonly faults: number }
  | { readonly type: 'tableScanned'; readonly share: number; readonly rows: number }
  | { readonly type: 'filesCompared'; readonly files: number; readonly of: number };
