import type { Connection } from '../../platform/db/client.js';
import { withTransaction } from '../../platform/db/transaction.js';
import type { PrunedLedger } from './types.js';
import { boolean, integer, queryRow, queryRows, type Shape } from '../../platform/db/decodeRows.js';

const COMPACTED_FILES: Shape<Omit<PrunedLedger, 'batches'>> = {
  files: integer,
  rejects: integer,
  openRejects: integer,
};
const PRUNED_LEDGER: Shape<PrunedLedger> = { ...COMPACTED_FILES, batches: integer };

/** Batches looked at in one transaction; of small files a batch holds hundreds. */
const BATCHES_AT_ONCE = 200;

/** Nothing of the batch is in a table any more. What other tables than events hold, the ledger can't know. */
const isEmpty = (batch: string): string =>
  `(${batch}.target is null and ${batch}.rows_inserted = ${batch}.rows_pruned)`;

/** The most that could be compacted. */
export async function countOldLedger({ client }: Connection, before: Date): Promise<PrunedLedger> {
  return await queryRow(
    client,
    PRUNED_LEDGER,
    `with old as materialized (
       select file_id from ecompipe.files where state = 'loaded' and finished_at < $1
     )
     select (select count(*) from old) as files,
            (select count(*) from ecompipe.batches where committed_at < $1) as batches,
            count(r.reject_id) as rejects, count(r.reject_id) filter (where r.resolved_at is null) as open_rejects
     from ecompipe.rejected_rows r where r.file_id in (select file_id from old)`,
    [before],
  );
}

/**
 * Compacts the ledger before a moment, in bounded transactions: of a file of which no event is left remain its SHA-256,
 * name and counts; its ranges, rejects, duplicates and batches go. What still has events stays whole, as they are proved
 * by it; so does a file in quarantine of which nothing was loaded, as it is judged by its bytes and would be again.
 */
export async function compactLedger(
  connection: Connection,
  before: Date,
  removed: (change: PrunedLedger) => void,
  checkStop: () => void,
): Promise<void> {
  for (let after: number | undefined = 0; after !== undefined;) {
    checkStop();
    const from: number = after;
    after = await withTransaction(connection, async () => {
      const walked = await walkBatches(connection, before, from);
      if (!walked.some(({ isOld }) => isOld)) return undefined;
      const old = walked.filter(({ isOld }) => isOld).map(({ batchId }) => batchId);
      const files = await compactFiles(connection, before, old);
      removed({ ...files, batches: await removeBatches(connection, old) });
      return walked.at(-1)?.batchId;
    });
  }
}

/** The next batches by number. Numbers follow time but for seconds: where none is old, no later one is. */
async function walkBatches(
  { client }: Connection,
  before: Date,
  after: number,
): Promise<{ batchId: number; isOld: boolean }[]> {
  return await queryRows(
    client,
    { batchId: integer, isOld: boolean },
    `select batch_id, committed_at < $1 as is_old from ecompipe.batches where batch_id > $2 order by batch_id limit ${BATCHES_AT_ONCE}`,
    [before, after],
  );
}

async function compactFiles(
  { client }: Connection,
  before: Date,
  batchIds: readonly number[],
): Promise<Omit<PrunedLedger, 'batches'>> {
  return await queryRow(
    client,
    COMPACTED_FILES,
    `with candidate as materialized (
       select distinct file_id from ecompipe.batch_ranges where batch_id = any ($2)
     ), file as materialized (
       select f.file_id
       from ecompipe.file_entries f left join ecompipe.batches own on own.batch_id = f.batch_id
       where f.file_id in (select file_id from candidate)
         and (own.committed_at < $1 and ${isEmpty('own')}
           or (f.state = 'loaded' or f.state = 'quarantined' and f.committed_offset > 0) and f.finished_at < $1)
         and not exists (
           select from ecompipe.range_entries r join ecompipe.batches b using (batch_id)
           where r.file_id = f.file_id and not ${isEmpty('b')})
         and not exists (
           select from ecompipe.rejected_rows r join ecompipe.batches b on b.batch_id = r.resolved_batch_id
           where r.file_id = f.file_id and not ${isEmpty('b')})
       order by f.file_id
       for update of f
     ), ranges as (delete from ecompipe.range_entries where file_id in (select file_id from file)
     ), duplicates as (delete from ecompipe.duplicate_rows where file_id in (select file_id from file)
     ), redelivered as (delete from ecompipe.redeliveries where file_id in (select file_id from file)
     ), rejects as (delete from ecompipe.rejected_rows where file_id in (select file_id from file) returning resolved_at
     ), kept as (
       update ecompipe.file_entries
       set state = case when rows is null then 'pruned' end, batch_id = null, reason = null, file_stamp = 0
       where file_id in (select file_id from file))
     select (select count(*) from file) as files, count(*) as rejects, count(*) filter (where resolved_at is null) as open_rejects from rejects`,
    [before, batchIds],
  );
}

/** Batches with nothing left: no event, no range, and no reject that they resolved. */
async function removeBatches({ client }: Connection, batchIds: readonly number[]): Promise<number> {
  const { batches } = await queryRow(
    client,
    { batches: integer },
    `with gone as (
       delete from ecompipe.batches b
       where b.batch_id = any ($1) and ${isEmpty('b')}
         and not exists (select from ecompipe.batch_ranges r where r.batch_id = b.batch_id)
         and not exists (select from ecompipe.rejected_rows r where r.resolved_batch_id = b.batch_id)
       returning b.batch_id
     ), pending as (delete from analytics.pending_batches where batch_id in (select batch_id from gone))
     select count(*) as batches from gone`,
    [batchIds],
  );
  return batches;
}
