-- What people do about loaded data: correct rejected rows and replay them, and take files or batches out again.

-- Which columns the rows of a batch have, in their order: without it nobody could say what the fields of a rejected row
-- mean once its file is gone. Null for batches from before this migration.
alter table ecompipe.batches add column columns text[];

-- Its rows were taken out of public.events again, and what is left of its counts are zeros.
alter table ecompipe.batches add column undone_at timestamptz;

-- A replay loads corrected rows instead of a range of a file: such a batch has no ranges, its rows are those of
-- ecompipe.rejected_rows that it resolved.
alter table ecompipe.batches drop constraint batches_load_path_check;
alter table ecompipe.batches add constraint batches_load_path_check check (load_path in ('fast', 'slow', 'replay'));

-- A reject is open until a corrected row of it is in public.events: resolved once, in the transaction that loaded the row.
alter table ecompipe.rejected_rows
  add column resolution        text check (resolution in ('inserted', 'duplicate')),
  add column resolved_by       text,
  add column resolved_batch_id bigint references ecompipe.batches deferrable initially deferred,
  add column resolved_event_id uuid,
  add constraint rejected_rows_resolved_whole check (num_nulls(resolved_at, resolution, resolved_by, resolved_batch_id, resolved_event_id) in (0, 5));

comment on column ecompipe.rejected_rows.resolution is 'What became of the corrected row: inserted, or a duplicate of an equal event that was there already.';

-- Rejects are many and resolved ones few: what stays open costs the loader nothing here.
create index rejected_rows_resolved_batch_id on ecompipe.rejected_rows (resolved_batch_id) where resolved_batch_id is not null;
create index rejected_rows_resolved_event_id on ecompipe.rejected_rows (resolved_event_id) where resolved_event_id is not null;

-- Files that were taken out again. The ledger then no longer knows them, so that they can be loaded once more; this is
-- what tells it from a ledger that has lost something.
create table ecompipe.undone_files (
  undone_id      bigint generated always as identity primary key,
  sha256         bytea  not null check (octet_length(sha256) = 32),
  name           text   not null,
  rows_inserted  bigint not null,
  rows_duplicate bigint not null,
  rows_rejected  bigint not null,
  undone_at      timestamptz not null default clock_timestamp(),
  undone_by      text   not null default session_user
);

comment on table ecompipe.undone_files is 'Files that ecompipe undo took out again, with what the ledger had counted of them.';

create index undone_files_sha256 on ecompipe.undone_files (sha256);
