-- Feeds: files of other people's shapes, whose columns are expressions over texts. A feed's records are staged as the texts
-- they are; from those the compiled expressions fill the stage of sql/005_judge.sql, and the table judges them as all others.

-- The text of each feed that ever loaded something, so that editing the file changes nothing about what is known of it.
create table ecompipe.feeds (
  feed_id       bigint generated always as identity primary key,
  name          text   not null,
  sha256        bytea  not null unique check (octet_length(sha256) = 32),
  content       text   not null,
  first_used_at timestamptz not null default clock_timestamp()
);
comment on table ecompipe.feeds is 'Feeds by which files were loaded, as they were written then.';

alter table ecompipe.files
  add column committed_records bigint not null default 0;
comment on column ecompipe.files.committed_records is 'Records within committed_offset, so that a resumed load by a feed knows their numbers.';
update ecompipe.files set committed_records = rows_read where rows_read <> 0;

-- Of a load by a feed: what the client's splitter counted, and what became of the records before any became a row. Malformed
-- ones count as rows, which are rejected; one that `rows:` multiplies is several.
alter table ecompipe.batches
  add column feed_id          bigint references ecompipe.feeds,
  add column target           text,
  add column records_read     bigint,
  add column records_skipped  bigint,
  add column records_expanded bigint,
  add constraint batches_records_add_up check (
    feed_id is null
    or (records_read is not null and records_read = records_skipped + records_expanded and rows_read >= records_expanded));
comment on column ecompipe.batches.target is 'The table that the rows are in; null: public.events.';
comment on column ecompipe.batches.records_skipped is 'Records that a feed leaves out (where:), or that have no row (rows:).';
comment on column ecompipe.batches.records_expanded is 'Records that became rows: one each, or by rows: more.';

alter table ecompipe.batch_ranges
  add column records_read    bigint,
  add column records_skipped bigint;

-- A record may be several rows, each with a verdict of its own.
alter table ecompipe.rejected_rows add column item integer not null default 0;
alter table ecompipe.rejected_rows drop constraint rejected_rows_once;
alter table ecompipe.rejected_rows add constraint rejected_rows_once unique (file_id, byte_offset, item);
comment on column ecompipe.rejected_rows.item is 'Which row of its record it is, from 1; 0: its record is one row.';
alter table ecompipe.duplicate_rows add column item integer not null default 0;
alter table ecompipe.duplicate_rows drop constraint duplicate_rows_pkey;
alter table ecompipe.duplicate_rows add constraint duplicate_rows_pkey primary key (file_id, byte_offset, item);
comment on column ecompipe.duplicate_rows.item is 'Which row of its record it is, from 1; 0: its record is one row.';

-- An id for an event that has none: the same record always has the same. A UUID of version 8 (RFC 9562): 48 bits of the
-- event's time in milliseconds, the version, the microseconds beyond them, the variant, and 56 bits of a SHA-256 over the
-- feed's name, the number of the occurrence, and the fields. Ids follow time, so that the index stays warm. Without a time
-- it is the hash alone: the column for the time is what complains then.
-- Its body is bound to names here, not at each call, so that no session's search_path matters and the planner can inline it.
create function ecompipe.derive_id(event_time timestamptz, feed text, fields text[], occurrence text default null) returns uuid
language sql stable parallel safe
return encode(
  int8send(
    coalesce(case when isfinite(event_time) then
      ((date_part('epoch', event_time) * 1000000::double precision)::bigint / 1000::bigint << 16)
      | ((date_part('epoch', event_time) * 1000000::double precision)::bigint % 1000::bigint & 4095::bigint)
    end, 0::bigint) | 32768::bigint)
  || '\x80'::bytea
  || substr(sha256(convert_to(concat(feed, '/', occurrence, '/', fields::text), 'UTF8')), 1, 7),
  'hex')::uuid;

-- Refuses a value: in an expression, where the row that has it is to be rejected.
create function ecompipe.refuse(message text, sql_state text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = sql_state, message = left(message, 1000);
end
$$;

-- The text of a date or time, where it can't be read in two ways.
create function ecompipe.plain_date(value text) returns text
language sql stable parallel safe
return case when ecompipe.date_defect(value) is null then value else ecompipe.refuse(ecompipe.date_defect(value), '22007') end;

-- Which of these texts are not in an encoding, and why. Only asked when COPY refused them all together.
create function ecompipe.undecodable(texts bytea[], encoding name, out at integer, out message text) returns setof record
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  for i in 1 .. coalesce(cardinality(texts), 0) loop
    begin
      perform convert_from(texts[i], encoding);
    exception when character_not_in_repertoire or untranslatable_character then
      at := i;
      message := sqlerrm;
      return next;
    end;
  end loop;
end
$$;

-- Makes the session's stage for records of so many fields, or empties the one that is there. Each commit empties it, too.
--   ecompipe_source: records as texts.
--   ecompipe_parts: the files that they are of.
--   ecompipe_expanded: by record, the elements of `rows:`; null where it is skipped.
--   ecompipe_made: the rows, by their records, where those are not the same.
create function ecompipe.prepare_source(fields integer, item_type text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
  shape text := concat_ws('|', fields, item_type);
begin
  if current_setting('ecompipe.source', true) is not distinct from shape and to_regclass('pg_temp.ecompipe_source') is not null then
    truncate pg_temp.ecompipe_source, pg_temp.ecompipe_parts, pg_temp.ecompipe_expanded, pg_temp.ecompipe_made;
    return;
  end if;
  drop table if exists pg_temp.ecompipe_source, pg_temp.ecompipe_parts, pg_temp.ecompipe_expanded, pg_temp.ecompipe_made;
  execute format('create temporary table ecompipe_source (ordinal integer, record_number bigint, part integer, %s) on commit delete rows',
    (select string_agg(format('f%s text', n), ', ') from generate_series(1, fields) n));
  create temporary table ecompipe_parts (part integer primary key, path text) on commit delete rows;
  execute format('create temporary table ecompipe_expanded (ordinal integer, place tid, items %s[]) on commit delete rows', item_type);
  execute format('create temporary table ecompipe_made (ordinal integer, record integer, place tid, item_number integer, item %s) on commit delete rows', item_type);
  perform set_config('ecompipe.source', shape, false);
end
$$;

-- Makes rows of the staged records: those of `where:`, and for each element of `rows:` one. A record for which that fails is
-- one row, which has its verdict already.
-- statement: inserts each of the records $1 (places) into ecompipe_expanded; null items: the record is skipped.
-- thresholds: ordinals of the first record of each part after the first. Returns rows made and records skipped, by part.
create function ecompipe.expand_records(statement text, has_items boolean, thresholds integer[], caller_path text default pg_catalog.current_setting('search_path'),
  out part integer, out made bigint, out skipped bigint)
returns setof record
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  places tid[];
  ordinals integer[];
begin
  select array_agg(s.ctid order by s.ordinal), array_agg(s.ordinal order by s.ordinal) into places, ordinals from pg_temp.ecompipe_source s;
  perform ecompipe.take_rows(statement, places, ordinals, true, '{}', false, caller_path);
  insert into pg_temp.ecompipe_made (ordinal, record, place, item_number, item)
  select case when has_items then (row_number() over (order by m.record, m.item_number) - 1)::integer else m.record end,
         m.record, m.place, case when has_items then m.item_number else 0 end, m.item
  from (
    select e.ordinal as record, e.place, i.item_number::integer, i.item
    from pg_temp.ecompipe_expanded e, unnest(e.items) with ordinality as i (item, item_number)
    union all
    select v.ordinal, null, 0, null from pg_temp.ecompipe_verdicts v
  ) as m
  order by m.record, m.item_number;
  if has_items then
    -- Their verdicts are about rows from here on; by a detour, as numbers may be taken for a moment.
    update pg_temp.ecompipe_verdicts v set ordinal = -1 - m.ordinal from pg_temp.ecompipe_made m where m.record = v.ordinal and m.place is null;
    update pg_temp.ecompipe_verdicts v set ordinal = -1 - v.ordinal;
  end if;
  return query
    select coalesce(m.part, e.part), coalesce(m.made, 0), coalesce(e.skipped, 0)
    from (select width_bucket(record, thresholds) as part, count(*) as made from pg_temp.ecompipe_made group by 1) as m
    full join (select width_bucket(ordinal, thresholds) as part, count(*) as skipped from pg_temp.ecompipe_expanded x where coalesce(cardinality(x.items), 0) = 0 group by 1) as e
      on e.part = m.part;
end
$$;

-- Fills the typed stage from the staged records (or the rows made of them, where has_made) by a feed's expressions. All
-- at once; where that fails, rows with a known defect get their verdict first, and the others are halved until it is alone.
-- statement: inserts the rows $1 (places). defects: null, or a query of ordinal, column_name, sql_state and message of rows that can't be.
-- probes: for each column, a query that fails on the row $1 where that column is what fails.
create function ecompipe.transform_records(statement text, has_made boolean, defects text, columns text[], probes text[],
  caller_path text default pg_catalog.current_setting('search_path'))
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_custom_plan
as $$
declare
  relation constant text := case when has_made then 'ecompipe_made' else 'ecompipe_source' end;
  rows_to_take constant text := format(
    'select array_agg(r.ctid order by r.ordinal), array_agg(r.ordinal order by r.ordinal) from pg_temp.%I r where not exists (select from pg_temp.ecompipe_verdicts v where v.ordinal = r.ordinal)', relation);
  places tid[];
  ordinals integer[];
  bad record;
  is_found boolean;
begin
  execute rows_to_take into places, ordinals;
  if places is null then
    return;
  end if;
  begin
    perform set_config('search_path', caller_path, true);
    execute statement using places;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    return;
  exception when others then
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    if ecompipe.blames(sqlstate) = 'server' then raise; end if;
  end;
  if defects is not null then
    begin
      perform set_config('search_path', caller_path, true);
      execute 'insert into pg_temp.ecompipe_verdicts (ordinal, kind, sql_state, column_name, message) select d.ordinal, ''invalid'', d.sql_state, d.column_name, left(d.message, 1000) from ('
        || defects || ') as d where not exists (select from pg_temp.ecompipe_verdicts v where v.ordinal = d.ordinal)';
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    exception when others then
      -- Only a look ahead: the walk below finds the rows, too.
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if ecompipe.blames(sqlstate) = 'server' then raise; end if;
    end;
    execute rows_to_take into places, ordinals;
  end if;
  perform ecompipe.take_rows(statement, places, ordinals, true, '{}', false, caller_path);
  for bad in execute format(
    'select v.ordinal, r.ctid as place from pg_temp.ecompipe_verdicts v join pg_temp.%I r using (ordinal) where v.column_name is null%s', relation,
    case when has_made then ' and r.place is not null' else '' end)
  loop
    for i in 1 .. cardinality(columns) loop
      begin
        perform set_config('search_path', caller_path, true);
        execute probes[i] using array[bad.place];
        is_found := false;
      exception when others then
        is_found := true;
        if ecompipe.blames(sqlstate) = 'server' then raise; end if;
      end;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if is_found then
        update pg_temp.ecompipe_verdicts v set column_name = columns[i] where v.ordinal = bad.ordinal;
        exit;
      end if;
    end loop;
  end loop;
end
$$;
