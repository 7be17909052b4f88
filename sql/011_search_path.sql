-- Sessions of ecompipe have the search_path pg_catalog, pg_temp, so that nobody who may create objects in another schema can
-- shadow what they use. Code of the table's owner that a load runs may count on the search_path of its role.

-- Whether inserting a row runs functions that are neither PostgreSQL's nor ours: by triggers of the table or its partitions,
-- and in its constraints, defaults, indexes and types.
create function ecompipe.runs_user_code(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
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

-- Functions behind the views run under the search_path of whoever asks: theirs are bound to names here, as no setting can be
-- (one would keep the planner from inlining them). Only events_of stays a text, as its table may be replaced; it is qualified.
create or replace function analytics.events_of(batch_ids bigint[])
returns table (event_type text, event_time timestamptz, user_id text, session_id text, device text, country text, product_id text,
               product_name text, price numeric, quantity bigint, currency text, search_term text)
language sql stable
as $$
  select event_type::pg_catalog.text, event_time::pg_catalog.timestamptz, user_id::pg_catalog.text, session_id::pg_catalog.text,
         device::pg_catalog.text, country::pg_catalog.text, product_id::pg_catalog.text, product_name::pg_catalog.text,
         price::pg_catalog.numeric, quantity::pg_catalog.int8, currency::pg_catalog.text, search_term::pg_catalog.text
  from public.events
  where batch_id operator(pg_catalog.>=) (select pg_catalog.min(id) from pg_catalog.unnest(batch_ids) as id)
    and batch_id operator(pg_catalog.<=) (select pg_catalog.max(id) from pg_catalog.unnest(batch_ids) as id)
    and (batch_id operator(pg_catalog.=) any (select pg_catalog.unnest(batch_ids))) is true
$$;

create or replace function analytics.continued_sessions() returns setof analytics.session_rollup
language sql stable
begin atomic
  select s.*
  from analytics.session_figures((select analytics.pending_batch_ids())) as f
  join analytics.session_rollup s using (session_id);
end;

create or replace function analytics.pending_sessions() returns setof analytics.session_rollup
language sql stable
begin atomic
  select f.session_id, least(s.user_id, f.user_id), least(s.device, f.device), least(s.country, f.country),
         least(s.started_at, f.started_at), greatest(s.ended_at, f.ended_at),
         coalesce(s.events, 0) + f.events, coalesce(s.page_views, 0) + f.page_views, coalesce(s.item_views, 0) + f.item_views,
         coalesce(s.cart_additions, 0) + f.cart_additions, coalesce(s.checkouts, 0) + f.checkouts, coalesce(s.shipping_infos, 0) + f.shipping_infos,
         coalesce(s.payment_infos, 0) + f.payment_infos, coalesce(s.purchase_lines, 0) + f.purchase_lines
  from analytics.session_figures((select analytics.pending_batch_ids())) as f
  left join analytics.session_rollup s using (session_id);
end;

create or replace function analytics.product_figures(batch_ids bigint[]) returns setof analytics.product_rollup
language sql stable
begin atomic
  select left(product_id, 500), coalesce(currency, ''),
         (array_agg(product_name order by event_time desc, product_name desc) filter (where product_name is not null))[1],
         max(event_time) filter (where product_name is not null),
         count(*) filter (where event_type = 'view_item'),
         count(*) filter (where event_type = 'add_to_cart'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0)::bigint,
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('view_item', 'add_to_cart', 'purchase') and product_id is not null
  group by 1, 2;
end;

create or replace function analytics.revenue_figures(batch_ids bigint[]) returns setof analytics.revenue_rollup
language sql stable
begin atomic
  select date_trunc('minute', event_time, 'UTC'), coalesce(currency, ''),
         count(*) filter (where event_type = 'purchase'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0)::bigint,
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'refund'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('purchase', 'refund') and event_time is not null
  group by 1, 2;
end;

create or replace function analytics.search_figures(batch_ids bigint[]) returns setof analytics.search_rollup
language sql stable
begin atomic
  select left(lower(btrim(search_term)), 500), count(*)
  from analytics.events_of(batch_ids)
  where event_type = 'search' and search_term is not null
  group by 1;
end;

create or replace function analytics.session_figures(batch_ids bigint[]) returns setof analytics.session_rollup
language sql stable
begin atomic
  select left(session_id, 500), min(user_id), min(device), min(country), min(event_time), max(event_time), count(*),
         count(*) filter (where event_type = 'page_view'),
         count(*) filter (where event_type = 'view_item'),
         count(*) filter (where event_type = 'add_to_cart'),
         count(*) filter (where event_type = 'begin_checkout'),
         count(*) filter (where event_type = 'add_shipping_info'),
         count(*) filter (where event_type = 'add_payment_info'),
         count(*) filter (where event_type = 'purchase')
  from analytics.events_of(batch_ids)
  where session_id is not null and event_time is not null
  group by 1;
end;

create or replace function analytics.type_figures(batch_ids bigint[]) returns setof analytics.type_rollup
language sql stable
begin atomic
  select (event_time at time zone 'UTC')::date, event_type, count(*)
  from analytics.events_of(batch_ids)
  where event_time is not null and event_type is not null
  group by 1, 2;
end;

-- Expressions of our own that are evaluated while the search_path is the caller's.
do $$
declare
  change record;
  definition text;
begin
  for change in
    select *
    from (values
      ('convert_texts', 'execute (select format(', 'execute (select pg_catalog.format('),
      ('convert_texts', 'string_agg(format(''when', 'pg_catalog.string_agg(pg_catalog.format(''when'),
      ('convert_texts', 'from unnest(plan.type_names)', 'from pg_catalog.unnest(plan.type_names)'),
      ('after_triggers', 'execute format(''insert into pg_temp.%I', 'execute pg_catalog.format(''insert into pg_temp.%I'),
      ('insert_rows', 'using suspects || known || later', 'using suspects operator(pg_catalog.||) known operator(pg_catalog.||) later')
    ) as c (name, before, after)
  loop
    select pg_get_functiondef(p.oid) into strict definition
    from pg_proc p where p.pronamespace = 'ecompipe'::regnamespace and p.proname = change.name;
    if position(change.before in definition) = 0 then
      raise exception 'ecompipe.% is not as it was made', change.name;
    end if;
    execute replace(definition, change.before, change.after);
  end loop;
end
$$;
