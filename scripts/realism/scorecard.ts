/** One published figure and how to compute it. */
export interface Statistic {
  /** Row of the scorecard in docs; a row passes when all its statistics do. */
  readonly row: number;
  readonly name: string;
  readonly target: number;
  /** Inclusive. */
  readonly pass: readonly [low: number, high: number];
  /** A band inside `pass` that does not count as passed. */
  readonly except?: readonly [low: number, high: number];
  readonly source: string;
  /** A scalar over {@link PREPARE}'s tables. */
  readonly sql: string;
}

/** Tables that the statistics share. Reads `events`, wherever the search path finds it. */
export const PREPARE = `
create temp table session as
select session_id, min(user_id) as user_id, min(device) as device,
       min(event_time) as started, extract(epoch from max(event_time) - min(event_time)) as seconds,
       count(*) filter (where event_type = 'page_view') as page_views,
       bool_or(event_type = 'view_item') as viewed,
       bool_or(event_type = 'add_to_cart') as added,
       bool_or(event_type = 'begin_checkout') as checked_out,
       bool_or(event_type = 'purchase') as bought,
       count(*) filter (where event_type = 'page_view') = 1 and count(product_id) = 0 as bounced
from events group by session_id;

create temp table visit as
select *, row_number() over (partition by user_id order by started, session_id) > 1 as came_back from session;

create temp table session_gap as
select seconds from (
  select extract(epoch from event_time - lag(event_time) over (partition by session_id order by event_time, event_id)) as seconds from events
) as gap where seconds > 0;

create temp table user_gap_histogram as
select floor(ln(seconds) * 4) / 4 + 0.125 as ln_seconds, count(*) as gaps from (
  select extract(epoch from event_time - lag(event_time) over (partition by user_id order by event_time, event_id)) as seconds from events
) as gap where seconds > 0 group by 1;

create temp table user_activity as
select events, row_number() over (order by events desc) as rank, count(*) over () as users from (
  select count(*) as events from events group by user_id having count(*) >= 2
) as active;

create temp table item_popularity as
select views, row_number() over (order by views desc) as rank, count(*) over () as items, sum(views) over () as all_views from (
  select count(*) as views from events where event_type = 'view_item' group by product_id
) as viewed where views >= 3;

create temp table zone (country text, name text);
insert into zone values ('GB', 'Europe/London'), ('IE', 'Europe/Dublin'), ('GR', 'Europe/Athens'), ('DE', 'Europe/Berlin'), ('AT', 'Europe/Vienna'),
  ('CH', 'Europe/Zurich'), ('FR', 'Europe/Paris'), ('NL', 'Europe/Amsterdam'), ('ES', 'Europe/Madrid'), ('PL', 'Europe/Warsaw');
create temp table local_view as
select event_time at time zone coalesce(zone.name, 'UTC') as at from events left join zone using (country) where event_type = 'view_item';
create temp table view_hour as
select extract(hour from at) as hour, count(*) as views from local_view group by 1;
create temp table view_day as
select extract(isodow from at) >= 6 as weekend, at::date as day, count(*) as views from local_view group by 2, 1;
-- The first and the last day are not whole.
delete from view_day using (select min(day) as first, max(day) as last from view_day) as bound where day in (first, last);
`;

const share = (condition: string, from = 'visit', where = 'true'): string =>
  `select avg((${condition})::int) from ${from} where ${where}`;
const rows = (type: string): string => `count(*) filter (where event_type = '${type}')`;

export const SCORECARD: readonly Statistic[] = [
  {
    row: 1,
    name: 'view_item share of product rows',
    target: 0.92,
    pass: [0.89, 0.97],
    source: 'OTTO .899, Taobao .922, REES46 .961, Retailrocket .967',
    sql: `select ${rows('view_item')}::float / (${rows('view_item')} + ${rows('add_to_cart')} + ${rows('purchase')}) from events`,
  },
  {
    row: 2,
    name: 'cart rows / view rows',
    target: 0.065,
    pass: [0.023, 0.09],
    source: 'Retailrocket, OTTO, Taobao',
    sql: `select ${rows('add_to_cart')}::float / nullif(${rows('view_item')}, 0) from events`,
  },
  {
    row: 2,
    name: 'purchase rows / cart rows',
    target: 0.33,
    pass: [0.29, 0.38],
    source: 'Retailrocket, OTTO, Taobao',
    sql: `select ${rows('purchase')}::float / nullif(${rows('add_to_cart')}, 0) from events`,
  },
  {
    row: 3,
    name: 'sessions with a view_item',
    target: 0.45,
    pass: [0.33, 0.6],
    source: 'Coveo SIGIR 2021',
    sql: share('viewed'),
  },
  {
    row: 4,
    name: 'sessions with an add_to_cart',
    target: 0.08,
    pass: [0.06, 0.135],
    source: 'Dynamic Yield, Monetate, eMarketer',
    sql: share('added'),
  },
  {
    row: 5,
    name: 'cart abandonment',
    target: 0.71,
    pass: [0.66, 0.79],
    source: 'Baymard .702',
    sql: share('not bought', 'visit', 'added'),
  },
  {
    row: 6,
    name: 'checkout completion',
    target: 0.5,
    pass: [0.43, 0.62],
    source: 'Littledata',
    sql: share('bought', 'visit', 'checked_out'),
  },
  {
    row: 7,
    name: 'session conversion',
    target: 0.023,
    pass: [0.018, 0.035],
    source: 'Contentsquare',
    sql: share('bought'),
  },
  {
    row: 7,
    name: 'conversion desktop / mobile',
    target: 1.7,
    pass: [1.1, 2.3],
    source: 'Contentsquare, eMarketer',
    sql: `select (${share('bought', 'visit', "device = 'desktop'")}) / nullif((${share('bought', 'visit', "device = 'mobile'")}), 0)`,
  },
  { row: 8, name: 'bounce', target: 0.45, pass: [0.3, 0.52], source: 'Contentsquare, Oberlo', sql: share('bounced') },
  {
    row: 8,
    name: 'bounce mobile − desktop',
    target: 0.06,
    pass: [0, 0.12],
    source: 'Contentsquare',
    sql: `select (${share('bounced', 'visit', "device = 'mobile'")}) - (${share('bounced', 'visit', "device = 'desktop'")})`,
  },
  {
    row: 9,
    name: 'page views a session',
    target: 5,
    pass: [4, 8],
    source: 'Contentsquare',
    sql: 'select avg(page_views) from visit',
  },
  {
    row: 9,
    name: 'page views of buying sessions / all',
    target: 4.5,
    pass: [3, 6],
    source: 'Adobe',
    sql: 'select avg(page_views) filter (where bought) / avg(page_views) from visit',
  },
  {
    row: 10,
    name: 'mean non-bounce session, s',
    target: 257,
    pass: [180, 480],
    source: 'Contentsquare',
    sql: 'select avg(seconds) from visit where not bounced',
  },
  {
    row: 10,
    name: 'sd of ln(gap in session)',
    target: 1.2,
    pass: [0.9, 1.6],
    source: 'Halfaker 2015',
    sql: 'select stddev(ln(seconds)) from session_gap',
  },
  {
    row: 10,
    name: 'longest gap in a session, s',
    target: 1500,
    pass: [0, 1800],
    source: 'Halfaker 2015',
    sql: 'select max(seconds) from session_gap',
  },
  {
    row: 10,
    name: 'valley of the log-gap histogram, min',
    target: 60,
    pass: [20, 120],
    source: 'Halfaker 2015',
    sql: `with bin as (select ln_seconds, coalesce(gaps, 0) as gaps from generate_series(5.125, 10.875, 0.25) as ln_seconds left join user_gap_histogram using (ln_seconds)) select exp(avg(ln_seconds)) / 60 from bin where gaps = (select min(gaps) from bin)`,
  },
  ...(['mobile', 'desktop', 'tablet'] as const).map((device, index): Statistic => ({
    row: 11,
    name: `${device} sessions`,
    target: [0.66, 0.31, 0.03][index]!,
    pass: (
      [
        [0.6, 0.78],
        [0.2, 0.37],
        [0.01, 0.06],
      ] as const
    )[index]!,
    source: 'Contentsquare, Statista',
    sql: share(`device = '${device}'`),
  })),
  { row: 12, name: 'returning share', target: 0.49, pass: [0.4, 0.6], source: 'Monetate', sql: share('came_back') },
  {
    row: 12,
    name: 'conversion returning / new',
    target: 1.8,
    pass: [1.4, 2.2],
    source: 'Contentsquare',
    sql: `select (${share('bought', 'visit', 'came_back')}) / nullif((${share('bought', 'visit', 'not came_back')}), 0)`,
  },
  {
    row: 13,
    name: 'top-10 % users, share of events',
    target: 0.52,
    pass: [0.42, 0.62],
    source: 'OTTO quantiles',
    sql: 'select sum(events) filter (where rank <= 0.1 * users) / sum(events) from user_activity',
  },
  {
    row: 13,
    name: 'events a user, mean / median',
    target: 2.8,
    pass: [2, 3.6],
    source: 'OTTO quantiles',
    sql: 'select avg(events)::float / percentile_cont(0.5) within group (order by events) from user_activity',
  },
  {
    row: 14,
    name: 'top-10 % items, share of views',
    target: 0.75,
    pass: [0.62, 0.85],
    source: 'OTTO quantiles',
    sql: 'select sum(views) filter (where rank <= 0.1 * items) / sum(views) from item_popularity',
  },
  {
    row: 14,
    name: 'bottom half of items, share',
    target: 0.04,
    pass: [0.02, 0.1],
    source: 'OTTO quantiles',
    sql: 'select sum(views) filter (where rank > 0.5 * items) / sum(views) from item_popularity',
  },
  {
    row: 14,
    name: 'top item, share',
    target: 0.01,
    pass: [0, 0.04],
    source: 'OTTO quantiles',
    sql: 'select max(views) / max(all_views) from item_popularity',
  },
  {
    row: 15,
    name: 'busiest hour, local',
    target: 21,
    pass: [19, 22],
    source: 'Compete, Taobao',
    sql: 'select hour from view_hour order by views desc limit 1',
  },
  {
    row: 15,
    name: 'quietest hour, local',
    target: 4,
    pass: [2, 5],
    source: 'Compete, Taobao',
    sql: 'select hour from view_hour order by views limit 1',
  },
  {
    row: 15,
    name: 'busiest hour / mean',
    target: 1.6,
    pass: [1.3, 2],
    source: 'Taobao',
    sql: 'select max(views) / avg(views) from view_hour',
  },
  {
    row: 15,
    name: 'weekend day / weekday',
    target: 1.05,
    pass: [0.8, 1.3],
    except: [0.98, 1.02],
    source: 'Hitwise',
    sql: 'select avg(views) filter (where weekend) / avg(views) filter (where not weekend) from view_day',
  },
  {
    row: 16,
    name: 'lines an order',
    target: 2.3,
    pass: [1.7, 3],
    source: 'YooChoose',
    sql: "select count(*)::float / nullif(count(distinct order_id), 0) from events where event_type = 'purchase'",
  },
  {
    row: 16,
    name: 'sd of ln(price) of purchases',
    target: 1.1,
    pass: [0.8, 1.35],
    source: 'REES46',
    sql: "select stddev(ln(price)) from events where event_type = 'purchase' and price > 0",
  },
  {
    row: 16,
    name: 'price of purchases, mean / median',
    target: 1.75,
    pass: [1.3, 2.3],
    source: 'REES46',
    sql: "select avg(price) / (percentile_cont(0.5) within group (order by price))::numeric from events where event_type = 'purchase'",
  },
];
