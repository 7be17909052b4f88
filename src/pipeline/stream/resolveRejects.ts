import assert from 'node:assert/strict';
import type { Connection } from '../../platform/db/client.js';
import { arrayOf, integer, nullable, oneOf, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';
import type { JudgedRow } from './staged/corrected.js';

export interface RejectState {
  readonly rejectId: number;
  readonly resolvedBatchId: number | null;
  readonly resolution: 'inserted' | 'duplicate' | null;
  /** Columns of the file it came from, or fields, of a feed's; null when nobody knows them. */
  readonly columns: readonly string[] | null;
}

const REJECT_STATE: Shape<RejectState> = {
  rejectId: integer,
  resolvedBatchId: nullable(integer),
  resolution: nullable(oneOf('inserted', 'duplicate')),
  columns: nullable(arrayOf(text)),
};

/** The rejects as they are, locked in one order so that two replays at once wait for each other instead of for ever. */
export async function lockRejects(
  { client }: Connection,
  rejectIds: readonly number[],
): Promise<Map<number, RejectState>> {
  const rows = await queryRows(
    client,
    REJECT_STATE,
    `select r.reject_id, r.resolved_batch_id, r.resolution, ecompipe.columns_of(b) as columns
     from ecompipe.rejected_rows r join ecompipe.batches b on b.batch_id = r.batch_id
     where r.reject_id = any ($1)
     order by r.reject_id
     for update of r`,
    [rejectIds],
  );
  return new Map(rows.map((row) => [row.rejectId, row]));
}

/** Of the rows of each reject the one that stands for it: the first that was inserted, else the first. */
export function mainRows(judged: readonly JudgedRow[]): Map<number, JudgedRow> {
  const main = new Map<number, JudgedRow>();
  for (const row of judged) {
    const found = main.get(row.rejectId);
    if (found === undefined || (found.kind !== 'inserted' && row.kind === 'inserted')) main.set(row.rejectId, row);
  }
  return main;
}

/** Resolves the rejects of rows that were accepted, by compare-and-set: they are locked, and were open. */
export async function resolveRejects(
  { client }: Connection,
  batchId: number,
  judged: readonly JudgedRow[],
): Promise<void> {
  const accepted = judged.filter(({ kind }) => kind !== 'rejected');
  const main = new Set(mainRows(accepted).values());
  const valuesOf = (rows: readonly JudgedRow[]): unknown[] => [
    batchId,
    rows.map(({ rejectId }) => rejectId),
    rows.map(({ kind }) => kind),
    rows.map(({ key }) => key),
  ];
  const { rowCount } = await client.query(
    `update ecompipe.rejected_rows r
     set resolved_at = clock_timestamp(), resolved_by = session_user, resolved_batch_id = $1, resolution = n.resolution, resolved_key = n.key
     from unnest ($2::bigint[], $3::text[], $4::text[]) as n (reject_id, resolution, key)
     where r.reject_id = n.reject_id and r.resolved_at is null`,
    valuesOf([...main]),
  );
  assert.equal(rowCount, main.size, 'the rejects are locked, and were open');
  const others = accepted.filter((row) => !main.has(row));
  if (others.length > 0) await client.query(MORE_ROWS, [...valuesOf(others), others.map(({ item }) => item)]);
}

/**
 * A record that was rejected as a whole can become several rows. Each has a reject of its own then, so that `trace` and
 * `undo` find it. Undone, they are open rejects, which the next replay of the record resolves again.
 */
const MORE_ROWS = `
  insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, kind, sql_state, column_name, constraint_name, message, rejected_at,
                                      item, resolved_at, resolved_by, resolved_batch_id, resolution, resolved_key)
  select $1, r.file_id, r.line, r.byte_offset, r.raw, r.kind, r.sql_state, r.column_name, r.constraint_name, r.message, r.rejected_at,
         n.item, clock_timestamp(), session_user, $1, n.resolution, n.key
  from unnest ($2::bigint[], $3::text[], $4::text[], $5::integer[]) as n (reject_id, resolution, key, item)
  join ecompipe.rejected_rows r using (reject_id)
  on conflict (file_id, byte_offset, item) do update
  set resolved_at = excluded.resolved_at, resolved_by = excluded.resolved_by, resolved_batch_id = excluded.resolved_batch_id,
      resolution = excluded.resolution, resolved_key = excluded.resolved_key
  where rejected_rows.resolved_at is null`;
