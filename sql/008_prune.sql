-- What `ecompipe prune` leaves behind, so that what was removed for its age is neither taken for lost nor loaded again.

alter table ecompipe.batches
  add column rows_pruned bigint not null default 0,
  add constraint batches_pruned_were_inserted check (rows_pruned between 0 and rows_inserted);
comment on column ecompipe.batches.rows_pruned is 'Rows of the batch that ecompipe prune removed for their age.';

-- A pruned file keeps its SHA-256, which stops its redelivery, and its counts; ranges, rejects and duplicates are gone.
alter table ecompipe.files
  drop constraint files_state_check,
  add constraint files_state_check check (state in ('loading', 'loaded', 'quarantined', 'pruned'));

create table ecompipe.prunes (
  prune_id      bigint generated always as identity primary key,
  events_before timestamptz,
  ledger_before timestamptz,
  started_at    timestamptz not null default clock_timestamp(),
  pruned_by     text not null default session_user
);
comment on table ecompipe.prunes is 'Runs of ecompipe prune, noted before they remove anything.';
comment on column ecompipe.prunes.events_before is 'Events with an earlier event_time were removed; null: none.';
comment on column ecompipe.prunes.ledger_before is 'Files and batches that ended earlier were compacted; null: none.';

-- The block-range index of a partitioned table has no blocks of its own: those of its partitions are summarised.
create function analytics.summarize_new_blocks() returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  select brin_summarize_new_values(i.indexrelid)
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
  where a.amname = 'brin' and c.relkind = 'i'
    and (i.indrelid = 'public.events'::regclass or i.indrelid in (select relid from pg_partition_tree('public.events') where isleaf))
$$;
revoke execute on function analytics.summarize_new_blocks() from public;

do $$
declare
  before text := pg_catalog.pg_get_functiondef('analytics.refresh()'::regprocedure);
  after  text := replace(before, $q$brin_summarize_new_values('public.events_event_time_batch_id_brin')$q$, 'analytics.summarize_new_blocks()');
begin
  if after = before then raise 'analytics.refresh() is not the one of migration 003'; end if;
  execute after;
end
$$;
