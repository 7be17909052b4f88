import { changedRows, soleRow } from '../../platform/db/soleRow.js';
import type { Connection } from '../../platform/db/client.js';
import { REMOVED } from './removeEvents.js';
import { boolean, integer, queryRows, text } from '../../platform/db/decodeRows.js';

export interface LedgerChange {
  readonly batchIds: readonly number[];
  readonly eventsExpected: number;
  readonly rejectsRemoved: number;
  readonly duplicatesRemoved: number;
  readonly redeliveriesRemoved: number;
}

/** Whether a row of this key, of the batch `b`, is among those that are gone. */
const isRemoved = (key: string): string =>
  `exists (select from ${REMOVED} g where g.key = ${key} and g.target is not distinct from b.target)`;

/** Counts the duplicates that other files have of the rows that are gone: nothing is in the table for them now. */
export async function findStrandedDuplicates(
  { client }: Connection,
  fileIds: readonly number[],
): Promise<{ file: string; rows: number }[]> {
  const rows = await queryRows(
    client,
    { file: text, rows: integer },
    `select f.name as file, count(*) as rows
     from ecompipe.duplicate_rows d join ecompipe.files f using (file_id) join ecompipe.batches b on b.batch_id = d.batch_id
     where ${isRemoved('d.key')} and d.file_id <> all ($1)
     group by f.file_id, f.name
     order by 2 desc, 1`,
    [fileIds],
  );
  return rows;
}

/** Opens rejects again whose corrected row is gone, or is not a duplicate any more. @returns the replays they were resolved by. */
export async function reopenRejects({ client }: Connection, fileIds: readonly number[]): Promise<number[]> {
  const rows = await queryRows(
    client,
    { batchId: integer },
    `with reopened as (
       select r.reject_id, r.resolved_batch_id
       from ecompipe.rejected_rows r join ecompipe.batches b on b.batch_id = r.resolved_batch_id
       where ${isRemoved('r.resolved_key')} and r.file_id <> all ($1)
     )
     update ecompipe.rejected_rows r
     set resolved_at = null, resolution = null, resolved_by = null, resolved_batch_id = null, resolved_key = null
     from reopened
     where r.reject_id = reopened.reject_id
     returning reopened.resolved_batch_id as batch_id`,
    [fileIds],
  );
  return rows.map(({ batchId }) => batchId);
}

/** Takes files out of the ledger, and their share out of the batches that loaded them. */
export async function removeFiles(
  { client }: Connection,
  fileIds: readonly number[],
): Promise<LedgerChange & { readonly replays: readonly number[] }> {
  const replays = await queryRows(
    client,
    { batchId: integer },
    'select distinct resolved_batch_id as batch_id from ecompipe.rejected_rows where file_id = any ($1) and resolved_batch_id is not null',
    [fileIds],
  );
  const expected = await queryRows(
    client,
    { rows: integer },
    `select (select coalesce(sum(rows_inserted), 0) from ecompipe.files where file_id = any ($1))::int8
          + (select count(*) from ecompipe.rejected_rows where file_id = any ($1) and resolution = 'inserted') as rows`,
    [fileIds],
  );
  await client.query(
    `insert into ecompipe.undone_files (sha256, name, rows_inserted, rows_duplicate, rows_rejected)
     select sha256, name, rows_inserted, rows_duplicate, rows_rejected from ecompipe.files where file_id = any ($1) order by file_id`,
    [fileIds],
  );
  const batches = await queryRows(
    client,
    { batchId: integer },
    `with gone as (
       select batch_id, sum(rows_read) as rows_read, sum(rows_inserted) as rows_inserted, sum(rows_duplicate) as rows_duplicate, sum(rows_rejected) as rows_rejected, sum(end_offset - start_offset) as bytes, sum(records_read) as records_read, sum(records_skipped) as records_skipped
       from ecompipe.batch_ranges where file_id = any ($1) group by batch_id
     )
     update ecompipe.batches b
     set rows_read = b.rows_read - g.rows_read, rows_inserted = b.rows_inserted - g.rows_inserted, rows_duplicate = b.rows_duplicate - g.rows_duplicate,
         rows_pruned = case when b.rows_pruned = 0 then 0 else greatest(0, b.rows_inserted - g.rows_inserted
           - (select count(*) from public.events e where e.batch_id = b.batch_id)) end,
         rows_rejected = b.rows_rejected - g.rows_rejected, bytes = b.bytes - g.bytes, records_read = b.records_read - g.records_read, records_skipped = b.records_skipped - g.records_skipped,
         records_expanded = b.records_expanded - (g.records_read - g.records_skipped),
         undone_at = case when not exists (select from ecompipe.batch_ranges o where o.batch_id = b.batch_id and o.file_id <> all ($1)) then clock_timestamp() end
     from gone g
     where b.batch_id = g.batch_id
     returning b.batch_id`,
    [fileIds],
  );
  const remove = async (table: string): Promise<number> =>
    changedRows(await client.query(`delete from ecompipe.${table} where file_id = any ($1)`, [fileIds]));
  const removed = {
    rejectsRemoved: await remove('rejected_rows'),
    duplicatesRemoved: await remove('duplicate_rows'),
    redeliveriesRemoved: await remove('redeliveries'),
  };
  await remove('range_entries');
  await remove('file_entries');
  return {
    batchIds: batches.map(({ batchId }) => batchId),
    replays: replays.map(({ batchId }) => batchId),
    eventsExpected: soleRow(expected).rows,
    ...removed,
  };
}

/** A replay counts what is left of the rejects that it resolved. */
export async function recountReplays({ client }: Connection, batchIds: readonly number[]): Promise<void> {
  await client.query(
    `with left_over as (
       select b.batch_id, count(*) filter (where r.resolution = 'inserted') as inserted, count(*) filter (where r.resolution = 'duplicate') as duplicate
       from ecompipe.batches b left join ecompipe.rejected_rows r on r.resolved_batch_id = b.batch_id
       where b.batch_id = any ($1)
       group by b.batch_id
     )
     update ecompipe.batches b
     set rows_inserted = l.inserted, rows_duplicate = l.duplicate,
         rows_rejected = case when l.inserted + l.duplicate = 0 then 0 else b.rows_rejected end,
         rows_read = l.inserted + l.duplicate + case when l.inserted + l.duplicate = 0 then 0 else b.rows_rejected end,
         undone_at = case when l.inserted + l.duplicate = 0 then clock_timestamp() end
     from left_over l
     where b.batch_id = l.batch_id`,
    [batchIds],
  );
}

/**
 * Makes the views for analysts right again. Batches that are in no rollup yet only have fewer rows now; a rollup can't
 * take anything back (the last name of a product, the begin of a session), so it begins anew.
 * @returns whether it did.
 */
export async function invalidateRollups(
  { client }: Connection,
  batchIds: readonly number[],
  { dryRun }: { readonly dryRun: boolean },
): Promise<boolean> {
  const rows = await queryRows(
    client,
    { inRollups: boolean },
    `select exists (select from ${REMOVED} where target is null) and exists (
       select unnest ($1::bigint[]) except select batch_id from analytics.pending_batches
     ) as in_rollups`,
    [batchIds],
  );
  await client.query(
    `update analytics.pending_batches p set rows = b.rows_inserted from ecompipe.batches b where b.batch_id = p.batch_id and p.batch_id = any ($1)`,
    [batchIds],
  );
  await client.query('delete from analytics.pending_batches where batch_id = any ($1) and rows = 0', [batchIds]);
  const rebuild = rows[0]?.inRollups === true;
  // Emptying the rollups locks out their readers: nothing for a dry run.
  if (rebuild && !dryRun) await client.query('select analytics.rebuild()');
  return rebuild;
}
