/** Which rejects are meant. What is undefined does not narrow them. */
export interface RejectFilter {
  /** Name of the file, or its SHA-256 in hexadecimal. @default any */
  readonly file: string | undefined;
  /** SQLSTATE with which the server refused the row. @default any */
  readonly sqlState: string | undefined;
  /** A kind, constraint or column, or a part of the message. @default any */
  readonly reason: string | undefined;
  /** Name of the feed that loaded its file. @default any */
  readonly feed: string | undefined;
  /** Only of files that no feed loaded. @default false */
  readonly withoutFeed: boolean;
  /** Also those that are resolved. @default false */
  readonly all: boolean;
}

/** The name of the feed that loaded the file of `ecompipe.rejected_rows r`; NULL: none. */
export const FEED_SQL =
  '(select d.name from ecompipe.batches l join ecompipe.feeds d using (feed_id) where l.batch_id = r.batch_id)';

/** A condition over `ecompipe.rejected_rows r` and `ecompipe.files f`, and its parameters, from $1 on. */
export function rejectCondition({ file, sqlState, reason, feed, withoutFeed, all }: RejectFilter): {
  readonly sql: string;
  readonly values: unknown[];
} {
  return {
    sql: `($1::text is null or f.name = $1 or encode(f.sha256, 'hex') = lower($1))
      and ($2::text is null or r.sql_state = $2)
      and ($3::text is null or $3 in (r.kind, r.constraint_name, r.column_name) or position($3 in r.message) > 0)
      and ($4 or r.resolved_at is null)
      and ($5::text is null or ${FEED_SQL} = $5)
      and (not $6 or ${FEED_SQL} is null)`,
    values: [file ?? null, sqlState ?? null, reason ?? null, all, feed ?? null, withoutFeed],
  };
}
