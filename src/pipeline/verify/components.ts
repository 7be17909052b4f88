import { changedRows } from '../../platform/db/soleRow.js';
import type { Connection } from '../../platform/db/client.js';
import { SUMS, VALUES } from './scan.js';
import { integer, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/**
 * Rows of the table lead to a batch and not to a file: one batch may hold many files, and a large file has many batches.
 * What can be compared are *components*: files and batches that no range of the ledger connects to others. Most often
 * that is one large file, or one transaction of small ones.
 *
 * `our_range` gets all ranges of the batches that hold our files; a component is *mixed* when it also has files that the
 * manifests do not speak of or that are not loaded to their end, whose rows nobody can tell from ours by sums.
 */
export async function findComponents({ client }: Connection): Promise<void> {
  await client.query(`
    update expected_file e set file_id = f.file_id, state = f.state from ecompipe.files f where f.sha256 = e.sha256;
    create unique index on expected_file (file_id);
    with gone as (
      delete from expected_file e
      where e.state = 'pruned' or exists (
        select from ecompipe.batch_ranges r join ecompipe.batches b using (batch_id)
        where r.file_id = e.file_id and b.rows_pruned > 0)
      returning file_no, rows
    )
    insert into pruned_file select file_no, rows from gone;
    delete from expected_type where file_no in (select file_no from pruned_file);
    delete from expected_fault where file_no in (select file_no from pruned_file);
    analyze expected_file;
    create temp table our_range as
      select r.batch_id, r.file_id, r.file_id as component
      from ecompipe.batch_ranges r
      where r.batch_id in (select o.batch_id from ecompipe.batch_ranges o join expected_file e using (file_id));
    create index on our_range (batch_id);
    create index on our_range (file_id);
    analyze our_range`);
  // Each takes the smallest number among its neighbours until nothing changes: one round, or as many as a chain is long.
  for (let changed = -1; changed !== 0;) {
    changed = 0;
    for (const key of ['batch_id', 'file_id']) {
      const updated = await client.query(`
        update our_range r set component = smallest.component
        from (select ${key}, min(component) as component from our_range group by ${key}) as smallest
        where smallest.${key} = r.${key} and r.component > smallest.component`);
      changed += changedRows(updated);
    }
  }
  await client.query(`
    create temp table component as
      select component, bool_or(e.file_id is null or e.state <> 'loaded' or e.quarantined is not null) as is_mixed
      from our_range r left join expected_file e using (file_id)
      group by component;
    create temp table our_batch as select distinct batch_id, component from our_range;
    create index on our_batch (batch_id);
    analyze component, our_batch`);
}

/** A component whose sums are not those of its files. */
export interface Deviation {
  readonly component: number;
  readonly expectedRows: number;
  readonly observedRows: number;
}

const DEVIATION: Shape<Deviation> = { component: integer, expectedRows: integer, observedRows: integer };

/**
 * Compares sums by component, once `observed` is filled.
 *
 * Which of several deliveries of an event counts as the first depends on which is loaded first. So that it doesn't matter
 * here, the ledger's duplicates are added to what was observed and the manifests' are taken away, where the two differ:
 * both are looked up in the table by id.
 */
export async function compareComponents({ client }: Connection): Promise<Deviation[]> {
  await client.query(`
    create temp table component_sum as
      select b.component, o.event_type, o.rows, o.cents, o.id_sum, o.content_sum from observed o join our_batch b using (batch_id);
    create temp table duplicate_difference as
      select file_id, event_id, sum(times) as times
      from (
        select d.file_id, d.key::uuid as event_id, 1 as times from ecompipe.duplicate_rows d join expected_file using (file_id)
        union all
        select e.file_id, t.event_id::uuid, -1 from expected_fault t join expected_file e using (file_no)
        where t.outcome = 'duplicate' and e.state = 'loaded' and e.quarantined is null
      ) as delivery
      group by file_id, event_id
      having sum(times) <> 0;
    analyze duplicate_difference;
    insert into component_sum
      select r.component, e.event_type, d.times * s.rows, d.times * s.cents, d.times * s.id_sum, d.times * s.content_sum
      from duplicate_difference d
      join (select distinct file_id, component from our_range) as r using (file_id)
      join public.events e using (event_id)
      cross join lateral (select ${SUMS} from (select ${VALUES}) as value) as s`);
  return await queryRows(
    client,
    DEVIATION,
    `
    with expected as (
      select r.component, sum(e.loaded) as rows, sum(e.id_sum) as id_sum, sum(e.content_sum) as content_sum
      from expected_file e join (select distinct file_id, component from our_range) as r using (file_id)
      group by r.component
    ), seen as (
      select component, sum(rows) as rows, sum(id_sum) as id_sum, sum(content_sum) as content_sum from component_sum group by component
    ), type_difference as (
      select distinct component
      from (
        select r.component, t.event_type, t.rows, t.cents
        from expected_type t join expected_file e using (file_no) join (select distinct file_id, component from our_range) as r using (file_id)
        union all
        select component, event_type, -rows, -cents from component_sum
      ) as by_type
      group by component, event_type
      having sum(rows) <> 0 or sum(cents) <> 0
    )
    select c.component, coalesce(expected.rows, 0)::int8 as expected_rows, coalesce(seen.rows, 0)::int8 as observed_rows
    from component c left join expected using (component) left join seen using (component)
    where not c.is_mixed
      and ((coalesce(expected.rows, 0), coalesce(expected.id_sum, 0), coalesce(expected.content_sum, 0))
           is distinct from (coalesce(seen.rows, 0), coalesce(seen.id_sum, 0), coalesce(seen.content_sum, 0))
        or c.component in (select component from type_difference))
    order by c.component`,
  );
}

/** Rows of the table that name a batch which the ledger does not have, so that nobody knows which file they are of. */
export async function findUnknownBatches({ client }: Connection): Promise<{ batchId: number; rows: number }[]> {
  return await queryRows(
    client,
    { batchId: integer, rows: integer },
    `
    select o.batch_id, sum(o.rows)::int8 as rows
    from observed o
    where o.batch_id is not null and not exists (select from ecompipe.batches b where b.batch_id = o.batch_id)
    group by o.batch_id
    order by o.batch_id`,
  );
}

/** A batch of a mixed component of which the table has more rows than the ledger counted. */
export interface Surplus {
  readonly batchId: number;
  readonly ledgerRows: number;
  readonly observedRows: number;
  readonly file: string;
}

const SURPLUS: Shape<Surplus> = { batchId: integer, ledgerRows: integer, observedRows: integer, file: text };

/** Finds rows too many in mixed components. Rows too few are found by reading our files again; others' are not our concern. */
export async function findMixedSurplus({ client }: Connection): Promise<Surplus[]> {
  return await queryRows(
    client,
    SURPLUS,
    `
    select b.batch_id, b.rows_inserted as ledger_rows, seen.rows as observed_rows,
           (select f.name from our_range r join ecompipe.files f using (file_id) where r.batch_id = b.batch_id order by f.file_id limit 1) as file
    from our_batch o
    join component c on c.component = o.component and c.is_mixed
    join ecompipe.batches b on b.batch_id = o.batch_id
    join (select batch_id, sum(rows)::int8 as rows from observed group by batch_id) as seen on seen.batch_id = o.batch_id
    where seen.rows > b.rows_inserted
    order by b.batch_id`,
  );
}
