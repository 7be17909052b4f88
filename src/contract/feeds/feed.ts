import type { Encoding } from './encodings.js';

/** How a feed's files are written; docs/feeds.md explains each key. */
export interface FeedFormat {
  /** `lines`: each line is the field `line`; `jsonl`: each line is the field `record`, a jsonb. */
  readonly type: 'csv' | 'lines' | 'jsonl';
  /** One ASCII character. */
  readonly delimiter: string;
  /** Undefined: nothing is quoted. */
  readonly quote: string | undefined;
  /** `fromFile`: the first line names the fields; else their names, in order. */
  readonly header: 'fromFile' | readonly string[];
  readonly encoding: Encoding;
  /** Unquoted texts that mean NULL. */
  readonly nulls: readonly string[];
  /** Physical lines before the header, or before the records where there is none. */
  readonly skip: number;
}

export type Constant = string | number | boolean | null;

/** How times are written: a name of ours, or a pattern of PostgreSQL's to_timestamp. */
export type TimeFormat =
  | { readonly kind: 'iso' | 'epoch-s' | 'epoch-ms' | 'epoch-us' }
  | { readonly kind: 'pattern'; readonly pattern: string };

/** What an event id is derived from: a field of the record, or an expression over its fields. */
export type IdPart = { readonly field: string } | { readonly sql: string };

/** How a column of the table is made. */
export type ColumnSource =
  | { readonly kind: 'field'; readonly from: string }
  | {
      readonly kind: 'map';
      readonly from: string;
      readonly map: readonly (readonly [text: string, value: string | null])[];
      readonly otherwise: 'keep' | 'null' | 'reject';
    }
  | { readonly kind: 'time'; readonly from: string; readonly format: TimeFormat; readonly zone: string }
  | { readonly kind: 'value'; readonly value: Constant }
  | { readonly kind: 'sql'; readonly sql: string }
  | { readonly kind: 'derive'; readonly parts: readonly IdPart[]; readonly repeats: 'same' | 'distinct' };

/** Where something stands in a feed file, from 1. */
export interface FeedPosition {
  readonly line: number;
  readonly column: number;
}

export interface FeedColumn {
  readonly name: string;
  readonly source: ColumnSource;
  readonly position: FeedPosition;
}

/** An expression that stands by itself in a feed, and where. */
export interface FeedExpression {
  readonly sql: string;
  readonly position: FeedPosition;
}

/** One feed file, checked as far as that goes without a database. */
export interface Feed {
  /** Of its file, without `.yaml`. */
  readonly name: string;
  /** Its file, as messages name it. */
  readonly file: string;
  /** As it was written. */
  readonly text: string;
  /** SHA-256 of name and text. */
  readonly sha256: Buffer;
  /** Globs on the names of its files. */
  readonly match: readonly string[];
  readonly format: FeedFormat;
  /** What becomes of fields that no column uses. */
  readonly unknown: 'ignore' | 'quarantine' | 'keep';
  /** As `schema.table`. */
  readonly table: string;
  readonly columns: readonly FeedColumn[];
  /** Records for which it is not true are skipped. */
  readonly where: FeedExpression | undefined;
  /** A set over a record that has a row of the table for each element, called `item`. */
  readonly rows: FeedExpression | undefined;
}

/** The one field of a record that is a line, and its type in SQL. */
export const LINE_FIELD = { lines: 'line', jsonl: 'record' } as const;
