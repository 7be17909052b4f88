-- Figures of the shop for analysts and the dashboard, each in well under a second over ten million events.
--
-- What makes them fast: nobody reads all events for an answer. Rollups hold the sums of all batches up to some point, and
-- the views add the few batches that are not in them yet, which the block ranges index of public.events finds. So a view
-- is always up to date with the committed batches, and the more seldom analytics.refresh() is called, the slower it gets.
--
-- What keeps them exact: a batch is in `pending_batches` from its own commit on, and leaves it in the transaction that adds
-- it to the rollups. In which order batches commit does not matter. The loader pays one small insert a batch (not a row).
--
-- Rows that no batch loaded (batch_id null: inserted by hand) are left out. Days are UTC.

create schema analytics;

create table analytics.pending_batches (
  batch_id bigint primary key,
  rows     bigint not null
);

comment on table analytics.pending_batches is 'Committed batches that are not in the rollups yet.';

create function analytics.note_batch() returns trigger
language plpgsql
security definer
set search_path = pg_catalog
as $$
begin
  insert into analytics.pending_batches (batch_id, rows) values (new.batch_id, new.rows_inserted);
  return null;
end
$$;

create trigger batches_are_rolled_up
  after insert on ecompipe.batches
  for each row when (new.rows_inserted > 0) execute function analytics.note_batch();

insert into analytics.pending_batches (batch_id, rows)
select batch_id, rows_inserted from ecompipe.batches where rows_inserted > 0;

create function analytics.pending_batch_ids() returns bigint[]
language sql stable
return (select coalesce(array_agg(batch_id), '{}') from analytics.pending_batches);

-- The rows of some batches. The block ranges are asked once for all batches, not for each, and rows of others between them
-- are told by a hash (`is true` keeps the planner from joining instead).
create function analytics.events_of(batch_ids bigint[]) returns setof public.events
language sql stable
as $$
  select * from public.events
  where batch_id between (select min(id) from unnest(batch_ids) as id) and (select max(id) from unnest(batch_ids) as id)
    and (batch_id in (select unnest(batch_ids))) is true
$$;

-- The rollups, and for each a function that computes its rows from single batches. Keys are cut at 500 characters, as an
-- index can't hold the longest text that events can.

create table analytics.type_rollup (
  day        date   not null,
  event_type text   not null,
  events     bigint not null,
  primary key (day, event_type)
);

create function analytics.type_figures(batch_ids bigint[]) returns setof analytics.type_rollup
language sql stable
as $$
  select (event_time at time zone 'UTC')::date, event_type, count(*)
  from analytics.events_of(batch_ids)
  group by 1, 2
$$;

create table analytics.revenue_rollup (
  minute         timestamptz not null,
  currency       text        not null,
  purchase_lines bigint      not null,
  units          bigint      not null,
  revenue        numeric     not null,
  refunds        numeric     not null,
  primary key (minute, currency)
);

create function analytics.revenue_figures(batch_ids bigint[]) returns setof analytics.revenue_rollup
language sql stable
as $$
  select date_trunc('minute', event_time, 'UTC'), currency,
         count(*) filter (where event_type = 'purchase'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'refund'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('purchase', 'refund')
  group by 1, 2
$$;

create table analytics.product_rollup (
  product_id     text        not null,
  currency       text        not null,
  product_name   text,                  -- the latest one
  named_at       timestamptz,
  views          bigint      not null,
  cart_additions bigint      not null,
  units_sold     bigint      not null,
  revenue        numeric     not null,
  primary key (product_id, currency)
);

create function analytics.product_figures(batch_ids bigint[]) returns setof analytics.product_rollup
language sql stable
as $$
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

create table analytics.search_rollup (
  term     text   primary key,
  searches bigint not null
);

create function analytics.search_figures(batch_ids bigint[]) returns setof analytics.search_rollup
language sql stable
as $$
  select left(lower(btrim(search_term)), 500), count(*)
  from analytics.events_of(batch_ids)
  where event_type = 'search'
  group by 1
$$;

-- Sessions go on over many batches, so they are kept one by one: each new batch only widens them.
create table analytics.session_rollup (
  session_id      text        primary key,
  user_id         text        not null,
  device          text,
  country         text,
  started_at      timestamptz not null,
  ended_at        timestamptz not null,
  events          bigint      not null,
  page_views      bigint      not null,
  item_views      bigint      not null,
  cart_additions  bigint      not null,
  checkouts       bigint      not null,
  shipping_infos  bigint      not null,
  payment_infos   bigint      not null,
  purchase_lines  bigint      not null
) with (fillfactor = 80);

create function analytics.session_figures(batch_ids bigint[]) returns setof analytics.session_rollup
language sql stable
as $$
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

-- How far a session came: 0 it began, 1 saw an item, 2 put one into the cart, 3 began the checkout, 4 gave an address, 5 a
-- means of payment, 6 bought. A step counts only when the session took all those before it.
create function analytics.funnel_step(item_views bigint, cart_additions bigint, checkouts bigint, shipping_infos bigint, payment_infos bigint, purchase_lines bigint) returns integer
language sql immutable
return case
  when item_views = 0 then 0
  when cart_additions = 0 then 1
  when checkouts = 0 then 2
  when shipping_infos = 0 then 3
  when payment_infos = 0 then 4
  when purchase_lines = 0 then 5
  else 6
end;

-- Sessions counted by what funnel and abandonment ask, so that neither reads them one by one.
create table analytics.funnel_rollup (
  day          date    not null,
  step         integer not null,
  has_cart     boolean not null,
  has_checkout boolean not null,
  has_purchase boolean not null,
  sessions     bigint  not null,
  primary key (day, step, has_cart, has_checkout, has_purchase)
);

-- Adds pending batches to the rollups, up to about half a million rows, and says how many batches those were: call it until
-- it says 0. Each batch is added once, whoever calls it, how often, and however many at once: they wait for each other.
create function analytics.refresh() returns integer
language plpgsql
security definer
set search_path = pg_catalog
-- The planner can't know how few rows a batch has among all.
set enable_seqscan = off
as $$
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

-- For when rows of batches were changed or taken out by hand: forgets everything; the next refreshes add it all again.
create function analytics.rebuild() returns void
language plpgsql
security definer
set search_path = pg_catalog
as $$
begin
  perform pg_advisory_xact_lock(hashtext('analytics.refresh'));
  truncate analytics.type_rollup, analytics.revenue_rollup, analytics.product_rollup, analytics.search_rollup, analytics.session_rollup, analytics.funnel_rollup;
  insert into analytics.pending_batches (batch_id, rows)
  select batch_id, rows_inserted from ecompipe.batches where rows_inserted > 0
  on conflict do nothing;
end
$$;

-- The views: the rollup, and what is pending. (A bare call of pending_batch_ids() as an argument would be inlined, and then
-- run again for every row.)

create view analytics.freshness as
select count(*) as pending_batches, coalesce(sum(rows), 0)::bigint as pending_rows from analytics.pending_batches;

comment on view analytics.freshness is 'What the views must still compute from events: much of it makes them slow; call analytics.refresh().';

create view analytics.events_by_type as
select event_type, sum(events)::bigint as events, round(sum(events) / sum(sum(events)) over (), 4) as share
from (
  select * from analytics.type_rollup
  union all
  select * from analytics.type_figures((select analytics.pending_batch_ids()))
) as part
group by event_type
order by events desc, event_type;

create view analytics.revenue_by_minute as
select minute, currency, sum(purchase_lines)::bigint as purchase_lines, sum(units)::bigint as units,
       sum(revenue) as revenue, sum(refunds) as refunds, sum(revenue) - sum(refunds) as net_revenue
from (
  select * from analytics.revenue_rollup
  union all
  select * from analytics.revenue_figures((select analytics.pending_batch_ids()))
) as part
group by minute, currency
order by minute, currency;

create view analytics.revenue_by_day as
select (minute at time zone 'UTC')::date as day, currency, sum(purchase_lines)::bigint as purchase_lines, sum(units)::bigint as units,
       sum(revenue) as revenue, sum(refunds) as refunds, sum(net_revenue) as net_revenue
from analytics.revenue_by_minute
group by 1, 2
order by 1, 2;

create view analytics.top_products as
select product_id, currency, (array_agg(product_name order by named_at desc nulls last, product_name desc))[1] as product_name,
       sum(views)::bigint as views, sum(cart_additions)::bigint as cart_additions, sum(units_sold)::bigint as units_sold, sum(revenue) as revenue
from (
  select * from analytics.product_rollup
  union all
  select * from analytics.product_figures((select analytics.pending_batch_ids()))
) as part
group by product_id, currency
order by revenue desc, views desc, product_id;

create view analytics.search_terms as
select term, sum(searches)::bigint as searches
from (
  select * from analytics.search_rollup
  union all
  select * from analytics.search_figures((select analytics.pending_batch_ids()))
) as part
group by term
order by searches desc, term;

-- Sessions that pending batches begin or go on with, as they will be in the rollup; and those as they are there now.
create function analytics.pending_sessions() returns setof analytics.session_rollup
language sql stable
as $$
  select f.session_id, least(s.user_id, f.user_id), least(s.device, f.device), least(s.country, f.country),
         least(s.started_at, f.started_at), greatest(s.ended_at, f.ended_at),
         coalesce(s.events, 0) + f.events, coalesce(s.page_views, 0) + f.page_views, coalesce(s.item_views, 0) + f.item_views,
         coalesce(s.cart_additions, 0) + f.cart_additions, coalesce(s.checkouts, 0) + f.checkouts, coalesce(s.shipping_infos, 0) + f.shipping_infos,
         coalesce(s.payment_infos, 0) + f.payment_infos, coalesce(s.purchase_lines, 0) + f.purchase_lines
  from analytics.session_figures((select analytics.pending_batch_ids())) as f
  left join analytics.session_rollup s using (session_id)
$$;

create function analytics.continued_sessions() returns setof analytics.session_rollup
language sql stable
as $$
  select s.*
  from analytics.session_figures((select analytics.pending_batch_ids())) as f
  join analytics.session_rollup s using (session_id)
$$;

create view analytics.sessions as
select session_id, user_id, device, country, started_at, ended_at, ended_at - started_at as duration, events, page_views, item_views,
       cart_additions, checkouts, purchase_lines,
       page_views = 1 and item_views = 0 and cart_additions = 0 as is_bounce, purchase_lines > 0 as is_conversion
from (
  select * from analytics.session_rollup
  where session_id not in (select session_id from analytics.continued_sessions())
  union all
  select * from analytics.pending_sessions()
) as session;

create view analytics.session_places as
select * from analytics.funnel_rollup
union all
select (started_at at time zone 'UTC')::date as day,
         analytics.funnel_step(item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines) as step,
         cart_additions > 0 as has_cart, checkouts > 0 as has_checkout, purchase_lines > 0 as has_purchase, 1
from analytics.pending_sessions()
union all
select (started_at at time zone 'UTC')::date as day,
         analytics.funnel_step(item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines) as step,
         cart_additions > 0 as has_cart, checkouts > 0 as has_checkout, purchase_lines > 0 as has_purchase, -1
from analytics.continued_sessions();

create view analytics.funnel as
with reached as (
  select s.step, s.name, coalesce(sum(p.sessions), 0)::bigint as sessions
  from (values (0, 'session'), (1, 'view_item'), (2, 'add_to_cart'), (3, 'begin_checkout'), (4, 'add_shipping_info'), (5, 'add_payment_info'), (6, 'purchase')) as s (step, name)
  left join (select step, sum(sessions) as sessions from analytics.session_places group by step) as p on p.step >= s.step
  group by s.step, s.name
)
select step, name, sessions,
       round(sessions::numeric / nullif(lag(sessions) over (order by step), 0), 4) as step_conversion,
       round(sessions::numeric / nullif(first_value(sessions) over (order by step), 0), 4) as total_conversion
from reached
order by step;

create view analytics.abandonment as
select day, carts, carts_abandoned, round(carts_abandoned::numeric / nullif(carts, 0), 4) as cart_abandonment,
       checkouts, checkouts_abandoned, round(checkouts_abandoned::numeric / nullif(checkouts, 0), 4) as checkout_abandonment
from (
  select day,
         coalesce(sum(sessions) filter (where has_cart), 0)::bigint as carts,
         coalesce(sum(sessions) filter (where has_cart and not has_purchase), 0)::bigint as carts_abandoned,
         coalesce(sum(sessions) filter (where has_checkout), 0)::bigint as checkouts,
         coalesce(sum(sessions) filter (where has_checkout and not has_purchase), 0)::bigint as checkouts_abandoned
  from analytics.session_places
  group by day
) as places
where carts > 0 or checkouts > 0
order by day;

comment on view analytics.events_by_type is 'How often each type of event occurred.';
comment on view analytics.revenue_by_minute is 'Purchases and refunds by minute and currency.';
comment on view analytics.revenue_by_day is 'Purchases and refunds by UTC day and currency.';
comment on view analytics.top_products is 'Products by revenue: views, additions to carts, units and revenue.';
comment on view analytics.search_terms is 'What was searched for, in lower case, by how often.';
comment on view analytics.sessions is 'One row a session.';
comment on view analytics.funnel is 'How many sessions came how far: a step counts when all those before it were taken.';
comment on view analytics.abandonment is 'Sessions with a cart or a checkout and without a purchase, by UTC day on which they began.';
