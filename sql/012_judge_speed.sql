-- The judge takes less of the server's time, and less of it while the batches behind wait for their turn.

-- The rows of a table that its key tells apart: without those of tables that inherit from it, which have keys of their own.
create function ecompipe.keyed_rows(target regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select case when relkind = 'p' then '' else 'only ' end || target from pg_class where oid = target $$;

-- What of a staged row must hold for its key to be in the table already, and costs next to nothing to ask: its first column
-- is no greater than the greatest in the table. Null where that can't be told, or only by reading more than one row.
create function ecompipe.key_bound(target regclass, columns text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select format('t.c%s operator(%I.%s) (select e.%4$I from %5$s e order by e.%4$I desc limit 1)',
           array_position(columns, a.attname::text), n.nspname, o.oprname, a.attname, ecompipe.keyed_rows(target))
  from pg_index i
  join pg_attribute a on a.attrelid = target and a.attnum = i.indkey[0]
  join pg_opclass c on c.oid = i.indclass[0] and c.opcdefault
  join pg_amop m on m.amopfamily = c.opcfamily and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype and m.amopstrategy = 2
  join pg_operator o on o.oid = m.amopopr
  join pg_namespace n on n.oid = o.oprnamespace
  where i.indrelid = target and i.indisprimary and a.attname = any (columns) and not row_security_active(target)
$$;

-- Of tables whose columns may have any name, only such a one is no other's.
do $$
declare
  definition text;
begin
  select pg_get_functiondef(p.oid) into strict definition from pg_proc p where p.pronamespace = 'ecompipe'::regnamespace and p.proname = 'load_plan';
  if position('select ordinal_of_row from (select t.ordinal as ordinal_of_row%s' in definition) = 0 then
    raise exception 'ecompipe.load_plan is not as it was made';
  end if;
  execute replace(definition, 'select ordinal_of_row from (select t.ordinal as ordinal_of_row%s',
    'select r."ecompipe#ordinal", r."ecompipe#place" from (select t.ordinal as "ecompipe#ordinal", t.ctid as "ecompipe#place"%s');
  for definition in
    select pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'ecompipe'::regnamespace and p.proname in ('compare_known', 'after_triggers')
  loop
    if position('join %1$s e on' in definition) = 0 and position('mirror, target, plan.key_match)' in definition) = 0 then
      raise exception 'ecompipe.compare_known or after_triggers is not as it was made';
    end if;
    execute replace(replace(definition, 'format(verdict, target, plan.key_match,', 'format(verdict, ecompipe.keyed_rows(target), plan.key_match,'),
      'mirror, target, plan.key_match)', 'mirror, ecompipe.keyed_rows(target), plan.key_match)');
  end loop;
end
$$;

-- Makes the session's stage for rows of these columns, or empties the one that is there. Each commit empties it, too.
--   ecompipe_text: records as texts, an ordinal each.  ecompipe_typed: those whose texts are of the right types.
--   ecompipe_ahead: rows that don't look as if they went in.  ecompipe_verdicts: what became of those that did not.
create or replace function ecompipe.prepare_stage(target regclass, columns text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
  shape text := md5(concat_ws('|', plan.text_columns, plan.typed_columns));
begin
  if current_setting('ecompipe.stage', true) is not distinct from shape and to_regclass('pg_temp.ecompipe_ahead') is not null then
    -- Something is there after a rollback, or from a batch of the same transaction.
    if pg_relation_size('pg_temp.ecompipe_text') + pg_relation_size('pg_temp.ecompipe_typed')
      + pg_relation_size('pg_temp.ecompipe_ahead') + pg_relation_size('pg_temp.ecompipe_verdicts') > 0 then
      truncate pg_temp.ecompipe_text, pg_temp.ecompipe_typed, pg_temp.ecompipe_ahead, pg_temp.ecompipe_verdicts;
    end if;
    return;
  end if;
  drop table if exists pg_temp.ecompipe_text, pg_temp.ecompipe_typed, pg_temp.ecompipe_ahead, pg_temp.ecompipe_verdicts;
  -- A batch is read several times; with the usual 8 MB each time from disk. Too late where the session has used temporary tables.
  begin
    perform set_config('temp_buffers', '32MB', false);
  exception when invalid_parameter_value then
    null;
  end;
  execute format('create temporary table ecompipe_text (%s) on commit delete rows', concat_ws(', ', 'ordinal integer', plan.text_columns));
  execute format('create temporary table ecompipe_typed (%s) on commit delete rows', concat_ws(', ', 'ordinal integer', plan.typed_columns));
  create temporary table ecompipe_ahead (
    ordinal    integer not null,
    place      tid not null,    -- in ecompipe_typed
    is_suspect boolean not null -- or its key came before in the batch
  ) on commit delete rows;
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

-- Notes the staged rows that don't look as if the table took them together with the others, and how many rows are staged.
-- It depends on nothing that batches before this one may change: there is no need to wait for them.
create function ecompipe.look_ahead(target regclass, columns text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '32MB'
as $$
declare
  plan record := ecompipe.load_plan(target, columns);
begin
  delete from pg_temp.ecompipe_ahead;
  if plan.is_suspect is not null then
    begin
      execute format('insert into pg_temp.ecompipe_ahead (ordinal, place, is_suspect) select x.*, true from (%s) as x', plan.is_suspect);
    exception when others then
      -- A rule that fails on some row, or says something about the table as a whole: the insert will tell.
      if ecompipe.blames(sqlstate) = 'server' then raise; end if;
    end;
  end if;
  if plan.key_columns is not null then
    execute format(
      'insert into pg_temp.ecompipe_ahead (ordinal, place, is_suspect)
       select o.ordinal, o.place, false
       from (select t.ordinal, t.ctid as place, row_number() over (partition by %s order by t.ordinal) as occurrence from pg_temp.ecompipe_typed t) as o
       where o.occurrence > 1', plan.key_columns);
  end if;
end
$$;

-- Inserts the rows of the typed stage that the table accepts, and gives the others their verdict: the first of each key
-- wins. Returns how many were inserted; the ordinals of the others tell which of them were rejected, and which are duplicates.
-- look_ahead comes before it.
create or replace function ecompipe.insert_rows(target regclass, columns text[], caller_path text default pg_catalog.current_setting('search_path'),
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
  -- The table has the key of a staged row.
  is_there constant text := format('exists (select from %s e where %s)', ecompipe.keyed_rows(target), plan.key_match);
  key_constraints text[] := (select coalesce(array_agg(conname), '{}') from pg_constraint where contype = 'p' and conrelid in (select r from ecompipe.relations_of(target) r));
  is_secured constant boolean := row_security_active(target);
  suspects integer[];
  later integer[];
  known integer[] := '{}';
  aside integer[];
  places tid[];
  ordinals integer[];
  walk record;
  unclear_state text;
  unclear_message text;
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
  select coalesce(array_agg(a.ordinal) filter (where a.is_suspect), '{}'), coalesce(array_agg(a.ordinal) filter (where not a.is_suspect), '{}')
  into suspects, later
  from pg_temp.ecompipe_ahead a;
  if plan.key_match is not null then
    execute format('select coalesce(array_agg(t.ordinal), ''{}'') from pg_temp.ecompipe_typed t where %s',
      concat_ws(' and ', ecompipe.key_bound(target, columns), is_there)) into known;
  end if;

  -- Which of two rows that another unique index keeps apart is the first must not depend on what else is in the batch.
  if cardinality(suspects || later) > 0 and (
    select count(*) > 1 or bool_or(not indisprimary) from pg_index where indrelid = target and (indisunique or indisexclusion)
  ) then
    delete from pg_temp.ecompipe_ahead;
    insert into pg_temp.ecompipe_ahead (ordinal, place, is_suspect)
    select t.ordinal, t.ctid, true from pg_temp.ecompipe_typed t where t.ordinal <> all (known) or t.ordinal = any (suspects);
    suspects := array(select a.ordinal from pg_temp.ecompipe_ahead a);
    later := '{}';
  end if;

  -- All that looks good at once; if the table says no after all, as many as it takes at a time.
  aside := suspects || known || later;
  select count(*) - (select count(distinct o) from unnest(aside) as o) into expected from pg_temp.ecompipe_typed t;
  inserted := 0;
  if expected > 0 then
    begin
      perform set_config('search_path', caller_path, true);
      execute statement || 't.ordinal operator(pg_catalog.<>) all ($1)' using aside;
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
      from pg_temp.ecompipe_typed t where t.ordinal <> all (aside);
      walk := ecompipe.take_rows(by_place, places, ordinals, false, key_constraints, is_secured, caller_path);
      inserted := walk.taken;
      unclear_state := walk.unclear_state;
      unclear_message := walk.unclear_message;
    end if;
  end if;

  -- Suspects, and rows whose key came before: those are known by now, unless the ones before were refused.
  if cardinality(later) > 0 then
    execute 'select coalesce(array_agg(t.ordinal), ''{}'') from pg_temp.ecompipe_ahead a join pg_temp.ecompipe_typed t on t.ctid = a.place where not a.is_suspect and '
      || is_there into ordinals;
    known := known || ordinals;
  end if;
  select array_agg(a.place order by a.ordinal), array_agg(a.ordinal order by a.ordinal) into places, ordinals
  from (select distinct on (o.ordinal) o.* from pg_temp.ecompipe_ahead o order by o.ordinal, o.is_suspect desc) as a
  where a.is_suspect or a.ordinal <> all (known);
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
