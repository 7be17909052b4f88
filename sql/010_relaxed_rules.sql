-- The rules of event_types can be relaxed, and columns of events may lose their NOT NULL: the views for analysts must not
-- stop for everybody because one row lacks a product, a price or a currency, or has an extreme time. In the rollups an
-- empty text stands for a currency that is not there.

-- Of its own columns and not of the table's row type: that would tie it to a table which its owner replaces by a
-- partitioned one, or whose columns get other types.
drop function analytics.events_of(bigint[]);
create function analytics.events_of(batch_ids bigint[])
returns table (event_type text, event_time timestamptz, user_id text, session_id text, device text, country text, product_id text,
               product_name text, price numeric, quantity bigint, currency text, search_term text)
language sql stable
as $$
  select event_type::text, event_time::timestamptz, user_id::text, session_id::text, device::text, country::text, product_id::text,
         product_name::text, price::numeric, quantity::bigint, currency::text, search_term::text
  from public.events
  where batch_id between (select min(id) from unnest(batch_ids) as id) and (select max(id) from unnest(batch_ids) as id)
    and (batch_id in (select unnest(batch_ids))) is true
$$;

create or replace function analytics.type_figures(batch_ids bigint[]) returns setof analytics.type_rollup
language sql stable
as $$
  select (event_time at time zone 'UTC')::date, event_type, count(*)
  from analytics.events_of(batch_ids)
  where event_time is not null and event_type is not null
  group by 1, 2
$$;

create or replace function analytics.revenue_figures(batch_ids bigint[]) returns setof analytics.revenue_rollup
language sql stable
as $$
  select date_trunc('minute', event_time, 'UTC'), coalesce(currency, ''),
         count(*) filter (where event_type = 'purchase'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0)::bigint,
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0),
         coalesce(sum(price * quantity) filter (where event_type = 'refund'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('purchase', 'refund') and event_time is not null
  group by 1, 2
$$;

create or replace function analytics.product_figures(batch_ids bigint[]) returns setof analytics.product_rollup
language sql stable
as $$
  select left(product_id, 500), coalesce(currency, ''),
         (array_agg(product_name order by event_time desc, product_name desc) filter (where product_name is not null))[1],
         max(event_time) filter (where product_name is not null),
         count(*) filter (where event_type = 'view_item'),
         count(*) filter (where event_type = 'add_to_cart'),
         coalesce(sum(quantity) filter (where event_type = 'purchase'), 0)::bigint,
         coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0)
  from analytics.events_of(batch_ids)
  where event_type in ('view_item', 'add_to_cart', 'purchase') and product_id is not null
  group by 1, 2
$$;

create or replace function analytics.search_figures(batch_ids bigint[]) returns setof analytics.search_rollup
language sql stable
as $$
  select left(lower(btrim(search_term)), 500), count(*)
  from analytics.events_of(batch_ids)
  where event_type = 'search' and search_term is not null
  group by 1
$$;

alter table analytics.session_rollup alter column user_id drop not null;

create or replace function analytics.session_figures(batch_ids bigint[]) returns setof analytics.session_rollup
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
  where session_id is not null and event_time is not null
  group by 1
$$;

create or replace view analytics.revenue_by_minute as
select minute, nullif(currency, '') as currency, sum(purchase_lines)::bigint as purchase_lines, sum(units)::bigint as units,
       sum(revenue) as revenue, sum(refunds) as refunds, sum(revenue) - sum(refunds) as net_revenue
from (
  select * from analytics.revenue_rollup
  union all
  select * from analytics.revenue_figures((select analytics.pending_batch_ids()))
) as part
group by minute, part.currency
order by minute, currency;

create or replace view analytics.top_products as
select product_id, nullif(currency, '') as currency,
       (array_agg(product_name order by named_at desc nulls last, product_name desc))[1] as product_name,
       sum(views)::bigint as views, sum(cart_additions)::bigint as cart_additions, sum(units_sold)::bigint as units_sold, sum(revenue) as revenue
from (
  select * from analytics.product_rollup
  union all
  select * from analytics.product_figures((select analytics.pending_batch_ids()))
) as part
group by product_id, part.currency
order by revenue desc, views desc, product_id;

-- An interval holds some 292,000 years, timestamptz 299,000.
create or replace view analytics.sessions as
select session_id, user_id, device, country, started_at, ended_at,
       case when isfinite(started_at) and isfinite(ended_at)
              and (ended_at < timestamptz '280000-01-01 00:00:00+00' or started_at > timestamptz '2000-01-01 00:00:00+00')
         then ended_at - started_at end as duration,
       events, page_views, item_views, cart_additions, checkouts, purchase_lines,
       page_views = 1 and item_views = 0 and cart_additions = 0 as is_bounce, purchase_lines > 0 as is_conversion
from (
  select * from analytics.session_rollup
  where session_id not in (select session_id from analytics.continued_sessions())
  union all
  select * from analytics.pending_sessions()
) as session;
comment on column analytics.sessions.duration is 'From the first event to the last; null where an interval can''t hold it.';
