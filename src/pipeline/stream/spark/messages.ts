import type { Dialect } from '../../../contract/csv/dialect.js';

/** What the job and we say to each other: one JSON document a line, over its standard input and output, or a socket (spark/job/Main.scala, Stream.scala). */

/** A file as the job listed it. */
export interface SparkFile {
  /** Absolute path, or URI. */
  readonly path: string;
  /** Relative to the directory that was listed. */
  readonly name: string;
  /** Tells it from another one that takes its name later; of local files as `fileStampOf` has it. */
  readonly fileStamp: string;
  /** Bytes as delivered. */
  readonly size: number;
}

/** Part of a file that ends where rows end: what one executor stages at a time. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  /** 1-based physical line. */
  readonly firstLine: number;
  readonly lines: number;
  readonly rows: number;
  /** COPY can be trusted to see the same rows. */
  readonly plain: boolean;
  readonly crlf: boolean;
}

/** What an executor says of a file. */
export interface Inspection {
  readonly file: SparkFile;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Bytes of the (decompressed) content. */
  readonly size: number;
  /** The first line with its line end, or the first MiB; base64. */
  readonly head: string;
  readonly pieces: readonly Piece[];
  /** null, `gone`, `changed`, `unseen` (gone or changed for the executor only), `gzip` (damaged), or what the file system said. */
  readonly fault: string | null;
}

/** What a task staged. Rows of attempts that are in no such message are nobody's. */
export interface StagedTask {
  readonly attempt: number;
  readonly rows: number;
  /** Indices of pieces whose file is not there any more. */
  readonly missing: readonly number[];
  /** Those of them whose file the driver still sees as it was listed. */
  readonly unseen: readonly number[];
  /** Why PostgreSQL refused, where another attempt would change nothing. */
  readonly refusal?: { readonly sqlState: string; readonly message: string };
}

export type FromJob =
  | { readonly type: 'ready'; readonly spark: string; readonly master: string }
  /** The query looks for files from now on. */
  | { readonly type: 'started' }
  /** A micro-batch: it waits for commands until `done`. */
  | { readonly type: 'batch'; readonly id: number; readonly files: readonly Inspection[] }
  | { readonly type: 'cut'; readonly id: number; readonly files: readonly Inspection[] }
  | { readonly type: 'staged'; readonly id: number; readonly tasks: readonly StagedTask[] }
  | { readonly type: 'put'; readonly id: number }
  /** The answer about a text; null where there is none. */
  | { readonly type: 'text'; readonly id: number; readonly text: string | null }
  /** The Spark job of a command failed for good: so many attempts of a task did. */
  | { readonly type: 'failed'; readonly id: number; readonly message: string }
  | { readonly type: 'finished' }
  | { readonly type: 'died'; readonly message: string };

export interface StageCommand {
  readonly type: 'stage';
  readonly table: string;
  /** Each record as text with its place and bytes; else the file's own bytes into typed columns. */
  readonly asText: boolean;
  readonly pieces: readonly (Pick<Piece, 'start' | 'end' | 'firstLine' | 'crlf'> & {
    readonly index: number;
    readonly file: SparkFile;
    readonly firstOrdinal: number;
    readonly columns: readonly string[];
    /** Fields of a record behind those of the columns, which must be empty. */
    readonly unnamed: number;
  })[];
}

/** A pattern of file names. */
export interface Glob {
  /** The pattern as a regular expression. */
  readonly expression: string;
  /** About the whole name, not about the last part only. */
  readonly isOfPath: boolean;
}

/** What the job has to know of a feed. */
export interface FeedFormat {
  /** The names of its files. */
  readonly match: readonly Glob[];
  readonly format: Dialect & {
    /** Physical lines before the first record. */
    readonly headerLines: number;
    /** Unquoted texts of fields that mean NULL. */
    readonly nulls: readonly string[];
    /** PostgreSQL's name. */
    readonly encoding: string;
  };
}

/** Which files of the directory are to be loaded, and how they are cut. */
export interface Selection {
  /** The first one that is for a file counts; of files without one, the names of the header are columns. */
  readonly feeds: readonly FeedFormat[];
  readonly recursive: boolean;
  readonly include: readonly Glob[];
  readonly exclude: readonly Glob[];
  /** Directories of ours that may lie in the one that is listed. */
  readonly ownDirs: readonly string[];
}

/** A file that stays where it is. */
export interface LeftFile {
  readonly path: string;
  readonly fileStamp: string;
  /** When it may be looked at again; -1: never, unless it changes. */
  readonly forMs: number;
  /** A part of it is loaded, and the next micro-batch goes on with it. */
  readonly isUnfinished?: boolean;
}

export type ToJob =
  | {
      readonly type: 'start';
      readonly inputDir: string;
      readonly checkpointDir: string;
      readonly once: boolean;
      readonly maxFiles: number;
      readonly maxBytes: number;
      /** A file of more bytes is inspected beside the micro-batches. */
      readonly largeBytes: number;
      readonly triggerMs: number;
      readonly pieceBytes: number;
      /** Most bytes of a file's content. */
      readonly maxFileBytes?: number | undefined;
      readonly selection: Selection;
      readonly database: {
        readonly url: string;
        readonly properties: Readonly<Record<string, string>>;
        /** What each connection executes before all else. */
        readonly session: string;
      };
    }
  | StageCommand
  | { readonly type: 'cut'; readonly file: SparkFile; readonly offset: number; readonly lines: number }
  /** For files that only the job reaches: into a directory, with a reason beside it, or without one deleted. */
  | { readonly type: 'dispose'; readonly file: SparkFile; readonly directory?: string; readonly reason?: string }
  /** For small texts that only the job reaches: at any time from `ready` to `finished`. `isNew`: nothing is written where there is one. */
  | {
      readonly type: 'read' | 'write' | 'remove';
      readonly path: string;
      readonly text?: string;
      readonly isNew?: boolean;
    }
  | { readonly type: 'done'; readonly leave: readonly LeftFile[] }
  | { readonly type: 'stop' };
