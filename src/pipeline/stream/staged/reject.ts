import assert from 'node:assert/strict';
import { clip } from '../../../platform/printable.js';
import type { Connection } from '../../../platform/db/client.js';
import type { RejectReason } from '../../../contract/stageServices.js';

/** A source row, and where it stands. */
export interface PlacedRow {
  readonly ordinal: number;
  /** Which row of its record it is, from 1; 0: the only one. */
  readonly item: number;
  readonly fileId: number;
  /** 1-based physical line in the file. */
  readonly line: number;
  /** Offset of its first byte in the (decompressed) content. */
  readonly byteOffset: number;
  readonly raw: Buffer;
}

/** Rows, and bytes of rows, in one statement: what is written is in memory a few times over, as bytes and as texts. */
const CHUNK_ROWS = 5000;
const CHUNK_BYTES = 2 ** 20;

/** Splits rows into pieces that one statement may hold. */
function* chunksOf(rows: Iterable<PlacedRow>): Generator<PlacedRow[]> {
  let chunk: PlacedRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    chunk.push(row);
    bytes += row.raw.length;
    if (chunk.length < CHUNK_ROWS && bytes < CHUNK_BYTES) continue;
    yield chunk;
    chunk = [];
    bytes = 0;
  }
  if (chunk.length > 0) yield chunk;
}

/** Notes rows whose structure or encoding is broken. */
export async function writeMalformed(
  { client }: Connection,
  batchId: number,
  rows: Iterable<PlacedRow>,
  reasons: ReadonlyMap<number, RejectReason>,
): Promise<void> {
  for (const chunk of chunksOf(rows)) {
    const found = chunk.map(({ ordinal }) => {
      const reason = reasons.get(ordinal);
      assert(reason !== undefined, `row ${ordinal} has a reason`);
      return reason;
    });
    await client.query({
      name: 'write_malformed',
      text: `insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, kind, sql_state, message)
       select $1, * from unnest ($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::text[])`,
      values: [
        batchId,
        ...placesOf(chunk),
        chunk.map(({ raw }) => raw),
        found.map(({ kind }) => kind),
        found.map(({ sqlState }) => sqlState),
        // What names the fault may repeat the value, of up to a megabyte, for each of millions of rows.
        found.map(({ message }) => clip(message)),
      ],
    });
  }
}

/** Notes rows that the table refused, with the verdicts of the session. */
export async function writeRejects({ client }: Connection, batchId: number, rows: Iterable<PlacedRow>): Promise<void> {
  for (const chunk of chunksOf(rows))
    await client.query({
      name: 'write_rejects',
      text: `insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, item, kind, sql_state, column_name, constraint_name, message)
       select $1, r.file_id, r.line, r.byte_offset, r.raw, r.item, v.kind, v.sql_state, v.column_name, v.constraint_name, v.message
       from unnest ($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::integer[], $7::integer[]) as r (file_id, line, byte_offset, raw, ordinal, item)
       join pg_temp.ecompipe_verdicts v using (ordinal)
       order by ordinal`,
      values: [
        batchId,
        ...placesOf(chunk),
        chunk.map(({ raw }) => raw),
        chunk.map(({ ordinal }) => ordinal),
        chunk.map(({ item }) => item),
      ],
    });
}

/** Notes rows whose key is in the table already, with the same content. */
export async function writeDuplicates(
  { client }: Connection,
  batchId: number,
  rows: Iterable<PlacedRow>,
): Promise<void> {
  for (const chunk of chunksOf(rows))
    await client.query({
      name: 'write_duplicates',
      text: `insert into ecompipe.duplicate_rows (batch_id, file_id, line, byte_offset, item, key)
       select $1, r.file_id, r.line, r.byte_offset, r.item, v.key
       from unnest ($2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[]) as r (file_id, line, byte_offset, ordinal, item)
       join pg_temp.ecompipe_verdicts v using (ordinal)`,
      values: [batchId, ...placesOf(chunk), chunk.map(({ ordinal }) => ordinal), chunk.map(({ item }) => item)],
    });
}

function placesOf(chunk: readonly PlacedRow[]): [number[], number[], number[]] {
  return [chunk.map(({ fileId }) => fileId), chunk.map(({ line }) => line), chunk.map(({ byteOffset }) => byteOffset)];
}
