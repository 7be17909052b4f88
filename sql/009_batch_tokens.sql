-- After a restore, or on a standby that lagged and was promoted, batch ids are handed out again. The token tells the batch
-- that a stream saw committed from another one with its id; the loader makes it, so that it is known before the commit.
alter table ecompipe.batches add column token uuid not null default gen_random_uuid();
comment on column ecompipe.batches.token is 'Random: with the id, it is what a stream remembers of a batch that it saw committed.';
