/**
 * What the loader does for other stages, which can't import it: commands and the library hand it over as a function.
 */
import type { Connection } from '../platform/db/client.js';
import type { Database } from '../platform/db/target.js';

/** Why the database, or the structure of the CSV, does not accept a row. */
export interface RejectReason {
  /** `malformed`: no row by structure or encoding; `invalid`: breaks a type or constraint; `conflict`: same key, other content. */
  readonly kind: 'malformed' | 'invalid' | 'conflict';
  readonly sqlState: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly message: string;
}

/** A feed as the ledger keeps it: as it was when it loaded something. */
export interface StoredFeed {
  readonly name: string;
  readonly text: string;
}

/** A rejected row as a person has corrected it: a text or NULL for each of its columns. */
export interface CorrectedRow {
  readonly rejectId: number;
  /** Line in the file of corrections. */
  readonly line: number;
  readonly columns: readonly string[];
  readonly fields: readonly (string | null)[];
}

/** A rejected record of a feed's file as a person has corrected it. */
export interface CorrectedRecord extends Pick<CorrectedRow, 'rejectId' | 'line'> {
  /** A text or NULL for each field of its file. */
  readonly fields: readonly (string | null)[];
  /** Which row of the record was rejected, from 1; 0: the record. */
  readonly item: number;
  /** The record as it came, where one of its rows was rejected: that shows whether it still makes as many. */
  readonly original: readonly (string | null)[] | undefined;
  /** Its file, as it was called when it was loaded. */
  readonly file: string;
  /** Number of the record in its content, from 1; null where the feed does not ask for it. */
  readonly recordNumber: number | null;
}

/** Corrections that load together. */
export type CorrectedBatch =
  | { readonly feed: undefined; readonly rows: readonly CorrectedRow[] }
  | {
      readonly feed: StoredFeed;
      /** Fields of the files that the records are of. */
      readonly fields: readonly string[];
      readonly rows: readonly CorrectedRecord[];
    };

/** A corrected row that is still wrong: its reject stays open. */
export interface RejectedAgain extends Pick<CorrectedRow, 'rejectId' | 'line'> {
  readonly reason: RejectReason;
}

/** What became of corrected rows; a record of a feed counts once, whatever number of rows it makes. */
export interface CorrectedLoad {
  readonly rows: {
    readonly read: number;
    readonly inserted: number;
    readonly duplicate: number;
    readonly rejected: number;
  };
  /** Rows whose reject another replay had resolved before: nothing was done with them. */
  readonly resolvedBefore: number;
  /** Rows whose reject is not there (any more). */
  readonly unknown: number;
  readonly batchIds: readonly number[];
  /** The first of them, at most a thousand. */
  readonly rejectedAgain: readonly RejectedAgain[];
}

/** Loads corrected rows, exactly once: stream's `replayRows`, for `rejects`. */
export type LoadCorrected = (
  batches: AsyncIterable<CorrectedBatch>,
  database: Database,
  stop: AbortSignal,
) => Promise<CorrectedLoad>;

/** A small file that was loaded whole, and the feed that it was loaded by, as the ledger has it. */
export interface LoadedByFeed {
  readonly feed: StoredFeed;
  /** As it was called when it was loaded: its feed's SQL may ask for it. */
  readonly file: string;
  /** Its (decompressed) content. */
  readonly bytes: Buffer;
}

/** A row that a feed makes of a file. */
export interface RemadeRow {
  /** Its primary key, as the ledger writes it. */
  readonly key: string;
  /** Of its record, in the content. */
  readonly byteOffset: number;
  /** Physical line of its record, from 1. */
  readonly line: number;
  /** Which row of its record it is, from 1; 0: the only one. */
  readonly item: number;
}

/** Makes the rows of a file again by its feed, and inserts none: stream's `remakeRows`, for `undo`. */
export type RemakeRows = (connection: Connection, loaded: LoadedByFeed) => Promise<readonly RemadeRow[]>;
