import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { bucketStarts, type EventBounds, type Window } from './ranges.js';
import { soleRow } from '../../platform/db/soleRow.js';
import {
  arrayOf,
  boolean,
  float,
  integer,
  jsonObject,
  nullable,
  oneOf,
  type Shape,
  text,
} from '../../platform/db/decodeRows.js';

/** What was sold in a window, in the currency that most of it was sold in. */
export interface SalesFigures {
  readonly currency: string | null;
  readonly now: SalesTotals;
  /** Of the period before; null when the events do not cover it. */
  readonly before: SalesTotals | null;
  readonly series: SalesSeries;
  /** By device, country and traffic source; null when there were too many events to count them in time. */
  readonly parts: Readonly<Record<Dimension, readonly SalesPart[]>> | null;
  readonly products: readonly ProductSales[];
  readonly searches: readonly { readonly term: string; readonly searches: number }[];
  /** `events`: counted for the window. `rollups`: too many events for that; `products` and `searches` are of all time then. */
  readonly source: 'events' | 'rollups';
}

export interface SalesTotals {
  /** Before refunds. */
  readonly revenue: number;
  readonly refunds: number;
  /** Orders, not their lines; null when only the rollups could be asked, which hold lines. */
  readonly orders: number | null;
}

/** `times` are seconds since 1970, without gaps, from the first event of the window on. */
export interface SalesSeries {
  readonly times: readonly number[];
  readonly revenue: readonly number[];
  readonly refunds: readonly number[];
  readonly orders: readonly (number | null)[];
}

export type Dimension = 'device' | 'country' | 'source';

export interface SalesPart {
  readonly name: string | null;
  /** All that are not listed, together. */
  readonly isRest: boolean;
  readonly revenue: number;
  readonly orders: number;
  readonly visits: number;
}

export interface ProductSales {
  readonly id: string;
  readonly name: string | null;
  readonly units: number;
  readonly revenue: number;
}

const PRODUCT_SALES: Shape<ProductSales> = { id: text, name: nullable(text), units: integer, revenue: float };

const TOP = 10;
const TOP_PARTS = 5;
/** Some ten million events on an idle machine. */
export const SCAN_TIMEOUT_MS = 6000;

interface Point {
  readonly time: number;
  readonly revenue: number;
  readonly refunds: number;
  readonly orders: number | null;
}

interface Scan {
  readonly currency: string | null;
  readonly totals: readonly (SalesTotals & { readonly current: boolean })[];
  readonly points: readonly Point[];
  readonly parts: readonly (SalesPart & { readonly dimension: Dimension })[];
  readonly products: readonly ProductSales[];
  readonly searches: SalesFigures['searches'];
}

const TOTALS: Shape<SalesTotals> = { revenue: float, refunds: float, orders: nullable(integer) };
const POINT: Shape<Point> = { time: integer, ...TOTALS };

const SCAN_ROW: Shape<Scan> = {
  currency: nullable(text),
  totals: arrayOf(jsonObject({ ...TOTALS, current: boolean })),
  points: arrayOf(jsonObject(POINT)),
  parts: arrayOf(
    jsonObject({
      name: nullable(text),
      isRest: boolean,
      revenue: float,
      orders: integer,
      visits: integer,
      dimension: oneOf('device', 'country', 'source'),
    }),
  ),
  products: arrayOf(jsonObject(PRODUCT_SALES)),
  searches: arrayOf(jsonObject({ term: text, searches: integer })),
};

/**
 * Reads the events of the window and of the period before, which the block ranges find, once. A purchase is one row per
 * item: rows with one order_id are one order, and one that has none (relaxed rules) is its session's.
 */
const SCAN_SQL = `
with picked as materialized (
  select event_type, event_time >= to_timestamp($2) as current, event_time, order_id, session_id, device, country, traffic_source,
         product_id, product_name, quantity, price, currency, search_term
  from public.events
  where event_time >= to_timestamp($1) and event_time <= to_timestamp($3)
    and event_type in ('purchase', 'refund', 'session_start', 'search')
), main as materialized (
  select (select currency::text from picked where event_type = 'purchase' group by 1 order by currency::text is null, count(*) desc, 1 limit 1) as currency
), lines as materialized (
  select event_type = 'purchase' as is_sale, current, event_time, coalesce(order_id, session_id)::text collate "C" as order_id,
         device::text, country::text, traffic_source::text, product_id::text collate "C", product_name::text, quantity::bigint as units,
         case when p.currency::text is not distinct from main.currency then price::numeric * quantity::bigint else 0 end as amount
  from picked p, main where event_type in ('purchase', 'refund')
), totals as (
  select current, coalesce(sum(amount) filter (where is_sale), 0) as revenue, coalesce(sum(amount) filter (where not is_sale), 0) as refunds,
         count(distinct order_id) filter (where is_sale) as orders
  from lines group by 1
), points as (
  select floor(extract(epoch from event_time) / $4)::bigint * $4::bigint as time, coalesce(sum(amount) filter (where is_sale), 0) as revenue,
         coalesce(sum(amount) filter (where not is_sale), 0) as refunds, count(distinct order_id) filter (where is_sale) as orders
  from lines where current group by 1
), visits as (
  select device::text, country::text, traffic_source::text, count(*) as visits from picked where current and event_type = 'session_start' group by 1, 2, 3
), parts as (
  select dimension, name, sum(amount) as revenue, count(distinct order_id) as orders, sum(visits) as visits
  from (
    select device, country, traffic_source, order_id, amount, 0 as visits from lines where current and is_sale
    union all
    select device, country, traffic_source, null, 0, visits from visits
  ) as both_kinds, lateral (values ('device', device), ('country', country), ('source', traffic_source)) as d (dimension, name)
  group by 1, 2
), ranked as (
  select *, row_number() over (partition by dimension order by revenue desc, visits desc, name) as place from parts
), listed as (
  select dimension, least(place, ${TOP_PARTS + 1}) as place, place > ${TOP_PARTS} as "isRest", case when place <= ${TOP_PARTS} then name end as name,
         sum(revenue) as revenue, sum(orders) as orders, sum(visits) as visits
  from ranked group by 1, 2, 3, 4
), products as (
  select product_id as id, (array_agg(product_name order by event_time desc) filter (where product_name is not null))[1] as name, coalesce(sum(units), 0) as units, sum(amount) as revenue
  from lines where current and is_sale and product_id is not null group by 1 order by revenue desc, 1 limit ${TOP}
), searches as (
  select left(lower(btrim(search_term::text)), 500) as term, count(*) as searches from picked
  where current and event_type = 'search' and search_term is not null group by 1 order by searches desc, 1 limit ${TOP}
)
select (select currency from main) as currency, (select coalesce(json_agg(t), '[]') from totals t) as totals, (select coalesce(json_agg(t), '[]') from points t) as points,
       (select coalesce(json_agg(t order by place), '[]') from listed t) as parts,
       (select coalesce(json_agg(t), '[]') from products t) as products, (select coalesce(json_agg(t), '[]') from searches t) as searches`;

/** Sales by the events themselves. */
export async function scanSales(ask: QueryFn, window: Window, bounds: EventBounds): Promise<SalesFigures> {
  const scan = soleRow(await ask(SCAN_ROW, SCAN_SQL, boundsOf(window)));
  const totalsOf = (wanted: boolean): SalesTotals => {
    const found = scan.totals.find(({ current }) => current === wanted);
    return { revenue: found?.revenue ?? 0, refunds: found?.refunds ?? 0, orders: found?.orders ?? 0 };
  };
  const partsOf = (wanted: Dimension): SalesPart[] =>
    scan.parts
      .filter(({ dimension }) => dimension === wanted)
      .map(({ name, isRest, revenue, orders, visits }) => ({ name, isRest, revenue, orders, visits }));
  return {
    currency: scan.currency,
    now: totalsOf(true),
    before: window.previousStartMs === null ? null : totalsOf(false),
    series: seriesOf(scan.points, window, bounds, 0),
    parts: { device: partsOf('device'), country: partsOf('country'), source: partsOf('source') },
    products: scan.products,
    searches: scan.searches,
    source: 'events',
  };
}

/** Sales by the rollups, which cost the same over a thousand events and over a hundred million, and know less. */
export async function readSalesFromRollups(ask: QueryFn, window: Window, bounds: EventBounds): Promise<SalesFigures> {
  const rows = await ask(
    { ...POINT, currency: nullable(text), current: boolean },
    `with sold as (
       select * from analytics.revenue_rollup where minute >= to_timestamp($1) and minute <= to_timestamp($3)
     ), main as (
       select currency from sold group by 1 order by currency = '', sum(purchase_lines) desc, 1 limit 1
     )
     select nullif(currency, '') as currency, minute >= to_timestamp($2) as current, floor(extract(epoch from minute) / $4)::bigint * $4::bigint as time,
            sum(revenue)::float8 as revenue, sum(refunds)::float8 as refunds, null as orders
     from sold join main using (currency) group by 1, 2, 3`,
    boundsOf(window),
  );
  const totalsOf = (wanted: boolean): SalesTotals => {
    const those = rows.filter(({ current }) => current === wanted);
    const sum = (key: 'revenue' | 'refunds'): number => those.reduce((total, row) => total + row[key], 0);
    return { revenue: sum('revenue'), refunds: sum('refunds'), orders: null };
  };
  const currency = rows[0]?.currency ?? null;
  return {
    currency,
    now: totalsOf(true),
    before: window.previousStartMs === null ? null : totalsOf(false),
    series: seriesOf(
      rows.filter(({ current }) => current),
      window,
      bounds,
      null,
    ),
    parts: null,
    products: await ask(
      PRODUCT_SALES,
      `select product_id as id, product_name as name, units_sold as units, revenue::float8 as revenue
       from analytics.product_rollup where currency = $1 order by product_rollup.revenue desc, product_id limit ${TOP}`,
      [currency ?? ''],
    ),
    searches: await ask(
      { term: text, searches: integer },
      `select term, searches from analytics.search_rollup order by searches desc, term limit ${TOP}`,
    ),
    source: 'rollups',
  };
}

function boundsOf({ startMs, endMs, previousStartMs, bucketSeconds }: Window): number[] {
  return [(previousStartMs ?? startMs) / 1000, startMs / 1000, endMs / 1000, bucketSeconds];
}

function seriesOf(
  points: readonly Point[],
  { startMs, endMs, bucketSeconds }: Window,
  { firstMs }: EventBounds,
  noOrders: 0 | null,
): SalesSeries {
  const byTime = new Map(points.map((point) => [point.time, point]));
  const times = bucketStarts(Math.max(startMs, firstMs) / 1000, endMs / 1000, bucketSeconds);
  return {
    times,
    revenue: times.map((time) => byTime.get(time)?.revenue ?? 0),
    refunds: times.map((time) => byTime.get(time)?.refunds ?? 0),
    orders: times.map((time) => byTime.get(time)?.orders ?? noOrders),
  };
}
