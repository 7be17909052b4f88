/** What is to be taken out, and how. */
export interface UndoSettings {
  /** Name of a file, or its SHA-256 in hexadecimal. Either this or `batchId`. @default none */
  readonly file: string | undefined;
  /** Number of a batch. Either this or `file`. @default none */
  readonly batchId: number | undefined;
  /** Do everything, then roll back. @default false */
  readonly dryRun: boolean;
  /** Where loaded files may lie. @default ['data/archive'] */
  readonly loadedDirs: readonly string[];
  /** Where files may lie that wait to be loaded; looked into after `loadedDirs`. @default ['data/processing'] */
  readonly waitingDirs: readonly string[];
}

export interface UndoneFile {
  readonly name: string;
  readonly sha256: string;
  /** Where its bytes are now, if they were found. */
  readonly path: string | undefined;
  /** It lies where a stream would take it. */
  readonly isWaiting: boolean;
}

export interface UndoResult {
  /** `already-undone`: nothing was left to do. */
  readonly outcome: 'undone' | 'would-undo' | 'already-undone';
  readonly target: string;
  readonly files: readonly UndoneFile[];
  readonly batchIds: readonly number[];
  readonly eventsRemoved: number;
  /** Events that the ledger counted and the table no longer had. */
  readonly eventsMissing: number;
  readonly rejectsRemoved: number;
  readonly duplicatesRemoved: number;
  readonly redeliveriesRemoved: number;
  /** Rows of other files that were not loaded because their event was there already: it is not any more. */
  readonly strandedDuplicates: readonly { readonly file: string; readonly rows: number }[];
  /** Rejects that are open again. */
  readonly rejectsReopened: number;
  /** The rollups begin anew: views are exact at once, and slow until they are refreshed. */
  readonly rollupsRebuilt: boolean;
}
