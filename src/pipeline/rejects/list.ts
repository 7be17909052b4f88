import assert from 'node:assert/strict';
import type { Connection } from '../../platform/db/client.js';
import {
  boolean,
  integer,
  nullable,
  oneOf,
  queryRows,
  type Shape,
  text,
  timestamp,
} from '../../platform/db/decodeRows.js';

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

/** A rejected row without its bytes. */
export interface Reject {
  readonly rejectId: number;
  readonly file: string;
  /** The feed that loaded its file; null: none. */
  readonly feed: string | null;
  /** Physical line, from 1. */
  readonly line: number;
  /** Which row of its record it is, from 1; 0: its record is one row, or was rejected as a whole. */
  readonly item: number;
  readonly byteOffset: number;
  readonly kind: 'malformed' | 'invalid' | 'conflict';
  readonly sqlState: string;
  readonly column: string | null;
  readonly constraint: string | null;
  readonly message: string;
  readonly batchId: number;
  readonly rejectedAt: Date;
  readonly resolution: 'inserted' | 'duplicate' | null;
  readonly resolvedAt: Date | null;
  readonly resolvedBy: string | null;
  readonly resolvedBatchId: number | null;
  readonly eventId: string | null;
}

/** Columns of a {@link Reject} over `rejected_rows r` and `files f`. */
export const REJECT_COLUMNS_SQL = `r.reject_id, f.name as file, ${FEED_SQL} as feed, r.line, r.item, r.byte_offset, r.kind, r.sql_state,
  r.column_name as "column", r.constraint_name as "constraint", r.message, r.batch_id, r.rejected_at, r.resolution,
  r.resolved_at, r.resolved_by, r.resolved_batch_id, r.resolved_key as event_id`;

export const REJECT_KIND = oneOf('malformed', 'invalid', 'conflict');

export const REJECT: Shape<Reject> = {
  rejectId: integer,
  file: text,
  feed: nullable(text),
  line: integer,
  item: integer,
  byteOffset: integer,
  kind: REJECT_KIND,
  sqlState: text,
  column: nullable(text),
  constraint: nullable(text),
  message: text,
  batchId: integer,
  rejectedAt: timestamp,
  resolution: nullable(oneOf('inserted', 'duplicate')),
  resolvedAt: nullable(timestamp),
  resolvedBy: nullable(text),
  resolvedBatchId: nullable(integer),
  eventId: nullable(text),
};

export interface RejectGroup {
  readonly rows: number;
  readonly files: number;
  readonly sqlState: string;
  /** The constraint, else the column, else the kind. */
  readonly rule: string;
  /** One of the messages. */
  readonly example: string;
}

export interface RejectList {
  /** All rows that the filter finds, by reason, most frequent first. */
  readonly groups: readonly RejectGroup[];
  readonly total: number;
  /** The same by the feed that loaded their files; those of one can be exported together. */
  readonly feeds: readonly FeedRejects[];
  /** The newest of them. */
  readonly rejects: readonly Reject[];
}

export interface FeedRejects {
  /** Null: no feed. */
  readonly feed: string | null;
  readonly rows: number;
}

/** Rejects that the filter finds, counted. */
export type RejectCounts = Pick<RejectList, 'groups' | 'feeds'>;

const REJECT_COUNT = {
  isGroup: boolean,
  feed: nullable(text),
  rows: integer,
  files: integer,
  sqlState: nullable(text),
  rule: nullable(text),
  example: text,
};

/** Counts what the filter finds, by reason and by feed. Each file's rejects are added up first: a million need no sort. */
export async function countRejects({ client }: Connection, filter: RejectFilter): Promise<RejectCounts> {
  const { sql, values } = rejectCondition(filter);
  const counted = await queryRows(
    client,
    REJECT_COUNT,
    `select grouping(d.name) = 1 as is_group, d.name as feed, sum(found.rows)::int8 as rows, count(distinct found.file_id) as files,
            found.sql_state, found.rule, min(found.example) as example
     from (
       select r.batch_id, r.file_id, r.sql_state, coalesce(r.constraint_name, r.column_name, r.kind) as rule,
              count(*) as rows, min(r.message) as example
       from ecompipe.rejected_rows r join ecompipe.files f using (file_id)
       where ${sql}
       group by 1, 2, 3, 4
     ) as found
     left join ecompipe.batches b using (batch_id)
     left join ecompipe.feeds d using (feed_id)
     group by grouping sets ((found.sql_state, found.rule), (d.name))
     order by 1, d.name nulls first, 3 desc, found.sql_state, found.rule`,
    values,
  );
  const groups = counted.filter(({ isGroup }) => isGroup);
  return {
    groups: groups.map(({ rows, files, sqlState, rule, example }) => {
      assert(sqlState !== null && rule !== null, 'a reject has its reason');
      return { rows, files, sqlState, rule, example };
    }),
    feeds: counted.filter(({ isGroup }) => !isGroup).map(({ feed, rows }) => ({ feed, rows })),
  };
}

export async function listRejects(connection: Connection, filter: RejectFilter, limit: number): Promise<RejectList> {
  const { sql, values } = rejectCondition(filter);
  const { groups, feeds } = await countRejects(connection, filter);
  const rejects = await queryRows(
    connection.client,
    REJECT,
    `select ${REJECT_COLUMNS_SQL}
     from ecompipe.rejected_rows r join ecompipe.files f using (file_id)
     where ${sql}
     order by r.reject_id desc
     limit $${values.length + 1}`,
    [...values, limit],
  );
  return { groups, feeds, total: groups.reduce((sum, group) => sum + group.rows, 0), rejects };
}
