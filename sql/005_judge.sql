-- The table judges its rows: what the loaders call instead of keeping rules of their own.
--
-- A batch whose rows can't all go straight into their table is staged in temporary tables of the session, and these
-- functions give each row its verdict. Everything they know of the target table they read from the catalogue when they
-- are called: column types, defaults, key, constraints, triggers. Looking ahead (conversions, CHECKs) only finds suspects.
-- The verdict on a suspect is the table's own refusal of that row, inserted alone in a block with an exception handler.
--
-- All of them run with the rights of whoever calls them, and are in a schema that only those may use who were granted it.

-- Names that say what they hold.
alter table ecompipe.files rename column source to file_stamp;

alter table ecompipe.batches drop constraint batches_load_path_check;
update ecompipe.batches set load_path = case load_path when 'fast' then 'direct' else 'staged' end where load_path in ('fast', 'slow');
alter table ecompipe.batches add constraint batches_load_path_check check (load_path in ('direct', 'staged', 'replay'));

-- A key of any type: its text, or a JSON array of texts where it has several columns. Hashed, as it may be longer than a
-- page of a tree can hold.
drop index ecompipe.duplicate_rows_event_id;
alter table ecompipe.duplicate_rows alter column event_id type text;
alter table ecompipe.duplicate_rows rename column event_id to key;
create index duplicate_rows_key on ecompipe.duplicate_rows using hash (key);
comment on column ecompipe.duplicate_rows.key is 'Key of the row in its table: its text, or a JSON array of texts where it has several columns.';

drop index ecompipe.rejected_rows_resolved_event_id;
alter table ecompipe.rejected_rows alter column resolved_event_id type text;
alter table ecompipe.rejected_rows rename column resolved_event_id to resolved_key;
create index rejected_rows_resolved_key on ecompipe.rejected_rows using hash (resolved_key) where resolved_key is not null;

-- Looking up the same file and batch for each reject was two thirds of what a reject costs, and a file may have a million.
-- The range of the batch, which commits with them, holds on to the file; verify --ledger proves the rest.
alter table ecompipe.rejected_rows drop constraint rejected_rows_batch_id_fkey, drop constraint rejected_rows_file_id_fkey;
alter table ecompipe.duplicate_rows drop constraint duplicate_rows_batch_id_fkey, drop constraint duplicate_rows_file_id_fkey;

-- An item's price is required where this says so, and nowhere at first: many shops' logs have none.
alter table ecompipe.event_types add column needs_price boolean not null default false;
comment on column ecompipe.event_types.needs_price is 'Its rows must have a price. Apart from needs_product, and off by default.';

-- Adding a type holds up nobody: only constraints whose types change are made anew, and without a look at the rows that are
-- there. `ecompipe migrate` looks at those, with a lock that lets loads go on.
create or replace function ecompipe.apply_event_types() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  rule record;
begin
  for rule in
    select r.name, r.condition, r.types, c.oid is not null as is_there
    from (
      select array_agg(event_type order by position) as known,
             array_agg(event_type order by position) filter (where needs_product) as product,
             array_agg(event_type order by position) filter (where needs_price) as price,
             array_agg(event_type order by position) filter (where needs_quantity) as quantity,
             array_agg(event_type order by position) filter (where needs_order) as with_order,
             array_agg(event_type order by position) filter (where needs_search_term) as search_term
      from ecompipe.event_types
    ) as t, lateral (values
      ('events_event_type_known', 'event_type = any (%L::text[])', coalesce(known, '{}')),
      ('events_product_required', 'product_id is not null or event_type <> all (%L::text[])', product),
      ('events_price_required', 'price is not null or event_type <> all (%L::text[])', price),
      ('events_quantity_required', 'quantity is not null or event_type <> all (%L::text[])', quantity),
      ('events_order_required', 'order_id is not null or event_type <> all (%L::text[])', with_order),
      ('events_search_term_required', 'search_term is not null or event_type <> all (%L::text[])', search_term)
    ) as r (name, condition, types)
    left join pg_constraint c on c.conrelid = 'public.events'::regclass and c.conname = r.name
    where case
      when c.oid is null or r.types is null then c.oid is not null or r.types is not null
      else position(quote_literal(r.types) in pg_get_expr(c.conbin, c.conrelid)) = 0
    end
  loop
    if rule.is_there then
      execute format('alter table public.events drop constraint %I', rule.name);
    end if;
    if rule.types is not null then
      execute format('alter table public.events add constraint %I check (', rule.name) || format(rule.condition, rule.types) || ') not valid';
    end if;
  end loop;
  return null;
end
$$;

-- Looks whether the rows that are there meet the constraints that were added without a look. Loads go on meanwhile.
create function ecompipe.validate_constraints(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
begin
  for name in
    select conname from pg_constraint where conrelid = target and contype = 'c' and not convalidated and to_jsonb(pg_constraint) ->> 'conenforced' is distinct from 'false'
  loop
    execute format('alter table %s validate constraint %I', target, name);
  end loop;
end
$$;

-- The price is optional from here on.
alter table public.events drop constraint events_price_required;

-- What is wrong with a date or time that means something else on another day, or to another reader; null if nothing is.
-- What is left is the server's to judge.
create function ecompipe.date_defect(value text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case
    when value is null or value ~ '^\s*\d{4}-\d\d-\d\d(?:[T ]\d\d?(?::\d\d){1,2}(?:[.,]\d+)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)?)?\s*$' then null
    when value ~* '(?:^|[^a-z])(?:now|today|tomorrow|yesterday|epoch|allballs)(?:$|[^a-z])'
      then format('%s is a word for a moment, not a date: write it as YYYY-MM-DD', to_json(left(value, 100)))
    when value !~ '[0-9]' then null
    when value ~* '^\s*[0-9]{4,6}[-/. ](?:[0-9]{1,2}|[a-z]{3,9})[-/. ][0-9]{1,2}(?:$|[^0-9])' then null
    when value ~* '^\s*[0-9]{8}(?:t?[0-9]{6})?(?:$|[^0-9])' or value ~* '^\s*[0-9]{4}-?[0-9]{3}(?:$|[^0-9])' then null
    when value ~* '^\s*(?:j[0-9]+|y[0-9]{4}m[0-9]+d[0-9]+)(?:$|[^0-9])' then null
    when value ~* '(?:^|[^a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?:$|[^a-z])'
      and value ~ '(?:^|[^0-9:+.-]|[a-zA-Z]-)[0-9]{4}(?:$|[^0-9:.])' then null
    else format('%s can be read as more than one date: write it as YYYY-MM-DD', to_json(left(value, 100)))
  end
$$;

create function ecompipe.time_defect(value text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case when value ~* '(?:^|[^a-z])(?:now|allballs)(?:$|[^a-z])'
    then format('%s is a word for a moment, not a time: write it as HH:MM:SS', to_json(left(value, 100))) end
$$;

-- The columns of a table that a file may bring, as the loader needs to know them. Generated ones are none of them, and
-- neither are those that say which batch brought a row, and when.
create function ecompipe.loadable_columns(target regclass,
  out name text, out column_type text, out is_required boolean, out is_temporal boolean, out attnum smallint,
  out type_oid oid, out base_oid oid, out base_typmod integer)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive base as (
    select a.attnum, a.atttypid as oid, a.atttypmod as typmod
    from pg_attribute a
    where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      and not (a.attname in ('batch_id', 'ingested_at') and a.atthasdef)
    union all
    select b.attnum, t.typbasetype, case when t.typtypmod <> -1 then t.typtypmod else b.typmod end
    from base b join pg_type t on t.oid = b.oid
    where t.typtype = 'd'
  )
  select a.attname, format_type(a.atttypid, a.atttypmod),
         a.attnotnull and not a.atthasdef and a.attidentity = '',
         b.oid in ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'time'::regtype, 'timetz'::regtype),
         a.attnum, a.atttypid, b.oid, b.typmod
  from base b
  join pg_type t on t.oid = b.oid and t.typtype <> 'd'
  join pg_attribute a on a.attrelid = target and a.attnum = b.attnum
  order by a.attnum
$$;

-- The relations that a row of the target may end up in: itself and its partitions.
create function ecompipe.relations_of(target regclass) returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select target::oid union select relid::oid from pg_partition_tree(target) $$;

-- A target table as the loaders know it. The fingerprint changes with everything that may change a verdict.
create function ecompipe.describe_table(target regclass,
  out fingerprint text, out columns json, out key_columns text[], out deferred text[], out takes_copy boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select
    md5((select string_agg(concat_ws(',', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated, a.attisdropped), ';' order by a.attrelid, a.attnum)
         from pg_attribute a where a.attrelid in (select r from ecompipe.relations_of(target) r) and a.attnum > 0)
      || coalesce((select string_agg(concat_ws(',', c.oid, c.xmin), ';' order by c.oid) from pg_constraint c where c.conrelid in (select r from ecompipe.relations_of(target) r)), '')
      || coalesce((select string_agg(concat_ws(',', t.oid, t.xmin), ';' order by t.oid) from pg_trigger t where t.tgrelid in (select r from ecompipe.relations_of(target) r)), '')
      || coalesce((select string_agg(concat_ws(',', d.oid, d.xmin), ';' order by d.oid) from pg_attrdef d where d.adrelid = target), '')),
    (select json_agg(json_build_object('name', name, 'type', column_type, 'isRequired', is_required, 'isTemporal', is_temporal)) from ecompipe.loadable_columns(target)),
    (select array_agg(a.attname::text order by k.position)
     from pg_index i, unnest(i.indkey) with ordinality as k (attnum, position)
     join pg_attribute a on a.attrelid = target and a.attnum = k.attnum
     where i.indrelid = target and i.indisprimary and k.position <= i.indnkeyatts),
    (select coalesce(array_agg(format('%I.%I', n.nspname, c.conname)), '{}')
     from pg_constraint c join pg_namespace n on n.oid = c.connamespace
     where c.conrelid in (select r from ecompipe.relations_of(target) r) and c.condeferrable and c.conparentid = 0),
    -- COPY goes round rules, and row security is closed to it.
    not exists (select from pg_rewrite where ev_class = target and ev_type = '3') and not row_security_active(target)
$$;

-- SQL fragments that load rows of these columns into a table. Staged columns are called c1, c2, … whatever the table's are.
create function ecompipe.load_plan(target regclass, columns text[],
  out text_columns text, out typed_columns text, out stage_columns text, out table_columns text,
  out conversions text[], out type_names text[], out date_defect text, out date_defects text[],
  out key_match text, out key_columns text, out key_text text, out is_suspect text, out difference text,
  out has_row_triggers boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  col record;
  aliases text := '';
  not_null text[] := '{}';
  differences text[] := '{}';
  key record;
  keys integer := 0;
  checks text;
begin
  conversions := '{}';
  type_names := '{}';
  date_defects := '{}';
  for col in
    select f.position, 'c' || f.position as staged, f.name as wanted, c.*, a.attnotnull, a.attcollation, t.typinput, t.typtype, t.typcategory, t.typelem, t.typnamespace,
           t.typcollation, p.pronargs, p.proname, pn.nspname, p.prorettype,
           t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b' and t.typcategory <> 'A'
             and (t.typcategory = 'S' or exists (select from pg_opclass o join pg_am m on m.oid = o.opcmethod where o.opcintype = t.oid and o.opcdefault and m.amname = 'btree')) as is_comparable
    from unnest(columns) with ordinality as f (name, position)
    left join ecompipe.loadable_columns(target) c on c.name = f.name
    left join pg_attribute a on a.attrelid = target and a.attnum = c.attnum
    left join pg_type t on t.oid = c.base_oid
    left join pg_proc p on p.oid = t.typinput
    left join pg_namespace pn on pn.oid = p.pronamespace
    order by f.position
  loop
    if col.name is null then
      raise undefined_column using message = format('column %I of %s is not there (any more)', col.wanted, target);
    end if;
    text_columns := concat_ws(', ', text_columns, col.staged || ' text');
    typed_columns := concat_ws(', ', typed_columns, col.staged || ' ' || col.column_type
      || coalesce((select format(' collate %I.%I', n.nspname, l.collname) from pg_collation l join pg_namespace n on n.oid = l.collnamespace where l.oid = nullif(col.attcollation, 0) and col.attcollation <> col.typcollation), ''));
    stage_columns := concat_ws(', ', stage_columns, col.staged);
    table_columns := concat_ws(', ', table_columns, quote_ident(col.name));
    type_names := type_names || col.column_type;
    -- The type's own input function, with the column's modifier, is what COPY calls: a cast would cut a long text to fit.
    conversions := conversions || case
      when col.base_oid = 'text'::regtype or col.base_oid = 'varchar'::regtype and col.base_typmod = -1 then 's.' || col.staged
      when col.typtype = 'b' and col.prorettype = col.base_oid and col.typcategory <> 'A' then
        format('%I.%I(pg_catalog.textout(s.%s)%s)', col.nspname, col.proname, col.staged,
          case col.pronargs when 1 then '' when 2 then format(', %s::oid', case when col.typelem <> 0 then col.typelem else col.base_oid end)
            else format(', %s::oid, %s', case when col.typelem <> 0 then col.typelem else col.base_oid end, col.base_typmod) end)
      else format('cast(s.%s as %s)', col.staged, format_type(col.base_oid, null)) end;
    date_defects := date_defects || case when not col.is_temporal then null
      else format('ecompipe.%s(s.%s)', case when col.base_oid in ('time'::regtype, 'timetz'::regtype) then 'time_defect' else 'date_defect' end, col.staged) end;
    aliases := aliases || format(', %s as %I', col.staged, col.name);
    if col.attnotnull then
      not_null := not_null || format('%I is null', col.name);
    end if;
    differences := differences || format(
      case when col.is_comparable then 'case when t.%1$s is distinct from e.%2$I then %2$L::pg_catalog.text end'
        else 'case when cast(t.%1$s as pg_catalog.text) is distinct from cast(e.%2$I as pg_catalog.text) then %2$L::pg_catalog.text end' end, col.staged, col.name);
  end loop;

  select string_agg(format('when %s is not null then %s', d, position), ' ' order by position) into date_defect
  from unnest(date_defects) with ordinality as x (d, position) where d is not null;
  date_defect := case when date_defect is not null then format('case %s end', date_defect) end;

  -- The key, by the operators of its index; without all of its columns in the file nothing can come twice.
  for key in
    select 'c' || array_position(columns, a.attname::text) as staged, array_position(columns, a.attname::text) is not null as is_there, a.attname,
           (select format('operator(%I.%s)', n.nspname, o.oprname)
            from pg_opclass c join pg_amop m on m.amopfamily = c.opcfamily and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype and m.amopstrategy = 3
            join pg_operator o on o.oid = m.amopopr join pg_namespace n on n.oid = o.oprnamespace
            where c.oid = i.indclass[k.position - 1]) as equals
    from pg_index i, unnest(i.indkey) with ordinality as k (attnum, position)
    join pg_attribute a on a.attrelid = target and a.attnum = k.attnum
    where i.indrelid = target and i.indisprimary and k.position <= i.indnkeyatts
    order by k.position
  loop
    if not key.is_there then
      key_match := null;
      keys := 0;
      exit;
    end if;
    keys := keys + 1;
    key_match := concat_ws(' and ', key_match, format('e.%I %s t.%s', key.attname, key.equals, key.staged));
    key_columns := concat_ws(', ', key_columns, 't.' || key.staged);
    key_text := concat_ws(', ', key_text, format('cast(t.%s as pg_catalog.text)', key.staged));
  end loop;
  if key_match is null then
    key_columns := null;
    key_text := null;
  elsif keys > 1 then
    key_text := format('pg_catalog.json_build_array(%s)::pg_catalog.text', key_text);
  end if;

  select coalesce(bool_or(true), false) into has_row_triggers
  from pg_trigger
  where tgrelid in (select r from ecompipe.relations_of(target) r) and not tgisinternal and tgenabled in ('O', 'A') and tgtype & 7 = 7;

  -- A trigger may mend what a row lacks; then only the insert itself can tell. A column that is not in the file counts as
  -- NULL where nothing fills it; a CHECK over one that something does fill is left to the insert, too.
  if not has_row_triggers then
    select aliases || coalesce(string_agg(format(', null::%s as %I', format_type(atttypid, atttypmod), attname), ''), '') into aliases
    from pg_attribute
    where attrelid = target and attnum > 0 and not attisdropped and attname <> all (columns) and not atthasdef and attidentity = '' and attgenerated = '';
    select string_agg(format('(%s) is false', pg_get_expr(c.conbin, c.conrelid)), ' or ' order by c.conname) into checks
    from pg_constraint c
    where c.conrelid = target and c.contype = 'c' and cardinality(c.conkey) > 0 and to_jsonb(c) ->> 'conenforced' is distinct from 'false'
      and not exists (
        select from pg_attribute a
        where a.attrelid = target and a.attnum = any (c.conkey) and a.attname <> all (columns) and (a.atthasdef or a.attidentity <> '' or a.attgenerated <> ''));
    if checks is not null or cardinality(not_null) > 0 then
      is_suspect := format('select ordinal_of_row from (select t.ordinal as ordinal_of_row%s from pg_temp.ecompipe_typed t) as r where %s',
        aliases, concat_ws(' or ', array_to_string(not_null, ' or '), checks));
      is_suspect := replace(is_suspect, 'where  or ', 'where ');
    end if;
  end if;
  difference := format('pg_catalog.array_remove(array[%s]::pg_catalog.text[], null)', array_to_string(differences, ', '));
end
$$;

-- Makes the session's stage for rows of these columns, or empties the one that is there. Each commit empties it, too.
--   ecompipe_text: records as texts, an ordinal each.  ecompipe_typed: those whose texts are of the right types.
--   ecompipe_verdicts: what became of the rows that were not inserted.
create function ecompipe.prepare_stage(target regclass, columns text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
  shape text := md5(concat_ws('|', plan.text_columns, plan.typed_columns));
begin
  if current_setting('ecompipe.stage', true) is not distinct from shape and to_regclass('pg_temp.ecompipe_verdicts') is not null then
    truncate pg_temp.ecompipe_text, pg_temp.ecompipe_typed, pg_temp.ecompipe_verdicts;
    return;
  end if;
  drop table if exists pg_temp.ecompipe_text, pg_temp.ecompipe_typed, pg_temp.ecompipe_verdicts;
  execute format('create temporary table ecompipe_text (%s) on commit delete rows', concat_ws(', ', 'ordinal integer', plan.text_columns));
  execute format('create temporary table ecompipe_typed (%s) on commit delete rows', concat_ws(', ', 'ordinal integer', plan.typed_columns));
  create temporary table ecompipe_verdicts (
    ordinal         integer primary key,
    kind            text not null,  -- invalid, conflict, duplicate
    sql_state       text,
    column_name     text,
    constraint_name text,
    message         text,
    key             text,
    place           tid             -- of a row that the table refused, in ecompipe_typed
  ) on commit delete rows;
  perform set_config('ecompipe.stage', shape, false);
end
$$;

-- What a refusal is about: the row; the server, or whoever could mend it; or it depends on whether other rows go in, as
-- for everything that nobody listed.
create function ecompipe.blames(sql_state text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case
    when left(sql_state, 2) in ('02', '21', '22', '23', '2F', '38', '39', '44', '54', 'P0') then 'row'
    when left(sql_state, 2) in ('08', '0B', '25', '26', '28', '34', '3B', '3D', '40', '53', '55', '57', '58', 'F0', 'HV', 'XX') then 'server'
    else 'unclear'
  end
$$;

-- Runs a statement that takes rows (by their places) over all of these rows, and gives each that is refused alone its
-- verdict. Starts with all at once, halves when they are refused and doubles when they are taken: the work is linear in
-- the rows however many are bad, and each attempt's savepoint ends with it.
-- caller_path: the search_path under which triggers and input functions run, as in a COPY of the caller.
create function ecompipe.take_rows(statement text, rows tid[], ordinals integer[], is_conversion boolean, key_constraints text[], is_secured boolean, caller_path text,
  out taken bigint, out unclear_state text, out unclear_message text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  total constant integer := coalesce(cardinality(rows), 0);
  at integer := 1;
  size integer := total;
  grew boolean := false;
  affected bigint;
  state text;
  refusal text;
  detail text;
  bad_column text;
  bad_constraint text;
  blame text;
begin
  taken := 0;
  while at <= total loop
    size := least(size, total - at + 1);
    begin
      perform set_config('search_path', caller_path, true);
      execute statement using rows[at : at + size - 1];
      get diagnostics affected = row_count;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if affected < size then
        raise exception using errcode = '02000', message = 'skipped by a trigger or a rule of the table, which inserted nothing';
      end if;
      taken := taken + size;
      at := at + size;
      size := case when grew then size * 2 else size end;
      grew := true;
    exception when others then
      get stacked diagnostics state = returned_sqlstate, refusal = message_text, detail = pg_exception_detail, bad_column = column_name, bad_constraint = constraint_name;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      blame := ecompipe.blames(state);
      if is_conversion and blame = 'unclear' or is_secured and state = '42501' then
        blame := 'row';
      end if;
      if blame = 'server' then
        raise;
      end if;
      if size > 1 then
        size := size / 2;
        grew := false;
      else
        if blame = 'unclear' and unclear_state is null then
          unclear_state := state;
          unclear_message := refusal;
        end if;
        insert into pg_temp.ecompipe_verdicts (ordinal, place, kind, sql_state, column_name, constraint_name, message)
        values (ordinals[at], case when not is_conversion then rows[at] end, case when state = '23505' and bad_constraint = any (key_constraints) then 'known' else 'invalid' end,
          state, nullif(bad_column, ''), nullif(bad_constraint, ''),
          left(concat_ws('; ', refusal, case when state <> '23502' and state <> '23514' then nullif(detail, '') end), 1000));
        at := at + 1;
      end if;
    end;
  end loop;
end
$$;

-- Takes the records that are texts of the right types over into the typed stage; the others get their verdict.
create function ecompipe.convert_texts(target regclass, columns text[], caller_path text default pg_catalog.current_setting('search_path')) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
  places tid[];
  ordinals integer[];
  bad record;
  is_found boolean;
begin
  if plan.date_defect is not null then
    execute format(
      'insert into pg_temp.ecompipe_verdicts (ordinal, kind, sql_state, column_name, message)
       select d.ordinal, ''invalid'', ''22007'', ($1)[d.position], case d.position %s end
       from (select s.*, %s as position from pg_temp.ecompipe_text s) as d
       where d.position is not null',
      (select string_agg(format('when %s then %s', position, replace(defect, '(s.', '(d.')), ' ')
       from unnest(plan.date_defects) with ordinality as x (defect, position) where defect is not null),
      plan.date_defect) using columns;
  end if;
  -- What an input function has to say can be asked of all rows at once, from PostgreSQL 16 on, and where all the types take part.
  if current_setting('server_version_num')::integer >= 160000 then
    begin
      perform set_config('search_path', caller_path, true);
      execute (select format(
        'insert into pg_temp.ecompipe_verdicts (ordinal, kind, sql_state, column_name, message)
         select b.ordinal, ''invalid'', i.sql_error_code, ($1)[b.position], pg_catalog.left(pg_catalog.concat_ws(''; '', i.message, i.detail), 1000)
         from (select s.*, case %1$s end as position from pg_temp.ecompipe_text s
               where not exists (select from pg_temp.ecompipe_verdicts v where v.ordinal operator(pg_catalog.=) s.ordinal)) as b
         cross join lateral pg_catalog.pg_input_error_info(case b.position %2$s end, case b.position %3$s end) as i
         where b.position is not null',
        string_agg(format('when not pg_catalog.pg_input_is_valid(s.c%s, %L) then %s', position, name, position), ' ' order by position),
        string_agg(format('when %s then b.c%s', position, position), ' '), string_agg(format('when %s then %L', position, name), ' '))
        from unnest(plan.type_names) with ordinality as x (name, position)) using columns;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    exception when others then
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if ecompipe.blames(sqlstate) = 'server' then raise; end if;
    end;
  end if;
  select array_agg(s.ctid order by s.ordinal), array_agg(s.ordinal order by s.ordinal) into places, ordinals
  from pg_temp.ecompipe_text s
  where not exists (select from pg_temp.ecompipe_verdicts v where v.ordinal = s.ordinal);
  perform ecompipe.take_rows(
    format('insert into pg_temp.ecompipe_typed (ordinal, %s) select s.ordinal, %s from pg_temp.ecompipe_text s where s.ctid operator(pg_catalog.=) any ($1)',
      plan.stage_columns, array_to_string(plan.conversions, ', ')),
    places, ordinals, true, '{}', false, caller_path);
  -- An input function does not know whose column it works for.
  for bad in select v.ordinal from pg_temp.ecompipe_verdicts v where v.column_name is null loop
    for i in 1 .. cardinality(columns) loop
      continue when plan.conversions[i] = 's.c' || i and plan.type_names[i] in ('text', 'character varying');
      begin
        execute format('insert into pg_temp.ecompipe_typed (c%s) select %s from pg_temp.ecompipe_text s where s.ordinal = $1', i, plan.conversions[i]) using bad.ordinal;
        raise exception using errcode = 'EC001';
      exception
        when sqlstate 'EC001' then
          is_found := false;
        when others then
          if ecompipe.blames(sqlstate) = 'server' then raise; end if;
          is_found := true;
      end;
      if is_found then
        update pg_temp.ecompipe_verdicts v set column_name = columns[i] where v.ordinal = bad.ordinal;
        exit;
      end if;
    end loop;
  end loop;
end
$$;

-- Of rows whose key the table has: the same content is a duplicate, other content a conflict. Only the file's columns
-- count, and where triggers change rows, what they would make of this one.
create function ecompipe.compare_known(target regclass, columns text[], ordinals integer[], caller_path text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_custom_plan
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
  key_constraint text := (select conname from pg_constraint where conrelid = target and contype = 'p');
  verdict constant text :=
    'select t.ordinal, case when cardinality(d.differing) = 0 then ''duplicate'' else ''conflict'' end as kind,
            case when cardinality(d.differing) > 0 then ''23505'' end as sql_state, d.differing[1] as column_name,
            case when cardinality(d.differing) > 0 then %3$L end as constraint_name,
            case when cardinality(d.differing) > 0 then left(format(''%%s is in the table with other content: %%s'', %4$s, array_to_string(d.differing, '', '')), 1000) end as message,
            %4$s as key
     from pg_temp.%5$I t
     join %1$s e on %2$s
     cross join lateral (select %6$s as differing) as d
     where t.ordinal = any ($1)';
  candidate integer;
  becomes record;
  mirror constant text := (select relname from pg_class where oid = target);
begin
  if coalesce(cardinality(ordinals), 0) = 0 then
    return;
  end if;
  execute 'insert into pg_temp.ecompipe_verdicts (ordinal, kind, sql_state, column_name, constraint_name, message, key) '
    || format(verdict, target, plan.key_match, key_constraint, plan.key_text, 'ecompipe_typed', plan.difference)
    || ' on conflict (ordinal) do update set kind = excluded.kind, sql_state = excluded.sql_state, column_name = excluded.column_name,
         constraint_name = excluded.constraint_name, message = excluded.message, key = excluded.key' using ordinals;
  if not plan.has_row_triggers then
    return;
  end if;
  for candidate in
    select v.ordinal from pg_temp.ecompipe_verdicts v where v.ordinal = any (ordinals) and v.kind in ('conflict', 'known') order by v.ordinal
  loop
    becomes := ecompipe.after_triggers(target, columns, candidate, caller_path);
    if becomes.kind is not null then
      update pg_temp.ecompipe_verdicts v
      set kind = becomes.kind, sql_state = becomes.sql_state, column_name = becomes.column_name, constraint_name = becomes.constraint_name,
          message = becomes.message, key = becomes.key
      where v.ordinal = candidate;
    end if;
  end loop;
end
$$;

-- The verdict on a known row as its table's BEFORE triggers would change it: they run on an empty copy of the table, and
-- all they did is rolled back. No verdict where that can't be done.
create function ecompipe.after_triggers(target regclass, columns text[], ordinal integer, caller_path text,
  out kind text, out sql_state text, out column_name text, out constraint_name text, out message text, out key text)
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
  mirror constant text := (select relname from pg_class where oid = target);
  differing text[];
  is_there boolean;
  in_place record;
begin
  begin
    execute format('create temporary table %I (like %s including defaults including generated including identity)', mirror, target);
    for in_place in
      select format('create trigger %I before insert on pg_temp.%I for each row %s', t.tgname, mirror,
               substring(pg_get_triggerdef(t.oid) from ' FOR EACH ROW (.*)$')) as definition
      from pg_trigger t
      where t.tgrelid = target and not t.tgisinternal and t.tgenabled in ('O', 'A') and t.tgtype & 7 = 7
    loop
      execute in_place.definition;
    end loop;
    perform set_config('search_path', caller_path, true);
    execute format('insert into pg_temp.%I (%s) overriding system value select %s from pg_temp.ecompipe_typed t where t.ordinal operator(pg_catalog.=) $1',
      mirror, plan.table_columns, plan.stage_columns) using ordinal;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    execute format('select %s, %s from (select %s from pg_temp.%I m) as t join %s e on %s',
      plan.key_text, plan.difference,
      (select string_agg(format('m.%I as c%s', name, position), ', ') from unnest(columns) with ordinality as x (name, position)),
      mirror, target, plan.key_match) into key, differing;
    is_there := differing is not null;
    raise exception using errcode = 'EC001';
  exception
    when sqlstate 'EC001' then
      null;
    when others then
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if ecompipe.blames(sqlstate) = 'server' then raise; end if;
      return;
  end;
  if not is_there then
    key := null;
    return;
  end if;
  kind := case when cardinality(differing) = 0 then 'duplicate' else 'conflict' end;
  if kind = 'conflict' then
    sql_state := '23505';
    column_name := differing[1];
    constraint_name := (select conname from pg_constraint where conrelid = target and contype = 'p');
    message := left(format('%s is in the table with other content: %s', key, array_to_string(differing, ', ')), 1000);
  end if;
end
$$;

-- Inserts the rows of the typed stage that the table accepts, and gives the others their verdict: the first of each key
-- wins. Returns how many were inserted; the ordinals of the others tell which of them were rejected, and which are duplicates.
create function ecompipe.insert_rows(target regclass, columns text[], caller_path text default pg_catalog.current_setting('search_path'),
  out inserted bigint, out rejected integer[], out duplicates integer[])
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
-- The planner knows nothing of a fresh temporary table, and might read all of the target for it.
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_custom_plan
set work_mem = '32MB'
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
  statement constant text := format('insert into %s (%s) overriding system value select %s from pg_temp.ecompipe_typed t where ',
    target, plan.table_columns, plan.stage_columns);
  by_place constant text := statement || 't.ctid operator(pg_catalog.=) any ($1)';
  key_constraints text[] := (select coalesce(array_agg(conname), '{}') from pg_constraint where contype = 'p' and conrelid in (select r from ecompipe.relations_of(target) r));
  is_secured constant boolean := row_security_active(target);
  suspects integer[] := '{}';
  known integer[] := '{}';
  later integer[] := '{}';
  places tid[];
  ordinals integer[];
  walk record;
  unclear_state text;
  unclear_message text;
  total bigint;
  expected bigint;
  is_whole boolean := true;
  constraints text;
begin
  select string_agg(format('%I.%I', n.nspname, c.conname), ', ') into constraints
  from pg_constraint c join pg_namespace n on n.oid = c.connamespace
  where c.conrelid in (select r from ecompipe.relations_of(target) r) and c.condeferrable and c.conparentid = 0;
  -- One that waited for the commit could not tell which row broke it.
  if constraints is not null then
    execute 'set constraints ' || constraints || ' immediate';
  end if;
  if plan.is_suspect is not null then
    begin
      execute format('select coalesce(array_agg(x.ordinal_of_row), ''{}'') from (%s) as x', plan.is_suspect) into suspects;
    exception when others then
      -- A rule that fails on some row, or says something about the table as a whole: the insert will tell.
      if ecompipe.blames(sqlstate) = 'server' then raise; end if;
      suspects := '{}';
    end;
  end if;
  if plan.key_match is not null then
    execute format('select coalesce(array_agg(t.ordinal), ''{}'') from pg_temp.ecompipe_typed t where exists (select from %s e where %s)', target, plan.key_match) into known;
    execute format('select coalesce(array_agg(o.ordinal), ''{}'') from (select t.ordinal, row_number() over (partition by %s order by t.ordinal) as occurrence from pg_temp.ecompipe_typed t) as o where o.occurrence > 1', plan.key_columns) into later;
  end if;

  -- Which of two rows that another unique index keeps apart is the first must not depend on what else is in the batch.
  if cardinality(suspects || later) > 0 and (
    select count(*) > 1 or bool_or(not indisprimary) from pg_index where indrelid = target and (indisunique or indisexclusion)
  ) then
    select coalesce(array_agg(t.ordinal), '{}') into suspects from pg_temp.ecompipe_typed t where t.ordinal <> all (known) or t.ordinal = any (suspects);
    later := '{}';
  end if;

  -- All that looks good at once; if the table says no after all, as many as it takes at a time.
  select count(*) into total from pg_temp.ecompipe_typed t;
  select total - count(distinct o) into expected from unnest(suspects || known || later) as o;
  inserted := 0;
  if expected > 0 then
    begin
      perform set_config('search_path', caller_path, true);
      execute statement || 't.ordinal operator(pg_catalog.<>) all ($1)' using suspects || known || later;
      get diagnostics inserted = row_count;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if inserted <> expected then
        raise exception using errcode = '02000';
      end if;
    exception when others then
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if ecompipe.blames(sqlstate) = 'server' then raise; end if;
      is_whole := false;
    end;
    if not is_whole then
      select array_agg(t.ctid order by t.ordinal), array_agg(t.ordinal order by t.ordinal) into places, ordinals
      from pg_temp.ecompipe_typed t where t.ordinal <> all (suspects || known || later);
      walk := ecompipe.take_rows(by_place, places, ordinals, false, key_constraints, is_secured, caller_path);
      inserted := walk.taken;
      unclear_state := walk.unclear_state;
      unclear_message := walk.unclear_message;
    end if;
  end if;

  -- Suspects, and rows whose key came before: those are known by now, unless the ones before were refused.
  if cardinality(later) > 0 then
    execute format('select coalesce(array_agg(t.ordinal), ''{}'') from pg_temp.ecompipe_typed t where t.ordinal = any ($1) and exists (select from %s e where %s)', target, plan.key_match) into ordinals using later;
    known := known || ordinals;
  end if;
  select array_agg(t.ctid order by t.ordinal), array_agg(t.ordinal order by t.ordinal) into places, ordinals
  from pg_temp.ecompipe_typed t
  where t.ordinal = any (suspects || later) and (t.ordinal = any (suspects) or t.ordinal <> all (known));
  walk := ecompipe.take_rows(by_place, places, ordinals, false, key_constraints, is_secured, caller_path);
  inserted := inserted + walk.taken;
  unclear_state := coalesce(unclear_state, walk.unclear_state);
  unclear_message := coalesce(unclear_message, walk.unclear_message);

  select coalesce(array_agg(distinct k), '{}') into known
  from unnest(known || array(select v.ordinal from pg_temp.ecompipe_verdicts v where v.kind = 'known')) as k
  where k <> all (suspects) or exists (select from pg_temp.ecompipe_verdicts v where v.ordinal = k and v.kind = 'known');
  perform ecompipe.compare_known(target, columns, known, caller_path);
  -- Refused for its key, and yet no row of the table has it any more, or a trigger changed the key: the refusal stands.
  update pg_temp.ecompipe_verdicts v set kind = 'invalid' where v.kind = 'known';

  select coalesce(array_agg(v.ordinal order by v.ordinal) filter (where v.kind <> 'duplicate'), '{}'),
         coalesce(array_agg(v.ordinal order by v.ordinal) filter (where v.kind = 'duplicate'), '{}')
  into rejected, duplicates
  from pg_temp.ecompipe_verdicts v;
  -- What may be about the table and not about a row is about a row as long as others go in.
  if unclear_state is not null and inserted = 0 and cardinality(duplicates) = 0 then
    raise exception using errcode = unclear_state, message = unclear_message;
  end if;
  perform ecompipe.explain_refusals(target, columns);
end
$$;

-- The keys of the rows in the typed stage, as duplicate_rows has them.
create function ecompipe.staged_keys(target regclass, columns text[], out ordinal integer, out key text) returns setof record
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute format('select t.ordinal, %s from pg_temp.ecompipe_typed t', coalesce((ecompipe.load_plan(target, columns)).key_text, 'null::text'));
end
$$;

-- Says with which value a row broke a NOT NULL or a CHECK, and what the rule is.
create function ecompipe.explain_refusals(target regclass, columns text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  rule record;
begin
  update pg_temp.ecompipe_verdicts v set constraint_name = null, message = format('null value in column "%s"', v.column_name)
  where v.sql_state = '23502' and v.column_name is not null;
  for rule in
    select c.conname, pg_get_expr(c.conbin, c.conrelid) as expression, array_position(columns, a.attname::text) as position, a.attname, v.places
    from (select constraint_name, array_agg(place) as places from pg_temp.ecompipe_verdicts where sql_state = '23514' and place is not null group by 1) as v
    join pg_constraint c on c.conrelid = target and c.contype = 'c' and c.conname = v.constraint_name
    left join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
  loop
    execute format(
      'update pg_temp.ecompipe_verdicts v
       set column_name = $2, message = left(concat(case when $2 is null then ''the row'' when r.value is null then concat(''the row without '', $2) else concat($2, '' '', to_json(r.value)) end, '' breaks the rule '', $1, '': '', $3), 1000)
       from (select t.ordinal, %s as value from pg_temp.ecompipe_typed t where t.ctid = any ($4)) as r
       where r.ordinal = v.ordinal',
      case when rule.position is null then 'null::text' else format('left(cast(t.c%s as text), 100)', rule.position) end)
    using rule.conname::text, rule.attname::text, rule.expression, rule.places;
  end loop;
end
$$;

-- For 15, which has no pg_input_is_valid, these said whether a text is valid; conversions now tell by themselves.
drop function ecompipe.input_is_valid(text, text);
drop function ecompipe.input_error_info(text, text);
