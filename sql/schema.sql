-- The schema after all migrations, by pg_dump from PostgreSQL 15. Written by `npm run schema`; do not edit.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA analytics;
CREATE SCHEMA ecompipe;
CREATE FUNCTION analytics.events_of(batch_ids bigint[]) RETURNS TABLE(event_type text, event_time timestamp with time zone, user_id text, session_id text, device text, country text, product_id text, product_name text, price numeric, quantity bigint, currency text, search_term text)
    LANGUAGE sql STABLE
    AS $$
  select event_type::pg_catalog.text, event_time::pg_catalog.timestamptz, user_id::pg_catalog.text, session_id::pg_catalog.text,
         device::pg_catalog.text, country::pg_catalog.text, product_id::pg_catalog.text, product_name::pg_catalog.text,
         price::pg_catalog.numeric, quantity::pg_catalog.int8, currency::pg_catalog.text, search_term::pg_catalog.text
  from public.events
  where batch_id operator(pg_catalog.>=) (select pg_catalog.min(id) from pg_catalog.unnest(batch_ids) as id)
    and batch_id operator(pg_catalog.<=) (select pg_catalog.max(id) from pg_catalog.unnest(batch_ids) as id)
    and (batch_id operator(pg_catalog.=) any (select pg_catalog.unnest(batch_ids))) is true
$$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE analytics.pending_batches (
    batch_id bigint NOT NULL,
    rows bigint NOT NULL
);
COMMENT ON TABLE analytics.pending_batches IS 'Committed batches that are not in the rollups yet.';
CREATE FUNCTION analytics.pending_batch_ids() RETURNS bigint[]
    LANGUAGE sql STABLE
    RETURN (SELECT COALESCE(array_agg(pending_batches.batch_id), '{}'::bigint[]) AS "coalesce" FROM analytics.pending_batches);
CREATE TABLE analytics.session_rollup (
    session_id text NOT NULL,
    user_id text,
    device text,
    country text,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    events bigint NOT NULL,
    page_views bigint NOT NULL,
    item_views bigint NOT NULL,
    cart_additions bigint NOT NULL,
    checkouts bigint NOT NULL,
    shipping_infos bigint NOT NULL,
    payment_infos bigint NOT NULL,
    purchase_lines bigint NOT NULL
)
WITH (fillfactor='80');
CREATE FUNCTION analytics.session_figures(batch_ids bigint[]) RETURNS SETOF analytics.session_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT "left"(events_of.session_id, 500) AS "left",
     min(events_of.user_id) AS min,
     min(events_of.device) AS min,
     min(events_of.country) AS min,
     min(events_of.event_time) AS min,
     max(events_of.event_time) AS max,
     count(*) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'page_view'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'view_item'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'add_to_cart'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'begin_checkout'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'add_shipping_info'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'add_payment_info'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'purchase'::text)) AS count
    FROM analytics.events_of(session_figures.batch_ids) events_of(event_type, event_time, user_id, session_id, device, country, product_id, product_name, price, quantity, currency, search_term)
   WHERE ((events_of.session_id IS NOT NULL) AND (events_of.event_time IS NOT NULL))
   GROUP BY ("left"(events_of.session_id, 500));
END;
CREATE FUNCTION analytics.continued_sessions() RETURNS SETOF analytics.session_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT s.session_id,
     s.user_id,
     s.device,
     s.country,
     s.started_at,
     s.ended_at,
     s.events,
     s.page_views,
     s.item_views,
     s.cart_additions,
     s.checkouts,
     s.shipping_infos,
     s.payment_infos,
     s.purchase_lines
    FROM (analytics.session_figures(( SELECT analytics.pending_batch_ids() AS pending_batch_ids)) f(session_id, user_id, device, country, started_at, ended_at, events, page_views, item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines)
      JOIN analytics.session_rollup s USING (session_id));
END;
CREATE FUNCTION analytics.funnel_step(item_views bigint, cart_additions bigint, checkouts bigint, shipping_infos bigint, payment_infos bigint, purchase_lines bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN (item_views = 0) THEN 0 WHEN (cart_additions = 0) THEN 1 WHEN (checkouts = 0) THEN 2 WHEN (shipping_infos = 0) THEN 3 WHEN (payment_infos = 0) THEN 4 WHEN (purchase_lines = 0) THEN 5 ELSE 6 END;
CREATE FUNCTION analytics.note_batch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into analytics.pending_batches (batch_id, rows) values (new.batch_id, new.rows_inserted);
  return null;
end
$$;
CREATE FUNCTION analytics.pending_sessions() RETURNS SETOF analytics.session_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT f.session_id,
     LEAST(s.user_id, f.user_id) AS "least",
     LEAST(s.device, f.device) AS "least",
     LEAST(s.country, f.country) AS "least",
     LEAST(s.started_at, f.started_at) AS "least",
     GREATEST(s.ended_at, f.ended_at) AS "greatest",
     (COALESCE(s.events, (0)::bigint) + f.events),
     (COALESCE(s.page_views, (0)::bigint) + f.page_views),
     (COALESCE(s.item_views, (0)::bigint) + f.item_views),
     (COALESCE(s.cart_additions, (0)::bigint) + f.cart_additions),
     (COALESCE(s.checkouts, (0)::bigint) + f.checkouts),
     (COALESCE(s.shipping_infos, (0)::bigint) + f.shipping_infos),
     (COALESCE(s.payment_infos, (0)::bigint) + f.payment_infos),
     (COALESCE(s.purchase_lines, (0)::bigint) + f.purchase_lines)
    FROM (analytics.session_figures(( SELECT analytics.pending_batch_ids() AS pending_batch_ids)) f(session_id, user_id, device, country, started_at, ended_at, events, page_views, item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines)
      LEFT JOIN analytics.session_rollup s USING (session_id));
END;
CREATE TABLE analytics.product_rollup (
    product_id text NOT NULL,
    currency text NOT NULL,
    product_name text,
    named_at timestamp with time zone,
    views bigint NOT NULL,
    cart_additions bigint NOT NULL,
    units_sold bigint NOT NULL,
    revenue numeric NOT NULL
);
CREATE FUNCTION analytics.product_figures(batch_ids bigint[]) RETURNS SETOF analytics.product_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT "left"(events_of.product_id, 500) AS "left",
     COALESCE(events_of.currency, ''::text) AS "coalesce",
     (array_agg(events_of.product_name ORDER BY events_of.event_time DESC, events_of.product_name DESC) FILTER (WHERE (events_of.product_name IS NOT NULL)))[1] AS array_agg,
     max(events_of.event_time) FILTER (WHERE (events_of.product_name IS NOT NULL)) AS max,
     count(*) FILTER (WHERE (events_of.event_type = 'view_item'::text)) AS count,
     count(*) FILTER (WHERE (events_of.event_type = 'add_to_cart'::text)) AS count,
     (COALESCE(sum(events_of.quantity) FILTER (WHERE (events_of.event_type = 'purchase'::text)), (0)::numeric))::bigint AS "coalesce",
     COALESCE(sum((events_of.price * (events_of.quantity)::numeric)) FILTER (WHERE (events_of.event_type = 'purchase'::text)), (0)::numeric) AS "coalesce"
    FROM analytics.events_of(product_figures.batch_ids) events_of(event_type, event_time, user_id, session_id, device, country, product_id, product_name, price, quantity, currency, search_term)
   WHERE ((events_of.event_type = ANY (ARRAY['view_item'::text, 'add_to_cart'::text, 'purchase'::text])) AND (events_of.product_id IS NOT NULL))
   GROUP BY ("left"(events_of.product_id, 500)), COALESCE(events_of.currency, ''::text);
END;
CREATE FUNCTION analytics.rebuild() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pg_advisory_xact_lock(hashtext('analytics.refresh'));
  truncate analytics.type_rollup, analytics.revenue_rollup, analytics.product_rollup, analytics.search_rollup, analytics.session_rollup, analytics.funnel_rollup;
  insert into analytics.pending_batches (batch_id, rows)
  select batch_id, rows_inserted from ecompipe.batches where rows_inserted > 0
  on conflict do nothing;
end
$$;
CREATE FUNCTION analytics.refresh() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
declare
  taken bigint[];
begin
  perform pg_advisory_xact_lock(hashtext('analytics.refresh'));
  with in_order as (
    select batch_id, sum(rows) over (order by batch_id) - rows as rows_before
    from (select batch_id, rows from analytics.pending_batches order by batch_id limit 1000) as first
  ), deleted as (
    delete from analytics.pending_batches p
    using in_order o
    where p.batch_id = o.batch_id and o.rows_before < 500000
    returning p.batch_id
  )
  select array_agg(batch_id order by batch_id) into taken from deleted;
  if taken is null then
    return 0;
  end if;
  -- Block ranges that no vacuum has seen yet would all be read.
  perform analytics.summarize_new_blocks();
  insert into analytics.type_rollup as r
  select * from analytics.type_figures(taken)
  on conflict (day, event_type) do update set events = r.events + excluded.events;
  insert into analytics.revenue_rollup as r
  select * from analytics.revenue_figures(taken)
  on conflict (minute, currency) do update
  set purchase_lines = r.purchase_lines + excluded.purchase_lines, units = r.units + excluded.units,
      revenue = r.revenue + excluded.revenue, refunds = r.refunds + excluded.refunds;
  insert into analytics.product_rollup as r
  select * from analytics.product_figures(taken)
  on conflict (product_id, currency) do update
  set product_name = case when (excluded.named_at, excluded.product_name) > (r.named_at, r.product_name) or r.named_at is null
                       then excluded.product_name else r.product_name end,
      named_at = greatest(r.named_at, excluded.named_at),
      views = r.views + excluded.views, cart_additions = r.cart_additions + excluded.cart_additions,
      units_sold = r.units_sold + excluded.units_sold, revenue = r.revenue + excluded.revenue;
  insert into analytics.search_rollup as r
  select * from analytics.search_figures(taken)
  on conflict (term) do update set searches = r.searches + excluded.searches;
  -- A session that goes on leaves its place in the funnel for another one.
  with part as materialized (
    select * from analytics.session_figures(taken)
  ), known as materialized (
    select s.* from part join analytics.session_rollup s using (session_id)
  ), merged as (
    insert into analytics.session_rollup as r
    select * from part
    on conflict (session_id) do update
    set user_id = least(r.user_id, excluded.user_id), device = least(r.device, excluded.device), country = least(r.country, excluded.country),
        started_at = least(r.started_at, excluded.started_at), ended_at = greatest(r.ended_at, excluded.ended_at),
        events = r.events + excluded.events, page_views = r.page_views + excluded.page_views, item_views = r.item_views + excluded.item_views,
        cart_additions = r.cart_additions + excluded.cart_additions, checkouts = r.checkouts + excluded.checkouts, shipping_infos = r.shipping_infos + excluded.shipping_infos,
        payment_infos = r.payment_infos + excluded.payment_infos, purchase_lines = r.purchase_lines + excluded.purchase_lines
    returning r.*
  ), change as (
    select (started_at at time zone 'UTC')::date as day,
         analytics.funnel_step(item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines) as step,
         cart_additions > 0 as has_cart, checkouts > 0 as has_checkout, purchase_lines > 0 as has_purchase, 1 as sessions
    from merged
    union all
    select (started_at at time zone 'UTC')::date as day,
         analytics.funnel_step(item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines) as step,
         cart_additions > 0 as has_cart, checkouts > 0 as has_checkout, purchase_lines > 0 as has_purchase, -1
    from known
  )
  insert into analytics.funnel_rollup as r
  select day, step, has_cart, has_checkout, has_purchase, sum(sessions)
  from change
  group by day, step, has_cart, has_checkout, has_purchase
  having sum(sessions) <> 0
  on conflict (day, step, has_cart, has_checkout, has_purchase) do update set sessions = r.sessions + excluded.sessions;
  return cardinality(taken);
end
$$;
CREATE TABLE analytics.revenue_rollup (
    minute timestamp with time zone NOT NULL,
    currency text NOT NULL,
    purchase_lines bigint NOT NULL,
    units bigint NOT NULL,
    revenue numeric NOT NULL,
    refunds numeric NOT NULL
);
CREATE FUNCTION analytics.revenue_figures(batch_ids bigint[]) RETURNS SETOF analytics.revenue_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT date_trunc('minute'::text, events_of.event_time, 'UTC'::text) AS date_trunc,
     COALESCE(events_of.currency, ''::text) AS "coalesce",
     count(*) FILTER (WHERE (events_of.event_type = 'purchase'::text)) AS count,
     (COALESCE(sum(events_of.quantity) FILTER (WHERE (events_of.event_type = 'purchase'::text)), (0)::numeric))::bigint AS "coalesce",
     COALESCE(sum((events_of.price * (events_of.quantity)::numeric)) FILTER (WHERE (events_of.event_type = 'purchase'::text)), (0)::numeric) AS "coalesce",
     COALESCE(sum((events_of.price * (events_of.quantity)::numeric)) FILTER (WHERE (events_of.event_type = 'refund'::text)), (0)::numeric) AS "coalesce"
    FROM analytics.events_of(revenue_figures.batch_ids) events_of(event_type, event_time, user_id, session_id, device, country, product_id, product_name, price, quantity, currency, search_term)
   WHERE ((events_of.event_type = ANY (ARRAY['purchase'::text, 'refund'::text])) AND (events_of.event_time IS NOT NULL))
   GROUP BY (date_trunc('minute'::text, events_of.event_time, 'UTC'::text)), COALESCE(events_of.currency, ''::text);
END;
CREATE TABLE analytics.search_rollup (
    term text NOT NULL,
    searches bigint NOT NULL
);
CREATE FUNCTION analytics.search_figures(batch_ids bigint[]) RETURNS SETOF analytics.search_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT "left"(lower(btrim(events_of.search_term)), 500) AS "left",
     count(*) AS count
    FROM analytics.events_of(search_figures.batch_ids) events_of(event_type, event_time, user_id, session_id, device, country, product_id, product_name, price, quantity, currency, search_term)
   WHERE ((events_of.event_type = 'search'::text) AND (events_of.search_term IS NOT NULL))
   GROUP BY ("left"(lower(btrim(events_of.search_term)), 500));
END;
CREATE FUNCTION analytics.summarize_new_blocks() RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select brin_summarize_new_values(i.indexrelid)
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
  where a.amname = 'brin' and c.relkind = 'i'
    and (i.indrelid = 'public.events'::regclass or i.indrelid in (select relid from pg_partition_tree('public.events') where isleaf))
$$;
CREATE TABLE analytics.type_rollup (
    day date NOT NULL,
    event_type text NOT NULL,
    events bigint NOT NULL
);
CREATE FUNCTION analytics.type_figures(batch_ids bigint[]) RETURNS SETOF analytics.type_rollup
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((events_of.event_time AT TIME ZONE 'UTC'::text))::date AS timezone,
     events_of.event_type,
     count(*) AS count
    FROM analytics.events_of(type_figures.batch_ids) events_of(event_type, event_time, user_id, session_id, device, country, product_id, product_name, price, quantity, currency, search_term)
   WHERE ((events_of.event_time IS NOT NULL) AND (events_of.event_type IS NOT NULL))
   GROUP BY (((events_of.event_time AT TIME ZONE 'UTC'::text))::date), events_of.event_type;
END;
CREATE FUNCTION ecompipe.after_triggers(target regclass, columns text[], ordinal integer, caller_path text, OUT kind text, OUT sql_state text, OUT column_name text, OUT constraint_name text, OUT message text, OUT key text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $_$
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
    execute pg_catalog.format('insert into pg_temp.%I (%s) overriding system value select %s from pg_temp.ecompipe_typed t where t.ordinal operator(pg_catalog.=) $1',
      mirror, plan.table_columns, plan.stage_columns) using ordinal;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    execute format('select %s, %s from (select %s from pg_temp.%I m) as t join %s e on %s',
      plan.key_text, plan.difference,
      (select string_agg(format('m.%I as c%s', name, position), ', ') from unnest(columns) with ordinality as x (name, position)),
      mirror, ecompipe.keyed_rows(target), plan.key_match) into key, differing;
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
$_$;
CREATE FUNCTION ecompipe.apply_event_types() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  rule record;
begin
  for rule in
    select r.*, c.oid is not null as is_there, pg_get_expr(c.conbin, c.conrelid) as definition
    from ecompipe.type_rules() r
    left join pg_constraint c on c.conrelid = 'public.events'::regclass and c.conname = r.name
    where not exists (
      select from unnest(array['event_type', r.column_name]) as needed
      where needed not in (select attname from pg_attribute where attrelid = 'public.events'::regclass and not attisdropped))
  loop
    if rule.is_there and rule.condition is not null then
      continue when position('''' || replace(rule.types::text, '''', '''''') || '''' in rule.definition) > 0;
      if rule.column_name = 'event_type' then
        -- A longer list has a shorter one in it.
        continue when rule.definition = ecompipe.written_condition('public.events', rule.condition);
      else
        continue when position(' OR ' || ecompipe.written_condition('public.events', ecompipe.type_condition(rule.types, false)) in rule.definition) > 0;
      end if;
    end if;
    if rule.is_there or rule.condition is not null then
      perform ecompipe.replace_check('public.events', rule.name, rule.condition);
    end if;
  end loop;
  return null;
end
$$;
CREATE FUNCTION ecompipe.blames(sql_state text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select case
    when left(sql_state, 2) in ('02', '21', '22', '23', '2F', '38', '39', '44', '54', 'P0') then 'row'
    when left(sql_state, 2) in ('08', '0B', '25', '26', '28', '34', '3B', '3D', '40', '53', '55', '57', '58', 'F0', 'HV', 'XX') then 'server'
    else 'unclear'
  end
$$;
CREATE FUNCTION ecompipe.column_list_id(columns text[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  wanted uuid := md5(array_to_json(columns)::text)::uuid;
  found_id integer;
begin
  select l.column_list_id into found_id from ecompipe.column_lists l where l.fingerprint = wanted;
  if found_id is null and columns is not null then
    insert into ecompipe.column_lists (fingerprint, columns) values (wanted, columns)
    on conflict (fingerprint) do nothing
    returning column_list_id into found_id;
    if found_id is null then
      select l.column_list_id into strict found_id from ecompipe.column_lists l where l.fingerprint = wanted;
    end if;
  end if;
  return found_id;
end
$$;
CREATE TABLE ecompipe.batches (
    batch_id bigint NOT NULL,
    engine text NOT NULL,
    load_path text NOT NULL,
    rows_read bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_duplicate bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    bytes bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    committed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    columns text[],
    undone_at timestamp with time zone,
    feed_id bigint,
    target text,
    records_read bigint,
    records_skipped bigint,
    records_expanded bigint,
    rows_pruned bigint DEFAULT 0 NOT NULL,
    token uuid DEFAULT gen_random_uuid() NOT NULL,
    column_list_id integer,
    CONSTRAINT batches_engine_check CHECK ((engine = ANY (ARRAY['native'::text, 'spark'::text]))),
    CONSTRAINT batches_load_path_check CHECK ((load_path = ANY (ARRAY['direct'::text, 'staged'::text, 'replay'::text]))),
    CONSTRAINT batches_pruned_were_inserted CHECK (((rows_pruned >= 0) AND (rows_pruned <= rows_inserted))),
    CONSTRAINT batches_records_add_up CHECK (((feed_id IS NULL) OR ((records_read IS NOT NULL) AND (records_read = (records_skipped + records_expanded)) AND (rows_read >= records_expanded)))),
    CONSTRAINT batches_rows_add_up CHECK ((rows_read = ((rows_inserted + rows_duplicate) + rows_rejected)))
);
COMMENT ON TABLE ecompipe.batches IS 'Ledger: one row per committed load transaction.';
COMMENT ON COLUMN ecompipe.batches.columns IS 'Only of batches from before migration 013: later ones have a column_list_id.';
COMMENT ON COLUMN ecompipe.batches.target IS 'The table that the rows are in; null: public.events.';
COMMENT ON COLUMN ecompipe.batches.records_skipped IS 'Records that a feed leaves out (where:), or that have no row (rows:).';
COMMENT ON COLUMN ecompipe.batches.records_expanded IS 'Records that became rows: one each, or by rows: more.';
COMMENT ON COLUMN ecompipe.batches.rows_pruned IS 'Rows of the batch that ecompipe prune removed for their age.';
COMMENT ON COLUMN ecompipe.batches.token IS 'Random: with the id, it is what a stream remembers of a batch that it saw committed.';
CREATE TABLE ecompipe.column_lists (
    column_list_id integer NOT NULL,
    fingerprint uuid NOT NULL,
    columns text[] NOT NULL
);
COMMENT ON TABLE ecompipe.column_lists IS 'Ledger: the lists of columns that files came with.';
CREATE FUNCTION ecompipe.columns_of(batch ecompipe.batches) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN COALESCE((batch).columns, (SELECT l.columns FROM ecompipe.column_lists l WHERE (l.column_list_id = (columns_of.batch).column_list_id)));
CREATE FUNCTION ecompipe.compare_known(target regclass, columns text[], ordinals integer[], caller_path text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
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
    || format(verdict, ecompipe.keyed_rows(target), plan.key_match, key_constraint, plan.key_text, 'ecompipe_typed', plan.difference)
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
$_$;
CREATE FUNCTION ecompipe.content_key(sha256 bytea) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (encode(SUBSTRING(sha256 FROM 1 FOR 16), 'hex'::text))::uuid;
CREATE FUNCTION ecompipe.convert_texts(target regclass, columns text[], caller_path text DEFAULT current_setting('search_path'::text)) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $_$
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
      (select pg_catalog.string_agg(pg_catalog.format('when %s then %s', position, replace(defect, '(s.', '(d.')), ' ')
       from unnest(plan.date_defects) with ordinality as x (defect, position) where defect is not null),
      plan.date_defect) using columns;
  end if;
  -- What an input function has to say can be asked of all rows at once, from PostgreSQL 16 on, and where all the types take part.
  if current_setting('server_version_num')::integer >= 160000 then
    begin
      perform set_config('search_path', caller_path, true);
      execute (select pg_catalog.format(
        'insert into pg_temp.ecompipe_verdicts (ordinal, kind, sql_state, column_name, message)
         select b.ordinal, ''invalid'', i.sql_error_code, ($1)[b.position], pg_catalog.left(pg_catalog.concat_ws(''; '', i.message, i.detail), 1000)
         from (select s.*, case %1$s end as position from pg_temp.ecompipe_text s
               where not exists (select from pg_temp.ecompipe_verdicts v where v.ordinal operator(pg_catalog.=) s.ordinal)) as b
         cross join lateral pg_catalog.pg_input_error_info(case b.position %2$s end, case b.position %3$s end) as i
         where b.position is not null',
        pg_catalog.string_agg(pg_catalog.format('when not pg_catalog.pg_input_is_valid(s.c%s, %L) then %s', position, name, position), ' ' order by position),
        pg_catalog.string_agg(pg_catalog.format('when %s then b.c%s', position, position), ' '), pg_catalog.string_agg(pg_catalog.format('when %s then %L', position, name), ' '))
        from pg_catalog.unnest(plan.type_names) with ordinality as x (name, position)) using columns;
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
$_$;
CREATE FUNCTION ecompipe.date_defect(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;
CREATE FUNCTION ecompipe.derive_id(event_time timestamp with time zone, feed text, fields text[], occurrence text DEFAULT NULL::text) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (encode(((int8send((COALESCE(CASE WHEN isfinite(event_time) THEN (((((date_part('epoch'::text, event_time) * (1000000)::double precision))::bigint / (1000)::bigint) << 16) | ((((date_part('epoch'::text, event_time) * (1000000)::double precision))::bigint % (1000)::bigint) & (4095)::bigint)) ELSE NULL::bigint END, (0)::bigint) | (32768)::bigint)) || '\x80'::bytea) || substr(sha256(convert_to(concat(feed, '/', occurrence, '/', (fields)::text), 'UTF8'::name)), 1, 7)), 'hex'::text))::uuid;
CREATE FUNCTION ecompipe.describe_table(target regclass, OUT fingerprint text, OUT columns json, OUT key_columns text[], OUT deferred text[], OUT takes_copy boolean) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION ecompipe.expand_records(statement text, has_items boolean, thresholds integer[], caller_path text DEFAULT current_setting('search_path'::text), OUT part integer, OUT made bigint, OUT skipped bigint) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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
CREATE FUNCTION ecompipe.explain_refusals(target regclass, columns text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;
CREATE FUNCTION ecompipe.insert_rows(target regclass, columns text[], caller_path text DEFAULT current_setting('search_path'::text), OUT inserted bigint, OUT rejected integer[], OUT duplicates integer[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET work_mem TO '32MB'
    AS $_$
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
$_$;
CREATE FUNCTION ecompipe.key_bound(target regclass, columns text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  select format('t.c%s operator(%I.%s) (select e.%4$I from %5$s e order by e.%4$I desc limit 1)',
           array_position(columns, a.attname::text), n.nspname, o.oprname, a.attname, ecompipe.keyed_rows(target))
  from pg_index i
  join pg_attribute a on a.attrelid = target and a.attnum = i.indkey[0]
  join pg_opclass c on c.oid = i.indclass[0] and c.opcdefault
  join pg_amop m on m.amopfamily = c.opcfamily and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype and m.amopstrategy = 2
  join pg_operator o on o.oid = m.amopopr
  join pg_namespace n on n.oid = o.oprnamespace
  where i.indrelid = target and i.indisprimary and a.attname = any (columns) and not row_security_active(target)
$_$;
CREATE FUNCTION ecompipe.keyed_rows(target regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ select case when relkind = 'p' then '' else 'only ' end || target from pg_class where oid = target $$;
CREATE FUNCTION ecompipe.load_plan(target regclass, columns text[], OUT text_columns text, OUT typed_columns text, OUT stage_columns text, OUT table_columns text, OUT conversions text[], OUT type_names text[], OUT date_defect text, OUT date_defects text[], OUT key_match text, OUT key_columns text, OUT key_text text, OUT is_suspect text, OUT difference text, OUT has_row_triggers boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
      is_suspect := format('select r."ecompipe#ordinal", r."ecompipe#place" from (select t.ordinal as "ecompipe#ordinal", t.ctid as "ecompipe#place"%s from pg_temp.ecompipe_typed t) as r where %s',
        aliases, concat_ws(' or ', array_to_string(not_null, ' or '), checks));
      is_suspect := replace(is_suspect, 'where  or ', 'where ');
    end if;
  end if;
  difference := format('pg_catalog.array_remove(array[%s]::pg_catalog.text[], null)', array_to_string(differences, ', '));
end
$_$;
CREATE FUNCTION ecompipe.loadable_columns(target regclass, OUT name text, OUT column_type text, OUT is_required boolean, OUT is_temporal boolean, OUT attnum smallint, OUT type_oid oid, OUT base_oid oid, OUT base_typmod integer) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION ecompipe.look_ahead(target regclass, columns text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET work_mem TO '32MB'
    AS $$
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
CREATE FUNCTION ecompipe.refuse(message text, sql_state text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception using errcode = sql_state, message = left(message, 1000);
end
$$;
CREATE FUNCTION ecompipe.plain_date(value text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN (ecompipe.date_defect(value) IS NULL) THEN value ELSE ecompipe.refuse(ecompipe.date_defect(value), '22007'::text) END;
CREATE FUNCTION ecompipe.prepare_source(fields integer, item_type text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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
CREATE FUNCTION ecompipe.prepare_stage(target regclass, columns text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
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
CREATE FUNCTION ecompipe.relations_of(target regclass) RETURNS SETOF oid
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ select target::oid union select relid::oid from pg_partition_tree(target) $$;
CREATE FUNCTION ecompipe.replace_check(target regclass, rule text, condition text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  replaced oid := (select oid from pg_constraint where conrelid = target and conname = rule);
  remark text := obj_description(replaced, 'pg_constraint');
  heir regclass;
  -- A partition that was attached came with the rule, and keeps its own when the table's is dropped.
  heirs regclass[] := array(
    with recursive family (relation, depth) as (
      select inhrelid, 1 from pg_inherits where inhparent = target
      union all
      select i.inhrelid, f.depth + 1 from family f join pg_inherits i on i.inhparent = f.relation
    )
    select f.relation
    from family f join pg_constraint c on c.conrelid = f.relation and c.conname = rule and c.conislocal and c.coninhcount > 0
    group by f.relation
    order by min(f.depth));
begin
  if replaced is not null then
    execute format('alter table %s drop constraint %I', target, rule);
    foreach heir in array heirs loop
      execute format('alter table %s drop constraint %I', heir, rule);
    end loop;
  end if;
  if condition is not null then
    execute format('alter table %s add constraint %I check (', target, rule) || condition || ') not valid';
    if remark is not null then
      execute format('comment on constraint %I on %s is %L', rule, target, remark);
    end if;
  end if;
end
$$;
CREATE FUNCTION ecompipe.runs_user_code(target regclass) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  with relations as (
    select r as oid from ecompipe.relations_of(target) r
  ), parts (classid, objid) as (
    select 'pg_constraint'::regclass, oid from pg_constraint where conrelid in (select oid from relations)
    union all
    select 'pg_attrdef'::regclass, oid from pg_attrdef where adrelid in (select oid from relations)
    union all
    select 'pg_class'::regclass, indexrelid from pg_index where indrelid in (select oid from relations)
  )
  select exists (select from pg_trigger where tgrelid in (select oid from relations) and not tgisinternal and tgenabled <> 'D')
    or exists (
      select from pg_attribute a join pg_type t on t.oid = a.atttypid
      where a.attrelid = target and a.attnum > 0 and not a.attisdropped and t.typnamespace <> 'pg_catalog'::regnamespace)
    or exists (
      select from parts p
      join pg_depend d on d.classid = p.classid and d.objid = p.objid and d.refclassid = 'pg_proc'::regclass
      join pg_proc f on f.oid = d.refobjid
      where f.pronamespace not in ('pg_catalog'::regnamespace, 'ecompipe'::regnamespace))
$$;
CREATE FUNCTION ecompipe.staged_keys(target regclass, columns text[], OUT ordinal integer, OUT key text) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query execute format('select t.ordinal, %s from pg_temp.ecompipe_typed t', coalesce((ecompipe.load_plan(target, columns)).key_text, 'null::text'));
end
$$;
CREATE FUNCTION ecompipe.take_rows(statement text, rows tid[], ordinals integer[], is_conversion boolean, key_constraints text[], is_secured boolean, caller_path text, OUT taken bigint, OUT unclear_state text, OUT unclear_message text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION ecompipe.time_defect(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  select case when value ~* '(?:^|[^a-z])(?:now|allballs)(?:$|[^a-z])'
    then format('%s is a word for a moment, not a time: write it as HH:MM:SS', to_json(left(value, 100))) end
$_$;
CREATE FUNCTION ecompipe.transform_records(statement text, has_made boolean, defects text, columns text[], probes text[], caller_path text DEFAULT current_setting('search_path'::text)) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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
CREATE FUNCTION ecompipe.type_condition(types text[], is_one boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select case
    when cardinality(types) not between 1 and 16 then
      format(case when is_one then 'event_type = any (%L::text[])' else 'event_type <> all (%L::text[])' end, types)
    when is_one then string_agg(format('event_type = %L::text', t.name), ' or ' order by t.position)
    else string_agg(format('event_type <> %L::text', t.name), ' and ' order by t.position)
  end
  from unnest(types) with ordinality as t (name, position)
$$;
CREATE FUNCTION ecompipe.type_rules(OUT name text, OUT column_name text, OUT types text[], OUT condition text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select r.name, r.column_name, r.types,
         case
           when r.column_name = 'event_type' then ecompipe.type_condition(r.types, true)
           when r.types is not null then concat_ws(' or ',
             r.column_name || ' is not null',
             -- Says nothing new, and spares most rows without the value a long list.
             case when cardinality(r.types) > 4 then ecompipe.type_condition(e.types, true) end,
             ecompipe.type_condition(r.types, false))
         end
  from (
    select array_agg(event_type order by position) as known,
           array_agg(event_type order by position) filter (where needs_product) as product,
           array_agg(event_type order by position) filter (where needs_price) as price,
           array_agg(event_type order by position) filter (where needs_quantity) as quantity,
           array_agg(event_type order by position) filter (where needs_order) as with_order,
           array_agg(event_type order by position) filter (where needs_search_term) as search_term
    from ecompipe.event_types
  ) as t
  cross join lateral (values
    ('events_event_type_known', 'event_type', coalesce(known, '{}')),
    ('events_product_required', 'product_id', product),
    ('events_price_required', 'price', price),
    ('events_quantity_required', 'quantity', quantity),
    ('events_order_required', 'order_id', with_order),
    ('events_search_term_required', 'search_term', search_term)
  ) as r (name, column_name, types)
  cross join lateral (
    select array_agg(f.name order by f.position) as types
    from (select * from unnest(known) with ordinality as k (name, position) where k.name <> all (r.types) order by k.position limit 3) as f
  ) as e
$$;
CREATE FUNCTION ecompipe.undecodable(texts bytea[], encoding name, OUT at integer, OUT message text) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION ecompipe.validate_constraints(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION ecompipe.written_condition(target regclass, condition text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  written text;
begin
  execute format('create temporary table ecompipe_condition (like %s)', target);
  execute 'alter table pg_temp.ecompipe_condition add check (' || condition || ')';
  select pg_get_expr(conbin, conrelid) into strict written from pg_constraint where conrelid = 'pg_temp.ecompipe_condition'::regclass and contype = 'c';
  drop table pg_temp.ecompipe_condition;
  return written;
end
$$;
CREATE TABLE analytics.funnel_rollup (
    day date NOT NULL,
    step integer NOT NULL,
    has_cart boolean NOT NULL,
    has_checkout boolean NOT NULL,
    has_purchase boolean NOT NULL,
    sessions bigint NOT NULL
);
CREATE VIEW analytics.session_places AS
 SELECT funnel_rollup.day,
    funnel_rollup.step,
    funnel_rollup.has_cart,
    funnel_rollup.has_checkout,
    funnel_rollup.has_purchase,
    funnel_rollup.sessions
   FROM analytics.funnel_rollup
UNION ALL
 SELECT ((pending_sessions.started_at AT TIME ZONE 'UTC'::text))::date AS day,
    analytics.funnel_step(pending_sessions.item_views, pending_sessions.cart_additions, pending_sessions.checkouts, pending_sessions.shipping_infos, pending_sessions.payment_infos, pending_sessions.purchase_lines) AS step,
    (pending_sessions.cart_additions > 0) AS has_cart,
    (pending_sessions.checkouts > 0) AS has_checkout,
    (pending_sessions.purchase_lines > 0) AS has_purchase,
    1 AS sessions
   FROM analytics.pending_sessions() pending_sessions(session_id, user_id, device, country, started_at, ended_at, events, page_views, item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines)
UNION ALL
 SELECT ((continued_sessions.started_at AT TIME ZONE 'UTC'::text))::date AS day,
    analytics.funnel_step(continued_sessions.item_views, continued_sessions.cart_additions, continued_sessions.checkouts, continued_sessions.shipping_infos, continued_sessions.payment_infos, continued_sessions.purchase_lines) AS step,
    (continued_sessions.cart_additions > 0) AS has_cart,
    (continued_sessions.checkouts > 0) AS has_checkout,
    (continued_sessions.purchase_lines > 0) AS has_purchase,
    '-1'::integer AS sessions
   FROM analytics.continued_sessions() continued_sessions(session_id, user_id, device, country, started_at, ended_at, events, page_views, item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines);
CREATE VIEW analytics.abandonment AS
 SELECT places.day,
    places.carts,
    places.carts_abandoned,
    round(((places.carts_abandoned)::numeric / (NULLIF(places.carts, 0))::numeric), 4) AS cart_abandonment,
    places.checkouts,
    places.checkouts_abandoned,
    round(((places.checkouts_abandoned)::numeric / (NULLIF(places.checkouts, 0))::numeric), 4) AS checkout_abandonment
   FROM ( SELECT session_places.day,
            (COALESCE(sum(session_places.sessions) FILTER (WHERE session_places.has_cart), (0)::numeric))::bigint AS carts,
            (COALESCE(sum(session_places.sessions) FILTER (WHERE (session_places.has_cart AND (NOT session_places.has_purchase))), (0)::numeric))::bigint AS carts_abandoned,
            (COALESCE(sum(session_places.sessions) FILTER (WHERE session_places.has_checkout), (0)::numeric))::bigint AS checkouts,
            (COALESCE(sum(session_places.sessions) FILTER (WHERE (session_places.has_checkout AND (NOT session_places.has_purchase))), (0)::numeric))::bigint AS checkouts_abandoned
           FROM analytics.session_places
          GROUP BY session_places.day) places
  WHERE ((places.carts > 0) OR (places.checkouts > 0))
  ORDER BY places.day;
COMMENT ON VIEW analytics.abandonment IS 'Sessions with a cart or a checkout and without a purchase, by UTC day on which they began.';
CREATE VIEW analytics.events_by_type AS
 SELECT part.event_type,
    (sum(part.events))::bigint AS events,
    round((sum(part.events) / sum(sum(part.events)) OVER ()), 4) AS share
   FROM ( SELECT type_rollup.day,
            type_rollup.event_type,
            type_rollup.events
           FROM analytics.type_rollup
        UNION ALL
         SELECT type_figures.day,
            type_figures.event_type,
            type_figures.events
           FROM analytics.type_figures(( SELECT analytics.pending_batch_ids() AS pending_batch_ids)) type_figures(day, event_type, events)) part
  GROUP BY part.event_type
  ORDER BY ((sum(part.events))::bigint) DESC, part.event_type;
COMMENT ON VIEW analytics.events_by_type IS 'How often each type of event occurred.';
CREATE VIEW analytics.freshness AS
 SELECT count(*) AS pending_batches,
    (COALESCE(sum(pending_batches.rows), (0)::numeric))::bigint AS pending_rows
   FROM analytics.pending_batches;
COMMENT ON VIEW analytics.freshness IS 'What the views must still compute from events: much of it makes them slow; call analytics.refresh().';
CREATE VIEW analytics.funnel AS
 WITH reached AS (
         SELECT s.step,
            s.name,
            (COALESCE(sum(p.sessions), (0)::numeric))::bigint AS sessions
           FROM (( VALUES (0,'session'::text), (1,'view_item'::text), (2,'add_to_cart'::text), (3,'begin_checkout'::text), (4,'add_shipping_info'::text), (5,'add_payment_info'::text), (6,'purchase'::text)) s(step, name)
             LEFT JOIN ( SELECT session_places.step,
                    sum(session_places.sessions) AS sessions
                   FROM analytics.session_places
                  GROUP BY session_places.step) p ON ((p.step >= s.step)))
          GROUP BY s.step, s.name
        )
 SELECT reached.step,
    reached.name,
    reached.sessions,
    round(((reached.sessions)::numeric / (NULLIF(lag(reached.sessions) OVER (ORDER BY reached.step), 0))::numeric), 4) AS step_conversion,
    round(((reached.sessions)::numeric / (NULLIF(first_value(reached.sessions) OVER (ORDER BY reached.step), 0))::numeric), 4) AS total_conversion
   FROM reached
  ORDER BY reached.step;
COMMENT ON VIEW analytics.funnel IS 'How many sessions came how far: a step counts when all those before it were taken.';
CREATE VIEW analytics.revenue_by_minute AS
 SELECT part.minute,
    NULLIF(part.currency, ''::text) AS currency,
    (sum(part.purchase_lines))::bigint AS purchase_lines,
    (sum(part.units))::bigint AS units,
    sum(part.revenue) AS revenue,
    sum(part.refunds) AS refunds,
    (sum(part.revenue) - sum(part.refunds)) AS net_revenue
   FROM ( SELECT revenue_rollup.minute,
            revenue_rollup.currency,
            revenue_rollup.purchase_lines,
            revenue_rollup.units,
            revenue_rollup.revenue,
            revenue_rollup.refunds
           FROM analytics.revenue_rollup
        UNION ALL
         SELECT revenue_figures.minute,
            revenue_figures.currency,
            revenue_figures.purchase_lines,
            revenue_figures.units,
            revenue_figures.revenue,
            revenue_figures.refunds
           FROM analytics.revenue_figures(( SELECT analytics.pending_batch_ids() AS pending_batch_ids)) revenue_figures(minute, currency, purchase_lines, units, revenue, refunds)) part
  GROUP BY part.minute, part.currency
  ORDER BY part.minute, NULLIF(part.currency, ''::text);
COMMENT ON VIEW analytics.revenue_by_minute IS 'Purchases and refunds by minute and currency.';
CREATE VIEW analytics.revenue_by_day AS
 SELECT ((revenue_by_minute.minute AT TIME ZONE 'UTC'::text))::date AS day,
    revenue_by_minute.currency,
    (sum(revenue_by_minute.purchase_lines))::bigint AS purchase_lines,
    (sum(revenue_by_minute.units))::bigint AS units,
    sum(revenue_by_minute.revenue) AS revenue,
    sum(revenue_by_minute.refunds) AS refunds,
    sum(revenue_by_minute.net_revenue) AS net_revenue
   FROM analytics.revenue_by_minute
  GROUP BY (((revenue_by_minute.minute AT TIME ZONE 'UTC'::text))::date), revenue_by_minute.currency
  ORDER BY (((revenue_by_minute.minute AT TIME ZONE 'UTC'::text))::date), revenue_by_minute.currency;
COMMENT ON VIEW analytics.revenue_by_day IS 'Purchases and refunds by UTC day and currency.';
CREATE VIEW analytics.search_terms AS
 SELECT part.term,
    (sum(part.searches))::bigint AS searches
   FROM ( SELECT search_rollup.term,
            search_rollup.searches
           FROM analytics.search_rollup
        UNION ALL
         SELECT search_figures.term,
            search_figures.searches
           FROM analytics.search_figures(( SELECT analytics.pending_batch_ids() AS pending_batch_ids)) search_figures(term, searches)) part
  GROUP BY part.term
  ORDER BY ((sum(part.searches))::bigint) DESC, part.term;
COMMENT ON VIEW analytics.search_terms IS 'What was searched for, in lower case, by how often.';
CREATE VIEW analytics.sessions AS
 SELECT session.session_id,
    session.user_id,
    session.device,
    session.country,
    session.started_at,
    session.ended_at,
        CASE
            WHEN (isfinite(session.started_at) AND isfinite(session.ended_at) AND ((session.ended_at < '280000-01-01 00:00:00+00'::timestamp with time zone) OR (session.started_at > '2000-01-01 00:00:00+00'::timestamp with time zone))) THEN (session.ended_at - session.started_at)
            ELSE NULL::interval
        END AS duration,
    session.events,
    session.page_views,
    session.item_views,
    session.cart_additions,
    session.checkouts,
    session.purchase_lines,
    ((session.page_views = 1) AND (session.item_views = 0) AND (session.cart_additions = 0)) AS is_bounce,
    (session.purchase_lines > 0) AS is_conversion
   FROM ( SELECT session_rollup.session_id,
            session_rollup.user_id,
            session_rollup.device,
            session_rollup.country,
            session_rollup.started_at,
            session_rollup.ended_at,
            session_rollup.events,
            session_rollup.page_views,
            session_rollup.item_views,
            session_rollup.cart_additions,
            session_rollup.checkouts,
            session_rollup.shipping_infos,
            session_rollup.payment_infos,
            session_rollup.purchase_lines
           FROM analytics.session_rollup
          WHERE (NOT (session_rollup.session_id IN ( SELECT continued_sessions.session_id
                   FROM analytics.continued_sessions() continued_sessions(session_id, user_id, device, country, started_at, ended_at, events, page_views, item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines))))
        UNION ALL
         SELECT pending_sessions.session_id,
            pending_sessions.user_id,
            pending_sessions.device,
            pending_sessions.country,
            pending_sessions.started_at,
            pending_sessions.ended_at,
            pending_sessions.events,
            pending_sessions.page_views,
            pending_sessions.item_views,
            pending_sessions.cart_additions,
            pending_sessions.checkouts,
            pending_sessions.shipping_infos,
            pending_sessions.payment_infos,
            pending_sessions.purchase_lines
           FROM analytics.pending_sessions() pending_sessions(session_id, user_id, device, country, started_at, ended_at, events, page_views, item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines)) session;
COMMENT ON VIEW analytics.sessions IS 'One row a session.';
COMMENT ON COLUMN analytics.sessions.duration IS 'From the first event to the last; null where an interval can''t hold it.';
CREATE VIEW analytics.top_products AS
 SELECT part.product_id,
    NULLIF(part.currency, ''::text) AS currency,
    (array_agg(part.product_name ORDER BY part.named_at DESC NULLS LAST, part.product_name DESC))[1] AS product_name,
    (sum(part.views))::bigint AS views,
    (sum(part.cart_additions))::bigint AS cart_additions,
    (sum(part.units_sold))::bigint AS units_sold,
    sum(part.revenue) AS revenue
   FROM ( SELECT product_rollup.product_id,
            product_rollup.currency,
            product_rollup.product_name,
            product_rollup.named_at,
            product_rollup.views,
            product_rollup.cart_additions,
            product_rollup.units_sold,
            product_rollup.revenue
           FROM analytics.product_rollup
        UNION ALL
         SELECT product_figures.product_id,
            product_figures.currency,
            product_figures.product_name,
            product_figures.named_at,
            product_figures.views,
            product_figures.cart_additions,
            product_figures.units_sold,
            product_figures.revenue
           FROM analytics.product_figures(( SELECT analytics.pending_batch_ids() AS pending_batch_ids)) product_figures(product_id, currency, product_name, named_at, views, cart_additions, units_sold, revenue)) part
  GROUP BY part.product_id, part.currency
  ORDER BY (sum(part.revenue)) DESC, ((sum(part.views))::bigint) DESC, part.product_id;
COMMENT ON VIEW analytics.top_products IS 'Products by revenue: views, additions to carts, units and revenue.';
CREATE TABLE ecompipe.file_entries (
    file_id bigint NOT NULL,
    batch_id bigint,
    size bigint NOT NULL,
    file_stamp bigint NOT NULL,
    rows integer,
    sha256 bytea NOT NULL,
    name text NOT NULL,
    state text,
    committed_offset bigint,
    committed_lines bigint,
    committed_records bigint,
    rows_read bigint,
    rows_inserted bigint,
    rows_duplicate bigint,
    rows_rejected bigint,
    first_seen_at timestamp with time zone,
    finished_at timestamp with time zone,
    reason text,
    CONSTRAINT file_entries_committed_lines_check CHECK ((committed_lines >= 0)),
    CONSTRAINT file_entries_committed_offset_check CHECK ((committed_offset >= 0)),
    CONSTRAINT file_entries_sha256_check CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT file_entries_size_check CHECK ((size >= 0)),
    CONSTRAINT file_entries_state_check CHECK ((state = ANY (ARRAY['loading'::text, 'loaded'::text, 'quarantined'::text, 'pruned'::text]))),
    CONSTRAINT files_reason_of_quarantine CHECK (((state = 'quarantined'::text) = (reason IS NOT NULL))),
    CONSTRAINT files_rows_add_up CHECK ((rows_read = ((rows_inserted + rows_duplicate) + rows_rejected))),
    CONSTRAINT files_usual_or_whole CHECK ((((rows IS NOT NULL) AND (num_nonnulls(state, committed_offset, committed_lines, committed_records, rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at, finished_at, reason) = 0)) OR ((rows IS NULL) AND (batch_id IS NULL) AND (num_nulls(state, committed_offset, committed_lines, committed_records, rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at) = 0))))
);
COMMENT ON TABLE ecompipe.file_entries IS 'Ledger: every file content ever seen, as short as can be; ecompipe.files says it in full.';
COMMENT ON COLUMN ecompipe.file_entries.file_stamp IS 'Modification time in milliseconds, and 20 bits of a hash of device, inode, size and time of the file it was first read from: only tells a leftover from a redelivery.';
CREATE TABLE ecompipe.range_entries (
    batch_id bigint NOT NULL,
    file_id bigint NOT NULL,
    start_offset bigint NOT NULL,
    end_offset bigint NOT NULL,
    first_line bigint NOT NULL,
    rows_read bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_duplicate bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    records_read bigint,
    records_skipped bigint,
    CONSTRAINT range_entries_check CHECK ((start_offset <= end_offset)),
    CONSTRAINT range_entries_check1 CHECK ((rows_read = ((rows_inserted + rows_duplicate) + rows_rejected)))
);
COMMENT ON TABLE ecompipe.range_entries IS 'Ledger: the byte ranges that batches loaded, but of usual files; ecompipe.batch_ranges has them all.';
CREATE VIEW ecompipe.batch_ranges AS
 SELECT range_entries.batch_id,
    range_entries.file_id,
    range_entries.start_offset,
    range_entries.end_offset,
    range_entries.first_line,
    range_entries.rows_read,
    range_entries.rows_inserted,
    range_entries.rows_duplicate,
    range_entries.rows_rejected,
    range_entries.records_read,
    range_entries.records_skipped
   FROM ecompipe.range_entries
UNION ALL
 SELECT file_entries.batch_id,
    file_entries.file_id,
    0 AS start_offset,
    file_entries.size AS end_offset,
    2 AS first_line,
    file_entries.rows AS rows_read,
    file_entries.rows AS rows_inserted,
    0 AS rows_duplicate,
    0 AS rows_rejected,
    NULL::bigint AS records_read,
    NULL::bigint AS records_skipped
   FROM ecompipe.file_entries
  WHERE (file_entries.batch_id IS NOT NULL);
COMMENT ON VIEW ecompipe.batch_ranges IS 'Ledger: the byte ranges of files that a batch loaded: part of a large file, or many small files whole.';
ALTER TABLE ecompipe.batches ALTER COLUMN batch_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME ecompipe.batches_batch_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ecompipe.column_lists ALTER COLUMN column_list_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.column_lists_column_list_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ecompipe.duplicate_rows (
    batch_id bigint NOT NULL,
    file_id bigint NOT NULL,
    line bigint NOT NULL,
    byte_offset bigint NOT NULL,
    key text NOT NULL,
    item integer DEFAULT 0 NOT NULL
);
COMMENT ON COLUMN ecompipe.duplicate_rows.key IS 'Key of the row in its table: its text, or a JSON array of texts where it has several columns.';
COMMENT ON COLUMN ecompipe.duplicate_rows.item IS 'Which row of its record it is, from 1; 0: its record is one row.';
CREATE TABLE ecompipe.event_types (
    event_type text NOT NULL,
    needs_product boolean DEFAULT false NOT NULL,
    needs_quantity boolean DEFAULT false NOT NULL,
    needs_order boolean DEFAULT false NOT NULL,
    needs_search_term boolean DEFAULT false NOT NULL,
    "position" smallint NOT NULL,
    needs_price boolean DEFAULT false NOT NULL
);
COMMENT ON TABLE ecompipe.event_types IS 'Known event types (names of Google Analytics 4) and what each must carry.';
COMMENT ON COLUMN ecompipe.event_types.needs_price IS 'Its rows must have a price. Apart from needs_product, and off by default.';
ALTER TABLE ecompipe.event_types ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.event_types_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ecompipe.feeds (
    feed_id bigint NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    content text NOT NULL,
    first_used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT feeds_sha256_check CHECK ((octet_length(sha256) = 32))
);
COMMENT ON TABLE ecompipe.feeds IS 'Feeds by which files were loaded, as they were written then.';
ALTER TABLE ecompipe.feeds ALTER COLUMN feed_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.feeds_feed_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ecompipe.file_entries ALTER COLUMN file_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME ecompipe.file_entries_file_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE VIEW ecompipe.files AS
 SELECT f.file_id,
    f.sha256,
    f.name,
    f.size,
    f.file_stamp,
    COALESCE(f.committed_offset, f.size) AS committed_offset,
    COALESCE(f.committed_lines, ((f.rows + 1))::bigint) AS committed_lines,
    COALESCE(f.state,
        CASE
            WHEN (f.batch_id IS NULL) THEN 'pruned'::text
            ELSE 'loaded'::text
        END) AS state,
    COALESCE(f.rows_read, (f.rows)::bigint) AS rows_read,
    COALESCE(f.rows_inserted, (f.rows)::bigint) AS rows_inserted,
    COALESCE(f.rows_duplicate, (0)::bigint) AS rows_duplicate,
    COALESCE(f.rows_rejected, (0)::bigint) AS rows_rejected,
    f.reason,
    COALESCE(f.first_seen_at, b.started_at) AS first_seen_at,
    COALESCE(f.finished_at, b.committed_at) AS finished_at,
    COALESCE(f.committed_records, (f.rows)::bigint) AS committed_records
   FROM (ecompipe.file_entries f
     LEFT JOIN ecompipe.batches b ON ((b.batch_id = f.batch_id)));
COMMENT ON VIEW ecompipe.files IS 'Ledger: every file content ever seen, and how far it is committed.';
CREATE TABLE ecompipe.prunes (
    prune_id bigint NOT NULL,
    events_before timestamp with time zone,
    ledger_before timestamp with time zone,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    pruned_by text DEFAULT SESSION_USER NOT NULL
);
COMMENT ON TABLE ecompipe.prunes IS 'Runs of ecompipe prune, noted before they remove anything.';
COMMENT ON COLUMN ecompipe.prunes.events_before IS 'Events with an earlier event_time were removed; null: none.';
COMMENT ON COLUMN ecompipe.prunes.ledger_before IS 'Files and batches that ended earlier were compacted; null: none.';
ALTER TABLE ecompipe.prunes ALTER COLUMN prune_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.prunes_prune_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ecompipe.redeliveries (
    file_id bigint NOT NULL,
    name text NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE ecompipe.rejected_rows (
    reject_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    file_id bigint NOT NULL,
    line bigint NOT NULL,
    byte_offset bigint NOT NULL,
    raw bytea NOT NULL,
    kind text NOT NULL,
    sql_state text NOT NULL,
    column_name text,
    constraint_name text,
    message text NOT NULL,
    rejected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    resolved_at timestamp with time zone,
    resolution text,
    resolved_by text,
    resolved_batch_id bigint,
    resolved_key text,
    item integer DEFAULT 0 NOT NULL,
    CONSTRAINT rejected_rows_kind_check CHECK ((kind = ANY (ARRAY['malformed'::text, 'invalid'::text, 'conflict'::text]))),
    CONSTRAINT rejected_rows_resolution_check CHECK ((resolution = ANY (ARRAY['inserted'::text, 'duplicate'::text]))),
    CONSTRAINT rejected_rows_resolved_whole CHECK ((num_nulls(resolved_at, resolution, resolved_by, resolved_batch_id, resolved_key) = ANY (ARRAY[0, 5])))
);
COMMENT ON TABLE ecompipe.rejected_rows IS 'Every source row that public.events does not accept: its bytes, its place and the reason.';
COMMENT ON COLUMN ecompipe.rejected_rows.resolution IS 'What became of the corrected row: inserted, or a duplicate of an equal event that was there already.';
COMMENT ON COLUMN ecompipe.rejected_rows.item IS 'Which row of its record it is, from 1; 0: its record is one row.';
ALTER TABLE ecompipe.rejected_rows ALTER COLUMN reject_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.rejected_rows_reject_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ecompipe.undone_files (
    undone_id bigint NOT NULL,
    sha256 bytea NOT NULL,
    name text NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_duplicate bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    undone_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    undone_by text DEFAULT SESSION_USER NOT NULL,
    CONSTRAINT undone_files_sha256_check CHECK ((octet_length(sha256) = 32))
);
COMMENT ON TABLE ecompipe.undone_files IS 'Files that ecompipe undo took out again, with what the ledger had counted of them.';
ALTER TABLE ecompipe.undone_files ALTER COLUMN undone_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.undone_files_undone_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.ecompipe_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.events (
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    event_time timestamp with time zone NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    device text,
    country text,
    traffic_source text,
    page_url text,
    search_term text,
    product_id text,
    product_name text,
    brand text,
    category text,
    price numeric(12,2),
    quantity integer,
    currency text,
    coupon text,
    payment_type text,
    order_id text,
    ingested_at timestamp with time zone DEFAULT now() NOT NULL,
    batch_id bigint DEFAULT (NULLIF(current_setting('ecompipe.batch_id'::text, true), ''::text))::bigint,
    CONSTRAINT events_country_code CHECK (((octet_length(country) = 2) AND (country ~>=~ 'AA'::text) AND (country ~<=~ 'ZZ'::text) AND (reverse(country) ~>=~ 'AA'::text) AND (reverse(country) ~<=~ 'ZZ'::text))),
    CONSTRAINT events_currency_code CHECK ((((currency COLLATE "C") = 'USD'::text) OR ((currency COLLATE "C") = 'EUR'::text) OR ((octet_length(currency) = 3) AND (translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'::text, ''::text) = ''::text)))),
    CONSTRAINT events_device_known CHECK (((device = 'mobile'::text) OR (device = 'desktop'::text) OR (device = 'tablet'::text))),
    CONSTRAINT events_event_time_finite CHECK (isfinite(event_time)),
    CONSTRAINT events_event_type_known CHECK (((event_type = 'view_item'::text) OR (event_type = 'page_view'::text) OR (event_type = 'view_item_list'::text) OR (event_type = 'session_start'::text) OR (event_type = 'select_item'::text) OR (event_type = 'search'::text) OR (event_type = 'add_to_cart'::text) OR (event_type = 'view_cart'::text) OR (event_type = 'remove_from_cart'::text) OR (event_type = 'add_to_wishlist'::text) OR (event_type = 'begin_checkout'::text) OR (event_type = 'add_shipping_info'::text) OR (event_type = 'add_payment_info'::text) OR (event_type = 'purchase'::text) OR (event_type = 'refund'::text))),
    CONSTRAINT events_order_required CHECK (((order_id IS NOT NULL) OR ((event_type <> 'purchase'::text) AND (event_type <> 'refund'::text)))),
    CONSTRAINT events_price_has_currency CHECK (((price IS NULL) OR (currency IS NOT NULL))),
    CONSTRAINT events_price_not_negative CHECK (((price >= (0)::numeric) AND (price <> 'NaN'::numeric))),
    CONSTRAINT events_product_required CHECK (((product_id IS NOT NULL) OR (event_type = 'page_view'::text) OR (event_type = 'view_item_list'::text) OR (event_type = 'session_start'::text) OR ((event_type <> 'view_item'::text) AND (event_type <> 'select_item'::text) AND (event_type <> 'add_to_cart'::text) AND (event_type <> 'remove_from_cart'::text) AND (event_type <> 'add_to_wishlist'::text) AND (event_type <> 'purchase'::text) AND (event_type <> 'refund'::text)))),
    CONSTRAINT events_quantity_positive CHECK ((quantity > 0)),
    CONSTRAINT events_quantity_required CHECK (((quantity IS NOT NULL) OR ((event_type <> 'add_to_cart'::text) AND (event_type <> 'remove_from_cart'::text) AND (event_type <> 'purchase'::text) AND (event_type <> 'refund'::text)))),
    CONSTRAINT events_search_term_required CHECK (((search_term IS NOT NULL) OR (event_type <> 'search'::text)))
);
COMMENT ON TABLE public.events IS 'E-commerce events, each exactly once per event_id; loaded by ecompipe.';
COMMENT ON COLUMN public.events.batch_id IS 'The batch that loaded the row (ecompipe.batches); null for rows from elsewhere.';
ALTER TABLE ONLY analytics.funnel_rollup
    ADD CONSTRAINT funnel_rollup_pkey PRIMARY KEY (day, step, has_cart, has_checkout, has_purchase);
ALTER TABLE ONLY analytics.pending_batches
    ADD CONSTRAINT pending_batches_pkey PRIMARY KEY (batch_id);
ALTER TABLE ONLY analytics.product_rollup
    ADD CONSTRAINT product_rollup_pkey PRIMARY KEY (product_id, currency);
ALTER TABLE ONLY analytics.revenue_rollup
    ADD CONSTRAINT revenue_rollup_pkey PRIMARY KEY (minute, currency);
ALTER TABLE ONLY analytics.search_rollup
    ADD CONSTRAINT search_rollup_pkey PRIMARY KEY (term);
ALTER TABLE ONLY analytics.session_rollup
    ADD CONSTRAINT session_rollup_pkey PRIMARY KEY (session_id);
ALTER TABLE ONLY analytics.type_rollup
    ADD CONSTRAINT type_rollup_pkey PRIMARY KEY (day, event_type);
ALTER TABLE ONLY ecompipe.range_entries
    ADD CONSTRAINT batch_ranges_pkey PRIMARY KEY (file_id, start_offset);
ALTER TABLE ONLY ecompipe.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (batch_id);
ALTER TABLE ONLY ecompipe.column_lists
    ADD CONSTRAINT column_lists_fingerprint_key UNIQUE (fingerprint);
ALTER TABLE ONLY ecompipe.column_lists
    ADD CONSTRAINT column_lists_pkey PRIMARY KEY (column_list_id);
ALTER TABLE ONLY ecompipe.duplicate_rows
    ADD CONSTRAINT duplicate_rows_pkey PRIMARY KEY (file_id, byte_offset, item);
ALTER TABLE ONLY ecompipe.event_types
    ADD CONSTRAINT event_types_pkey PRIMARY KEY (event_type);
ALTER TABLE ONLY ecompipe.feeds
    ADD CONSTRAINT feeds_pkey PRIMARY KEY (feed_id);
ALTER TABLE ONLY ecompipe.feeds
    ADD CONSTRAINT feeds_sha256_key UNIQUE (sha256);
ALTER TABLE ONLY ecompipe.file_entries
    ADD CONSTRAINT file_entries_pkey PRIMARY KEY (file_id);
ALTER TABLE ONLY ecompipe.prunes
    ADD CONSTRAINT prunes_pkey PRIMARY KEY (prune_id);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_once UNIQUE (file_id, byte_offset, item);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_pkey PRIMARY KEY (reject_id);
ALTER TABLE ONLY ecompipe.undone_files
    ADD CONSTRAINT undone_files_pkey PRIMARY KEY (undone_id);
ALTER TABLE ONLY public.ecompipe_migrations
    ADD CONSTRAINT ecompipe_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (event_id);
CREATE INDEX batch_ranges_batch_id ON ecompipe.range_entries USING btree (batch_id);
CREATE INDEX duplicate_rows_key ON ecompipe.duplicate_rows USING hash (key);
CREATE INDEX files_batch_id ON ecompipe.file_entries USING btree (batch_id) WHERE (batch_id IS NOT NULL);
CREATE UNIQUE INDEX files_content ON ecompipe.file_entries USING btree (ecompipe.content_key(sha256));
CREATE INDEX files_quarantined ON ecompipe.file_entries USING btree (finished_at) WHERE (state = 'quarantined'::text);
CREATE INDEX files_unfinished ON ecompipe.file_entries USING btree (file_id) WHERE (state = 'loading'::text);
CREATE INDEX redeliveries_file_id ON ecompipe.redeliveries USING btree (file_id);
CREATE INDEX rejected_rows_resolved_batch_id ON ecompipe.rejected_rows USING btree (resolved_batch_id) WHERE (resolved_batch_id IS NOT NULL);
CREATE INDEX rejected_rows_resolved_key ON ecompipe.rejected_rows USING hash (resolved_key) WHERE (resolved_key IS NOT NULL);
CREATE INDEX undone_files_sha256 ON ecompipe.undone_files USING btree (sha256);
CREATE INDEX events_event_time_batch_id_brin ON public.events USING brin (event_time, batch_id) WITH (pages_per_range='32');
CREATE TRIGGER batches_are_rolled_up AFTER INSERT ON ecompipe.batches FOR EACH ROW WHEN ((new.rows_inserted > 0)) EXECUTE FUNCTION analytics.note_batch();
CREATE TRIGGER event_types_are_constraints AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON ecompipe.event_types FOR EACH STATEMENT EXECUTE FUNCTION ecompipe.apply_event_types();
ALTER TABLE ONLY ecompipe.range_entries
    ADD CONSTRAINT batch_ranges_file_id_fkey FOREIGN KEY (file_id) REFERENCES ecompipe.file_entries(file_id);
ALTER TABLE ONLY ecompipe.batches
    ADD CONSTRAINT batches_column_list_id_fkey FOREIGN KEY (column_list_id) REFERENCES ecompipe.column_lists(column_list_id);
ALTER TABLE ONLY ecompipe.batches
    ADD CONSTRAINT batches_feed_id_fkey FOREIGN KEY (feed_id) REFERENCES ecompipe.feeds(feed_id);
ALTER TABLE ONLY ecompipe.range_entries
    ADD CONSTRAINT range_entries_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES ecompipe.batches(batch_id);
ALTER TABLE ONLY ecompipe.redeliveries
    ADD CONSTRAINT redeliveries_file_id_fkey FOREIGN KEY (file_id) REFERENCES ecompipe.file_entries(file_id);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_resolved_batch_id_fkey FOREIGN KEY (resolved_batch_id) REFERENCES ecompipe.batches(batch_id) DEFERRABLE INITIALLY DEFERRED;
