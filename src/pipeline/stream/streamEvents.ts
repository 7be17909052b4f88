import type { EcompipeError } from '../../platform/errors.js';
import type { FileSelection, LeftAloneReason } from '../../contract/leftAlone.js';
import type { Feed } from '../../contract/feeds/feed.js';
import type { RejectLimit } from './settingsTable.js';
import type { RowCounts } from './batch.js';
import type { LoadPath } from './ledger.js';

/** What the loader does, where, and how much at once. */
export interface StreamSettings extends FileSelection {
  /**
   * Directory with finished files. Must exist at the start; taken away and put back later is survived.
   * @default 'data/processing'
   */
  readonly inputDir: string;
  /** Connections that load at once. One more holds the ownership and reads the ledger. @default 2 */
  readonly connections: number;
  /** Bytes of CSV that one transaction loads. @default 8388608 */
  readonly batchBytes: number;
  /** What becomes of a loaded file. @default 'archive' */
  readonly afterLoad: 'archive' | 'delete' | 'keep';
  /** Where loaded files go, in a folder for each day. @default 'data/archive' */
  readonly archiveDir: string;
  /** Whether archived files are compressed: `a.csv` becomes `a.csv.gz`. @default false */
  readonly archiveGzip?: boolean;
  /** Where files go that cannot be read at all, in a folder for each day. @default 'data/quarantine' */
  readonly quarantineDir: string;
  /** Directory of the checkpoint file; one stream owns it. @default 'checkpoints' */
  readonly checkpointDir: string;
  /** Where files wait for the mover: never looked into where it lies in `inputDir`. @default none */
  readonly incomingDir?: string | undefined;
  /** Bytes of (decompressed) content of the longest file that is loaded. @default 1099511627776 */
  readonly maxFileBytes?: number;
  /**
   * How many rejected rows of a file end the run.
   * @default only a file that is mostly rejects is given up; see rejectLimits
   */
  readonly maxRejected: RejectLimit | undefined;
  /** The table that the files are for, as `schema.table`. @default 'public.events' */
  readonly table?: string;
  /** Feeds by which files of other shapes are loaded, the first that matches first. @default [] */
  readonly feeds?: readonly Feed[];
  /** Load each file whole or not at all. @default false */
  readonly atomicFile: boolean;
  /** First put back what the ledger does not have of the archived files, and believe no checkpoint. @default false */
  readonly reloadFromArchive?: boolean;
  /**
   * Longest time between two looks at the directory, in milliseconds; change notices only make it look sooner.
   * @default 1000
   */
  readonly pollIntervalMs: number;
}

/** What a run of the loader did. */
export interface StreamResult {
  readonly filesLoaded: number;
  readonly filesRedelivered: number;
  readonly filesQuarantined: number;
  readonly batches: number;
  readonly rows: RowCounts;
  /** Records that a feed left out; absent where no feed was. */
  readonly recordsSkipped?: number;
}

/** Everything the loader tells the outside. */
export type StreamEvent =
  /** It owns its checkpoint directory, the schema and the checkpoint are in order, and it begins to look for files. */
  | { readonly type: 'streamStarted'; readonly inputDir: string; readonly database: string }
  | {
      readonly type: 'batchCommitted';
      readonly batchId: number;
      readonly loadPath: Exclude<LoadPath, 'replay'>;
      readonly files: number;
      readonly bytes: number;
      readonly rows: RowCounts;
      /** The same by file, as far as each is in this batch. */
      readonly rowsByFile: readonly { readonly file: string; readonly rows: RowCounts }[];
      readonly durationMs: number;
    }
  /** Files of archive/ or quarantine/ that the ledger does not have were put back into the input directory. */
  | { readonly type: 'filesReturned'; readonly files: number; readonly directory: string }
  | { readonly type: 'rowsRejected'; readonly file: string; readonly batchId: number; readonly rejected: number }
  /** `writtenAtMs`: its modification time, in milliseconds since 1970. */
  | { readonly type: 'fileLoaded'; readonly file: string; readonly bytes: number; readonly writtenAtMs: number }
  /** The last columns of a file have no name, as where each line ends with a comma. */
  | { readonly type: 'columnsIgnored'; readonly file: string; readonly columns: number }
  | { readonly type: 'fileRedelivered'; readonly file: string; readonly firstName: string }
  /** An entry of the input directory that is not loaded; reported once. */
  | { readonly type: 'fileSkipped'; readonly name: string; readonly reason: LeftAloneReason }
  | { readonly type: 'fileQuarantined'; readonly file: string; readonly reason: string }
  /** The file is where it was and nothing of it was loaded that isn't in the ledger. Tried again after `retryInMs`, or not at all when draining. */
  | {
      readonly type: 'fileFailed';
      readonly file: string;
      readonly error: EcompipeError;
      /** How many of its attempts have failed. */
      readonly attempt: number;
      readonly retryInMs: number | undefined;
    }
  /** An archived file stays as it is; with `isLast` all that would come after it do, too, for the rest of the run. */
  | {
      readonly type: 'fileNotCompressed';
      readonly file: string;
      readonly error: EcompipeError;
      readonly isLast: boolean;
    }
  | { readonly type: 'directoryMissing'; readonly directory: string; readonly error: EcompipeError }
  | { readonly type: 'directoryBack'; readonly directory: string };
