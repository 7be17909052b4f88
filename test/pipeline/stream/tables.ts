import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';
import type { TestDatabase } from '../../helpers/postgres.js';

/** What a test knows of a reject, from the table. */
export interface RejectRow {
  readonly line: number;
  readonly offset: number;
  readonly raw: Buffer;
  readonly kind: string;
  readonly sqlState: string;
  readonly column: string | null;
  readonly constraint: string | null;
}

/** Everything of public.events that came from the files, in one order. */
export async function eventsIn(database: TestDatabase): Promise<Record<string, unknown>[]> {
  return await database.query(
    `select ${EVENT_COLUMNS.map((name) => `${name}::text`).join(', ')} from public.events order by event_id`,
  );
}

export async function eventIds(database: TestDatabase): Promise<string[]> {
  return (await database.query<{ event_id: string }>('select event_id from public.events order by event_id')).map(
    (row) => row.event_id,
  );
}

/** Rejects of one content, in the order of its rows. */
export async function rejectsOf(database: TestDatabase, content: string | Uint8Array): Promise<RejectRow[]> {
  return await database.query(
    `select line::int4, byte_offset::int4 as offset, raw, kind, sql_state as "sqlState", column_name as column, constraint_name as constraint
     from ecompipe.rejected_rows join ecompipe.files using (file_id) where sha256 = $1 order by byte_offset`,
    [createHash('sha256').update(content).digest()],
  );
}

/** Ids that begin so. */
export async function idsLike(database: TestDatabase, prefix: string): Promise<string[]> {
  return (
    await database.query<{ event_id: string }>(
      'select event_id from public.events where event_id::text like $1 order by event_id',
      [`${prefix}%`],
    )
  ).map((row) => row.event_id);
}

/** Contradictions between ledger and tables, each as a query that finds nothing where all is well. */
const CONTRADICTIONS: Readonly<Record<string, string>> = {
  'an event of no committed batch':
    'select event_id from public.events left join ecompipe.batches using (batch_id) where batches.batch_id is null',
  'a batch with other rows than it says': `
    select batch_id from ecompipe.batches
    left join (select batch_id, count(*) as rows from public.events group by batch_id) e using (batch_id)
    left join (select batch_id, count(*) as rows from ecompipe.rejected_rows group by batch_id) r using (batch_id)
    left join (select batch_id, count(*) as rows from ecompipe.duplicate_rows group by batch_id) d using (batch_id)
    where rows_inserted - rows_pruned <> coalesce(e.rows, 0)
       or load_path <> 'replay' and (rows_rejected, rows_duplicate) <> (coalesce(r.rows, 0), coalesce(d.rows, 0))`,
  'a replay with other rows than the rejects it resolved': `
    select b.batch_id from ecompipe.batches b
    left join (
      select resolved_batch_id as batch_id, count(*) filter (where resolution = 'inserted') as inserted, count(*) filter (where resolution = 'duplicate') as duplicate
      from ecompipe.rejected_rows where resolved_batch_id is not null group by 1) r using (batch_id)
    where (case when load_path = 'replay' then rows_inserted else 0 end, case when load_path = 'replay' then rows_duplicate else 0 end)
       <> (coalesce(r.inserted, 0), coalesce(r.duplicate, 0))`,
  'a resolved reject whose event is not in the table': `
    select reject_id from ecompipe.rejected_rows r left join public.events e on e.event_id = r.resolved_key::uuid
    where resolution is not null and (e.event_id is null or resolution = 'inserted' and e.batch_id <> r.resolved_batch_id)`,
  'a duplicate whose event is not in the table': `
    select key from ecompipe.duplicate_rows d left join public.events e on e.event_id = d.key::uuid where e.event_type is null`,
  'a batch that is not the sum of its ranges': `
    select batch_id from ecompipe.batches b
    where load_path <> 'replay' and (rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes) is distinct from
      (select (coalesce(sum(rows_read), 0)::bigint, coalesce(sum(rows_inserted), 0)::bigint, coalesce(sum(rows_duplicate), 0)::bigint, coalesce(sum(rows_rejected), 0)::bigint, coalesce(sum(end_offset - start_offset), 0)::bigint) from ecompipe.batch_ranges r where r.batch_id = b.batch_id)`,
  'a file that is not the sum of its ranges': `
    select file_id from ecompipe.files f
    where state not in ('quarantined', 'pruned') and (rows_read, rows_inserted, rows_duplicate, rows_rejected) is distinct from
      (select (coalesce(sum(rows_read), 0)::bigint, coalesce(sum(rows_inserted), 0)::bigint, coalesce(sum(rows_duplicate), 0)::bigint, coalesce(sum(rows_rejected), 0)::bigint) from ecompipe.batch_ranges r where r.file_id = f.file_id)`,
  'ranges with a gap or an overlap': `
    select file_id from (
      select file_id, start_offset, lag(end_offset, 1, 0::bigint) over (partition by file_id order by start_offset) as before from ecompipe.batch_ranges
    ) as r where start_offset <> before`,
  'a file that stands elsewhere than its last range': `
    select file_id from ecompipe.files f
    where state <> 'pruned' and committed_offset <> (select coalesce(max(end_offset), 0) from ecompipe.batch_ranges r where r.file_id = f.file_id)`,
  'a loaded file with bytes left': `select file_id from ecompipe.files where state = 'loaded' and committed_offset <> size`,
};

/** What contradicts what, with the rows that show it. */
export async function findContradictions(database: TestDatabase): Promise<{ what: string; rows: unknown[] }[]> {
  const found = await Promise.all(
    Object.entries(CONTRADICTIONS).map(async ([what, sql]) => ({ what, rows: await database.query(sql) })),
  );
  return found.filter(({ rows }) => rows.length > 0);
}

/** Fails when the ledger and the tables contradict each other anywhere in the database. */
export async function assertLedger(database: TestDatabase): Promise<void> {
  assert.deepEqual(await findContradictions(database), []);
}
