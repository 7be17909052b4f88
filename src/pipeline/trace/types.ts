/** A row of a file. */
export interface RowPlace {
  readonly file: string;
  readonly sha256: string;
  /** Physical line, from 1; the first line of the range where the row itself can't be found any more. */
  readonly line: number;
  readonly byteOffset: number;
  readonly batchId: number;
}

/** Where an event in the table came from. */
export interface Origin {
  readonly file: string;
  readonly sha256: string;
  /** Line of its row; undefined when the file's bytes are gone, and the range is all that is known. */
  readonly line: number | undefined;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly firstLine: number;
  readonly rows: number;
}

export interface TracedEvent {
  /** As `eventTime`, null only where the table was changed to allow it. */
  readonly eventType: string | null;
  readonly eventTime: Date | null;
  readonly ingestedAt: Date;
  /** Undefined for a row that ecompipe did not load. */
  readonly batch:
    | {
        readonly batchId: number;
        readonly engine: string;
        readonly loadPath: string;
        readonly committedAt: Date;
        /** The feed that made the row, if one did. */
        readonly feed: string | null;
      }
    | undefined;
  /** One; or each range of the batch that it can be from, when none of their bytes can be read any more. */
  readonly origins: readonly Origin[];
  /** It came into the table as the correction of this reject. */
  readonly replayOf: (RowPlace & { readonly rejectId: number }) | undefined;
}

export interface TracedReject extends RowPlace {
  readonly rejectId: number;
  readonly kind: string;
  readonly sqlState: string;
  readonly message: string;
  readonly resolution: string | null;
  /** `event_id`: the row is about this event; `mention`: the id stands elsewhere in it, or its fields can't be told. */
  readonly carries: 'event_id' | 'mention';
}

/** All that the tables know of an event id. */
export interface Trace {
  readonly eventId: string;
  readonly known: boolean;
  readonly event: TracedEvent | undefined;
  readonly duplicates: readonly RowPlace[];
  readonly rejects: readonly TracedReject[];
  /** The same bytes again under other names, of all files above. */
  readonly redeliveries: readonly { readonly file: string; readonly name: string; readonly seenAt: Date }[];
}
