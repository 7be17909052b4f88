const of = (type: string): string => `count(*) filter (where event_type = '${type}')`;

const SESSIONS = `
  select session_id, min(user_id) as user_id, min(device) as device, min(country) as country, min(event_time) as started_at, max(event_time) as ended_at,
         case when max(event_time) < '280000-01-01' then max(event_time) - min(event_time) end as duration, count(*) as events, ${of('page_view')} as page_views, ${of('view_item')} as item_views,
         ${of('add_to_cart')} as cart_additions, ${of('begin_checkout')} as checkouts, ${of('purchase')} as purchase_lines,
         ${of('add_shipping_info')} as shipping_infos, ${of('add_payment_info')} as payment_infos
  from events where session_id is not null group by session_id`;

const revenueBy = (unit: string, name: string): string => `
  select * from (
    select ${unit} as ${name}, currency, ${of('purchase')} as purchase_lines,
           coalesce(sum(quantity) filter (where event_type = 'purchase'), 0) as units,
           coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0) as revenue,
           coalesce(sum(price * quantity) filter (where event_type = 'refund'), 0) as refunds,
           coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0) - coalesce(sum(price * quantity) filter (where event_type = 'refund'), 0) as net_revenue
    from events where event_type in ('purchase', 'refund') group by 1, 2
  ) as revenue`;

const TAKEN = [
  'true',
  'item_views > 0',
  'cart_additions > 0',
  'checkouts > 0',
  'shipping_infos > 0',
  'payment_infos > 0',
  'purchase_lines > 0',
];
const STEPS = [
  'session',
  'view_item',
  'add_to_cart',
  'begin_checkout',
  'add_shipping_info',
  'add_payment_info',
  'purchase',
];

/** What each view must say, computed the slow way from all events. */
export const NAIVE = {
  events_by_type:
    'select * from (select event_type, count(*) as events, round(count(*)::numeric / sum(count(*)) over (), 4) as share from events group by event_type) as figures',
  revenue_by_minute: revenueBy("date_trunc('minute', event_time, 'UTC')", 'minute'),
  revenue_by_day: revenueBy("(event_time at time zone 'UTC')::date", 'day'),
  top_products: `
    select * from (
      select product_id, currency, (array_agg(product_name order by event_time desc, product_name desc) filter (where product_name is not null))[1] as product_name,
             ${of('view_item')} as views, ${of('add_to_cart')} as cart_additions,
             coalesce(sum(quantity) filter (where event_type = 'purchase'), 0) as units_sold, coalesce(sum(price * quantity) filter (where event_type = 'purchase'), 0) as revenue
      from events where event_type in ('view_item', 'add_to_cart', 'purchase') and product_id is not null group by 1, 2
    ) as figures`,
  search_terms:
    "select * from (select lower(btrim(search_term)) as term, count(*) as searches from events where event_type = 'search' and search_term is not null group by 1) as figures",
  sessions: `
    select session_id, user_id, device, country, started_at, ended_at, duration, events, page_views, item_views, cart_additions, checkouts, purchase_lines,
           page_views = 1 and item_views = 0 and cart_additions = 0 as is_bounce, purchase_lines > 0 as is_conversion
    from (${SESSIONS}) as session`,
  funnel: `
    with session as (${SESSIONS}), step as (
      ${STEPS.map((name, step) => `select ${step} as step, '${name}' as name, count(*) filter (where ${TAKEN.slice(0, step + 1).join(' and ')}) as sessions from session`).join(' union all ')}
    )
    select * from (
      select step, name, sessions, round(sessions::numeric / nullif(lag(sessions) over (order by step), 0), 4) as step_conversion,
             round(sessions::numeric / nullif(max(sessions) over (), 0), 4) as total_conversion
      from step
    ) as figures`,
  abandonment: `
    select day, carts, carts_abandoned, round(carts_abandoned::numeric / nullif(carts, 0), 4) as cart_abandonment,
           checkouts, checkouts_abandoned, round(checkouts_abandoned::numeric / nullif(checkouts, 0), 4) as checkout_abandonment
    from (
      select (started_at at time zone 'UTC')::date as day, count(*) filter (where cart_additions > 0) as carts,
             count(*) filter (where cart_additions > 0 and purchase_lines = 0) as carts_abandoned,
             count(*) filter (where checkouts > 0) as checkouts, count(*) filter (where checkouts > 0 and purchase_lines = 0) as checkouts_abandoned
      from (${SESSIONS}) as session
      where cart_additions > 0 or checkouts > 0
      group by 1
    ) as figures`,
} as const;

export const VIEWS = Object.keys(NAIVE) as (keyof typeof NAIVE)[];
