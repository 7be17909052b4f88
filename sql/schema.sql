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
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE analytics.session_rollup (
    session_id text NOT NULL,
    user_id text NOT NULL,
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
CREATE FUNCTION analytics.continued_sessions() RETURNS SETOF analytics.session_rollup
    LANGUAGE sql STABLE
    AS $$
  select s.*
  from analytics.session_figures((select analytics.pending_batch_ids())) as f
  join analytics.session_rollup s using (session_id)
$$;
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
    CONSTRAINT events_country_code CHECK (((octet_length(country) = 2) AND (translate(country, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'::text, ''::text) = ''::text))),
    CONSTRAINT events_currency_code CHECK (((octet_length(currency) = 3) AND (translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'::text, ''::text) = ''::text))),
    CONSTRAINT events_device_known CHECK ((device = ANY (ARRAY['mobile'::text, 'desktop'::text, 'tablet'::text]))),
    CONSTRAINT events_event_time_finite CHECK (isfinite(event_time)),
    CONSTRAINT events_event_type_known CHECK ((event_type = ANY ('{view_item,page_view,view_item_list,session_start,select_item,search,add_to_cart,view_cart,remove_from_cart,add_to_wishlist,begin_checkout,add_shipping_info,add_payment_info,purchase,refund}'::text[]))),
    CONSTRAINT events_order_required CHECK (((order_id IS NOT NULL) OR (event_type <> ALL ('{purchase,refund}'::text[])))),
    CONSTRAINT events_price_has_currency CHECK (((price IS NULL) OR (currency IS NOT NULL))),
    CONSTRAINT events_price_not_negative CHECK (((price >= (0)::numeric) AND (price <> 'NaN'::numeric))),
    CONSTRAINT events_price_required CHECK (((price IS NOT NULL) OR (event_type <> ALL ('{view_item,select_item,add_to_cart,remove_from_cart,add_to_wishlist,purchase,refund}'::text[])))),
    CONSTRAINT events_product_required CHECK (((product_id IS NOT NULL) OR (event_type <> ALL ('{view_item,select_item,add_to_cart,remove_from_cart,add_to_wishlist,purchase,refund}'::text[])))),
    CONSTRAINT events_quantity_positive CHECK ((quantity > 0)),
    CONSTRAINT events_quantity_required CHECK (((quantity IS NOT NULL) OR (event_type <> ALL ('{add_to_cart,remove_from_cart,purchase,refund}'::text[])))),
    CONSTRAINT events_search_term_required CHECK (((search_term IS NOT NULL) OR (event_type <> ALL ('{search}'::text[]))))
);
COMMENT ON TABLE public.events IS 'E-commerce events, each exactly once per event_id; loaded by ecompipe.';
COMMENT ON COLUMN public.events.batch_id IS 'The batch that loaded the row (ecompipe.batches); null for rows from elsewhere.';
CREATE FUNCTION analytics.events_of(batch_ids bigint[]) RETURNS SETOF public.events
    LANGUAGE sql STABLE
    AS $$
  select * from public.events
  where batch_id between (select min(id) from unnest(batch_ids) as id) and (select max(id) from unnest(batch_ids) as id)
    and (batch_id in (select unnest(batch_ids))) is true
$$;
CREATE FUNCTION analytics.funnel_step(item_views bigint, cart_additions bigint, checkouts bigint, shipping_infos bigint, payment_infos bigint, purchase_lines bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN (item_views = 0) THEN 0 WHEN (cart_additions = 0) THEN 1 WHEN (checkouts = 0) THEN 2 WHEN (shipping_infos = 0) THEN 3 WHEN (payment_infos = 0) THEN 4 WHEN (purchase_lines = 0) THEN 5 ELSE 6 END;
CREATE FUNCTION analytics.note_batch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  insert into analytics.pending_batches (batch_id, rows) values (new.batch_id, new.rows_inserted);
  return null;
end
$$;
CREATE TABLE analytics.pending_batches (
    batch_id bigint NOT NULL,
    rows bigint NOT NULL
);
COMMENT ON TABLE analytics.pending_batches IS 'Committed batches that are not in the rollups yet.';
CREATE FUNCTION analytics.pending_batch_ids() RETURNS bigint[]
    LANGUAGE sql STABLE
    RETURN (SELECT COALESCE(array_agg(pending_batches.batch_id), '{}'::bigint[]) AS "coalesce" FROM analytics.pending_batches);
CREATE FUNCTION analytics.pending_sessions() RETURNS SETOF analytics.session_rollup
    LANGUAGE sql STABLE
    AS $$
  select f.session_id, least(s.user_id, f.user_id), least(s.device, f.device), least(s.country, f.country),
         least(s.started_at, f.started_at), greatest(s.ended_at, f.ended_at),
         coalesce(s.events, 0) + f.events, coalesce(s.page_views, 0) + f.page_views, coalesce(s.item_views, 0) + f.item_views,
         coalesce(s.cart_additions, 0) + f.cart_additions, coalesce(s.checkouts, 0) + f.checkouts, coalesce(s.shipping_infos, 0) + f.shipping_infos,
         coalesce(s.payment_infos, 0) + f.payment_infos, coalesce(s.purchase_lines, 0) + f.purchase_lines
  from analytics.session_figures((select analytics.pending_batch_ids())) as f
  left join analytics.session_rollup s using (session_id)
$$;
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
    AS $$
  select left(product_id, 500), currency,
         (array_agg(product_name order by event_time desc, product_name desc) filter (where product_name is not null))[1],
         max(event_time) filter (where product_name is not null),
         count(*) filter (where event_type = 'view_item'),
         count(*) filter (where event_type = 'add_to_cart'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('view_item', 'add_to_cart', 'purchase')
  group by 1, 2
$$;
CREATE FUNCTION analytics.rebuild() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
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
    SET search_path TO 'pg_catalog'
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
  perform brin_summarize_new_values('public.events_event_time_batch_id_brin');
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
    AS $$
  select date_trunc('minute', event_time, 'UTC'), currency,
         count(*) filter (where event_type = 'purchase'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'refund'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('purchase', 'refund')
  group by 1, 2
$$;
CREATE TABLE analytics.search_rollup (
    term text NOT NULL,
    searches bigint NOT NULL
);
CREATE FUNCTION analytics.search_figures(batch_ids bigint[]) RETURNS SETOF analytics.search_rollup
    LANGUAGE sql STABLE
    AS $$
  select left(lower(btrim(search_term)), 500), count(*)
  from analytics.events_of(batch_ids)
  where event_type = 'search'
  group by 1
$$;
CREATE FUNCTION analytics.session_figures(batch_ids bigint[]) RETURNS SETOF analytics.session_rollup
    LANGUAGE sql STABLE
    AS $$
  select left(session_id, 500), min(user_id), min(device), min(country), min(event_time), max(event_time), count(*),
         count(*) filter (where event_type = 'page_view'),
         count(*) filter (where event_type = 'view_item'),
         count(*) filter (where event_type = 'add_to_cart'),
         count(*) filter (where event_type = 'begin_checkout'),
         count(*) filter (where event_type = 'add_shipping_info'),
         count(*) filter (where event_type = 'add_payment_info'),
         count(*) filter (where event_type = 'purchase')
  from analytics.events_of(batch_ids)
  group by 1
$$;
CREATE TABLE analytics.type_rollup (
    day date NOT NULL,
    event_type text NOT NULL,
    events bigint NOT NULL
);
CREATE FUNCTION analytics.type_figures(batch_ids bigint[]) RETURNS SETOF analytics.type_rollup
    LANGUAGE sql STABLE
    AS $$
  select (event_time at time zone 'UTC')::date, event_type, count(*)
  from analytics.events_of(batch_ids)
  group by 1, 2
$$;
CREATE FUNCTION ecompipe.apply_event_types() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
declare
  known text[] := (select array_agg(event_type order by position) from ecompipe.event_types);
  rule record;
begin
  for rule in
    select *
    from (values
      ('events_event_type_known', null::text, 'event_type = any (%L::text[])', known),
      ('events_product_required', 'product_id', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_product)),
      ('events_price_required', 'price', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_product)),
      ('events_quantity_required', 'quantity', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_quantity)),
      ('events_order_required', 'order_id', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_order)),
      ('events_search_term_required', 'search_term', '%I is not null or event_type <> all (%L::text[])',
        (select array_agg(event_type order by position) from ecompipe.event_types where needs_search_term))
    ) as r (name, column_name, template, types)
  loop
    execute format('alter table public.events drop constraint if exists %I', rule.name);
    execute format('alter table public.events add constraint %I check (', rule.name)
      || case when rule.column_name is null
           then format(rule.template, coalesce(rule.types, '{}'))
           else format(rule.template, rule.column_name, coalesce(rule.types, '{}'))
         end || ')';
  end loop;
  return null;
end
$$;
CREATE FUNCTION ecompipe.input_error_info(value text, type_name text, OUT message text, OUT detail text, OUT hint text, OUT sql_error_code text) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
begin
  execute format('select %L::%s', value, type_name);
exception when data_exception or integrity_constraint_violation or invalid_text_representation then
  get stacked diagnostics message = message_text, detail = pg_exception_detail,
                          hint = pg_exception_hint, sql_error_code = returned_sqlstate;
end
$$;
CREATE FUNCTION ecompipe.input_is_valid(value text, type_name text) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN ((ecompipe.input_error_info(value, type_name)).sql_error_code IS NULL);
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
    part.currency,
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
  ORDER BY part.minute, part.currency;
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
    (session.ended_at - session.started_at) AS duration,
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
CREATE VIEW analytics.top_products AS
 SELECT part.product_id,
    part.currency,
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
CREATE TABLE ecompipe.batch_ranges (
    batch_id bigint NOT NULL,
    file_id bigint NOT NULL,
    start_offset bigint NOT NULL,
    end_offset bigint NOT NULL,
    first_line bigint NOT NULL,
    rows_read bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_duplicate bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    CONSTRAINT batch_ranges_check CHECK ((start_offset <= end_offset)),
    CONSTRAINT batch_ranges_check1 CHECK ((rows_read = ((rows_inserted + rows_duplicate) + rows_rejected)))
);
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
    CONSTRAINT batches_engine_check CHECK ((engine = ANY (ARRAY['native'::text, 'spark'::text]))),
    CONSTRAINT batches_load_path_check CHECK ((load_path = ANY (ARRAY['fast'::text, 'slow'::text, 'replay'::text]))),
    CONSTRAINT batches_rows_add_up CHECK ((rows_read = ((rows_inserted + rows_duplicate) + rows_rejected)))
);
COMMENT ON TABLE ecompipe.batches IS 'Ledger: one row per committed load transaction.';
ALTER TABLE ecompipe.batches ALTER COLUMN batch_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME ecompipe.batches_batch_id_seq
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
    event_id uuid NOT NULL
);
CREATE TABLE ecompipe.event_types (
    event_type text NOT NULL,
    needs_product boolean DEFAULT false NOT NULL,
    needs_quantity boolean DEFAULT false NOT NULL,
    needs_order boolean DEFAULT false NOT NULL,
    needs_search_term boolean DEFAULT false NOT NULL,
    "position" smallint NOT NULL
);
COMMENT ON TABLE ecompipe.event_types IS 'Known event types (names of Google Analytics 4) and what each must carry.';
ALTER TABLE ecompipe.event_types ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.event_types_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ecompipe.files (
    file_id bigint NOT NULL,
    sha256 bytea NOT NULL,
    name text NOT NULL,
    size bigint NOT NULL,
    source text NOT NULL,
    committed_offset bigint DEFAULT 0 NOT NULL,
    committed_lines bigint DEFAULT 0 NOT NULL,
    state text DEFAULT 'loading'::text NOT NULL,
    rows_read bigint DEFAULT 0 NOT NULL,
    rows_inserted bigint DEFAULT 0 NOT NULL,
    rows_duplicate bigint DEFAULT 0 NOT NULL,
    rows_rejected bigint DEFAULT 0 NOT NULL,
    reason text,
    first_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT files_committed_lines_check CHECK ((committed_lines >= 0)),
    CONSTRAINT files_committed_offset_check CHECK ((committed_offset >= 0)),
    CONSTRAINT files_reason_of_quarantine CHECK (((state = 'quarantined'::text) = (reason IS NOT NULL))),
    CONSTRAINT files_rows_add_up CHECK ((rows_read = ((rows_inserted + rows_duplicate) + rows_rejected))),
    CONSTRAINT files_sha256_check CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT files_size_check CHECK ((size >= 0)),
    CONSTRAINT files_state_check CHECK ((state = ANY (ARRAY['loading'::text, 'loaded'::text, 'quarantined'::text])))
);
COMMENT ON TABLE ecompipe.files IS 'Ledger: every file content ever seen, and how far it is committed.';
COMMENT ON COLUMN ecompipe.files.source IS 'Device, inode, size and mtime of the file it was first read from: only tells a leftover from a redelivery.';
COMMENT ON COLUMN ecompipe.files.committed_offset IS 'Bytes of the (decompressed) content whose rows are committed; advanced by compare-and-set.';
COMMENT ON COLUMN ecompipe.files.committed_lines IS 'Physical lines within committed_offset, so that a resumed load knows its line numbers.';
ALTER TABLE ecompipe.files ALTER COLUMN file_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ecompipe.files_file_id_seq
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
    resolved_event_id uuid,
    CONSTRAINT rejected_rows_kind_check CHECK ((kind = ANY (ARRAY['malformed'::text, 'invalid'::text, 'conflict'::text]))),
    CONSTRAINT rejected_rows_resolution_check CHECK ((resolution = ANY (ARRAY['inserted'::text, 'duplicate'::text]))),
    CONSTRAINT rejected_rows_resolved_whole CHECK ((num_nulls(resolved_at, resolution, resolved_by, resolved_batch_id, resolved_event_id) = ANY (ARRAY[0, 5])))
);
COMMENT ON TABLE ecompipe.rejected_rows IS 'Every source row that public.events does not accept: its bytes, its place and the reason.';
COMMENT ON COLUMN ecompipe.rejected_rows.resolution IS 'What became of the corrected row: inserted, or a duplicate of an equal event that was there already.';
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
ALTER TABLE ONLY ecompipe.batch_ranges
    ADD CONSTRAINT batch_ranges_pkey PRIMARY KEY (file_id, start_offset);
ALTER TABLE ONLY ecompipe.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (batch_id);
ALTER TABLE ONLY ecompipe.duplicate_rows
    ADD CONSTRAINT duplicate_rows_pkey PRIMARY KEY (file_id, byte_offset);
ALTER TABLE ONLY ecompipe.event_types
    ADD CONSTRAINT event_types_pkey PRIMARY KEY (event_type);
ALTER TABLE ONLY ecompipe.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (file_id);
ALTER TABLE ONLY ecompipe.files
    ADD CONSTRAINT files_sha256_key UNIQUE (sha256);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_once UNIQUE (file_id, byte_offset);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_pkey PRIMARY KEY (reject_id);
ALTER TABLE ONLY ecompipe.undone_files
    ADD CONSTRAINT undone_files_pkey PRIMARY KEY (undone_id);
ALTER TABLE ONLY public.ecompipe_migrations
    ADD CONSTRAINT ecompipe_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (event_id);
CREATE INDEX batch_ranges_batch_id ON ecompipe.batch_ranges USING btree (batch_id);
CREATE INDEX duplicate_rows_event_id ON ecompipe.duplicate_rows USING btree (event_id);
CREATE INDEX files_unfinished ON ecompipe.files USING btree (file_id) WHERE (state = 'loading'::text);
CREATE INDEX redeliveries_file_id ON ecompipe.redeliveries USING btree (file_id);
CREATE INDEX rejected_rows_resolved_batch_id ON ecompipe.rejected_rows USING btree (resolved_batch_id) WHERE (resolved_batch_id IS NOT NULL);
CREATE INDEX rejected_rows_resolved_event_id ON ecompipe.rejected_rows USING btree (resolved_event_id) WHERE (resolved_event_id IS NOT NULL);
CREATE INDEX undone_files_sha256 ON ecompipe.undone_files USING btree (sha256);
CREATE INDEX events_event_time_batch_id_brin ON public.events USING brin (event_time, batch_id) WITH (pages_per_range='32');
CREATE TRIGGER batches_are_rolled_up AFTER INSERT ON ecompipe.batches FOR EACH ROW WHEN ((new.rows_inserted > 0)) EXECUTE FUNCTION analytics.note_batch();
CREATE TRIGGER event_types_are_constraints AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON ecompipe.event_types FOR EACH STATEMENT EXECUTE FUNCTION ecompipe.apply_event_types();
ALTER TABLE ONLY ecompipe.batch_ranges
    ADD CONSTRAINT batch_ranges_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES ecompipe.batches(batch_id);
ALTER TABLE ONLY ecompipe.batch_ranges
    ADD CONSTRAINT batch_ranges_file_id_fkey FOREIGN KEY (file_id) REFERENCES ecompipe.files(file_id);
ALTER TABLE ONLY ecompipe.duplicate_rows
    ADD CONSTRAINT duplicate_rows_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES ecompipe.batches(batch_id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY ecompipe.duplicate_rows
    ADD CONSTRAINT duplicate_rows_file_id_fkey FOREIGN KEY (file_id) REFERENCES ecompipe.files(file_id);
ALTER TABLE ONLY ecompipe.redeliveries
    ADD CONSTRAINT redeliveries_file_id_fkey FOREIGN KEY (file_id) REFERENCES ecompipe.files(file_id);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES ecompipe.batches(batch_id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_file_id_fkey FOREIGN KEY (file_id) REFERENCES ecompipe.files(file_id);
ALTER TABLE ONLY ecompipe.rejected_rows
    ADD CONSTRAINT rejected_rows_resolved_batch_id_fkey FOREIGN KEY (resolved_batch_id) REFERENCES ecompipe.batches(batch_id) DEFERRABLE INITIALLY DEFERRED;
