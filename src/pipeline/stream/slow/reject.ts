import type { Connection } from '../../../platform/db/client.js';

/** Why the database, or the structure of the CSV, does not accept a row. */
export interface Reason {
  /** `malformed`: no row by structure or encoding; `invalid`: breaks a type or constraint; `conflict`: same id, other content. */
  readonly kind: 'malformed' | 'invalid' | 'conflict';
  readonly sqlState: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly message: string;
}

/** A row that goes to `ecompipe.rejected_rows`. */
export interface Reject {
  readonly fileId: number;
  /** 1-based physical line in the file. */
  readonly line: number;
  /** Offset of its first byte in the (decompressed) content. */
  readonly byteOffset: number;
  readonly raw: Buffer;
  readonly reason: Reason;
}

/** A row whose event is in the table already, with the same content. */
export interface Duplicate {
  readonly fileId: number;
  readonly line: number;
  readonly byteOffset: number;
  readonly eventId: string;
}

export async function writeRejects({ client }: Connection, batchId: number, rejects: readonly Reject[]): Promise<void> {
  if (rejects.length === 0) return;
  await client.query(
    `insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, kind, sql_state, column_name, constraint_name, message)
     select $1, * from unnest ($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])`,
    [
      batchId,
      rejects.map((reject) => reject.fileId),
      rejects.map((reject) => reject.line),
      rejects.map((reject) => reject.byteOffset),
      rejects.map((reject) => reject.raw),
      rejects.map(({ reason }) => reason.kind),
      rejects.map(({ reason }) => reason.sqlState),
      rejects.map(({ reason }) => reason.column ?? null),
      rejects.map(({ reason }) => reason.constraint ?? null),
      rejects.map(({ reason }) => reason.message),
    ],
  );
}

export async function writeDuplicates(
  { client }: Connection,
  batchId: number,
  duplicates: readonly Duplicate[],
): Promise<void> {
  if (duplicates.length === 0) return;
  await client.query(
    `insert into ecompipe.duplicate_rows (batch_id, file_id, line, byte_offset, event_id)
     select $1, * from unnest ($2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[])`,
    [
      batchId,
      duplicates.map((row) => row.fileId),
      duplicates.map((row) => row.line),
      duplicates.map((row) => row.byteOffset),
      duplicates.map((row) => row.eventId),
    ],
  );
}
