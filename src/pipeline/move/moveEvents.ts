import type { LeftAloneReason } from '../../contract/leftAlone.js';
import type { ListOptions } from '../../contract/listFiles.js';
import type { EcompipeError } from '../../platform/errors.js';

/** What the mover does and where. Files of subdirectories keep their relative paths in `to`; emptied ones are left to their producers. */
export interface MoveSettings extends ListOptions {
  /**
   * Directory that producers write to. Must exist at the start; taken away and put back later is survived.
   * @default 'data/incoming'
   */
  readonly from: string;
  /**
   * Directory that the loader reads. Created with its parents, again too if it is taken away.
   * @default 'data/processing'
   */
  readonly to: string;
  /**
   * How long a file must stay unchanged before it counts as finished, in milliseconds. Must be longer than the longest
   * pause its producer makes while writing; producers that write elsewhere and rename need 0.
   * @default 1000
   */
  readonly settleMs: number;
  /**
   * Says which files are known to be finished, because this process published them by rename. A name alone proves
   * nothing: whoever copies a file of our generator into `from` writes it under that name from the first byte on.
   * @default no file is
   */
  readonly isPublished?: ((name: string) => boolean) | undefined;
  /** Never more loadable files than this in `to` (with several movers: this many and a few). @default no limit */
  readonly maxBacklog?: number | undefined;
  /**
   * Longest time between two looks at `from`, in milliseconds; change notices only make it look sooner.
   * @default 1000
   */
  readonly pollIntervalMs: number;
}

/** What a run of the mover did. */
export interface MoveResult {
  readonly filesMoved: number;
  readonly bytesMoved: number;
  /** Files that a draining mover left because they were still being written. The next run takes them. */
  readonly filesStillWritten: readonly string[];
}

/** Why an entry of `from` is not moved for now; empty: its producer has opened it, and moving it would cut it off. */
export type SkipReason = LeftAloneReason | 'empty';

/** Everything the mover tells the outside. Names are relative to `from`, targets to `to`. */
export type MoveEvent =
  | { readonly type: 'fileMoved'; readonly name: string; readonly target: string; readonly bytes: number }
  /** Seen for the first time, or changed since: it must stay unchanged for `settleMs` from now. */
  | { readonly type: 'fileWaiting'; readonly name: string; readonly settleMs: number }
  /** Told once a file and reason. */
  | { readonly type: 'fileSkipped'; readonly name: string; readonly reason: SkipReason }
  /** The source is intact. Tried again after `retryInMs`, or not at all when draining. */
  | {
      readonly type: 'fileFailed';
      readonly name: string;
      readonly error: EcompipeError;
      readonly attempt: number;
      readonly retryInMs: number | undefined;
    }
  | { readonly type: 'backlogFull'; readonly backlog: number; readonly maxBacklog: number }
  | { readonly type: 'directoryMissing'; readonly directory: string; readonly error: EcompipeError }
  | { readonly type: 'directoryBack'; readonly directory: string }
  /** A killed process had left it in `to`. */
  | { readonly type: 'temporaryRemoved'; readonly name: string };
