/** Which rejects are meant. What is undefined does not narrow them. */
export interface RejectFilter {
  /** Name of the file, or its SHA-256 in hexadecimal. @default any */
  readonly file: string | undefined;
  /** SQLSTATE with which the server refused the row. @default any */
  readonly sqlState: string | undefined;
  /** A kind, constraint or column, or a part of the message. @default any */
  readonly reason: string | undefined;
  /** Also those that are resolved. @default false */
  readonly all: boolean;
}

/** A condition over `ecompipe.rejected_rows r` and `ecompipe.files f`, and its parameters $1 to $4. */
export function rejectCondition({ file, sqlState, reason, all }: RejectFilter): {
  readonly sql: string;
  readonly values: unknown[];
} {
  return {
    sql: `($1::text is null or f.name = $1 or encode(f.sha256, 'hex') = lower($1))
      and ($2::text is null or r.sql_state = $2)
      and ($3::text is null or $3 in (r.kind, r.constraint_name, r.column_name) or position($3 in r.message) > 0)
      and ($4 or r.resolved_at is null)`,
    values: [file ?? null, sqlState ?? null, reason ?? null, all],
  };
}
