import type { QueryFn } from '../../platform/db/readOnlyClient.js';

/** Figures of the shop, from the rollups alone: they cost the same over a thousand events and over a hundred million. */
export interface ShopFigures {
  /** Committed batches that the figures do not hold yet, and for how long the oldest of them has waited. */
  readonly behind: { readonly batches: number; readonly rows: number; readonly ms: number };
  readonly events: number;
  readonly types: readonly { readonly type: string; readonly events: number }[];
  readonly revenue: RevenueFigures;
  readonly funnel: readonly FunnelStep[];
  readonly products: readonly {
    readonly id: string;
    readonly name: string | null;
    readonly currency: string | null;
    readonly views: number;
    readonly units: number;
    readonly revenue: number;
  }[];
  readonly searches: readonly { readonly term: string; readonly searches: number }[];
}

/** Revenue over the time of the events, in the currency that is used most. */
export interface RevenueFigures {
  readonly bucket: 'minute' | 'hour' | 'day';
  readonly currency: string | null;
  /** Seconds since 1970, without gaps. */
  readonly times: readonly number[];
  readonly revenue: readonly number[];
  readonly refunds: readonly number[];
  readonly orders: number;
}

export interface FunnelStep {
  readonly name: string;
  readonly sessions: number;
  /** Of those of the step before; null for the first one, or when there were none. */
  readonly stepConversion: number | null;
  readonly totalConversion: number | null;
}

const TOP = 10;

export async function readShop(ask: QueryFn): Promise<ShopFigures> {
  const [behind] = await ask<ShopFigures['behind']>(
    `select count(*) as batches, coalesce(sum(p.rows), 0)::bigint as rows, coalesce(extract(epoch from clock_timestamp() - min(b.committed_at)) * 1000, 0)::float8 as ms
     from analytics.pending_batches p left join ecompipe.batches b using (batch_id)`,
  );
  const types = await ask<ShopFigures['types'][number]>(
    'select event_type as type, sum(events)::bigint as events from analytics.type_rollup group by 1 order by 2 desc, 1',
  );
  const products = await ask<ShopFigures['products'][number]>(
    `select product_id as id, product_name as name, currency, views, units_sold as units, revenue::float8 as revenue
     from analytics.product_rollup order by product_rollup.revenue desc, views desc, product_id limit ${TOP}`,
  );
  const searches = await ask<ShopFigures['searches'][number]>(
    `select term, searches from analytics.search_rollup order by searches desc, term limit ${TOP}`,
  );
  return {
    behind: behind ?? { batches: 0, rows: 0, ms: 0 },
    events: types.reduce((sum, { events }) => sum + events, 0),
    types,
    revenue: await readRevenue(ask),
    funnel: await readFunnel(ask),
    products,
    searches,
  };
}

const BUCKETS = [
  { bucket: 'minute', seconds: 60, count: 60 },
  { bucket: 'hour', seconds: 3600, count: 48 },
  { bucket: 'day', seconds: 86_400, count: 30 },
] as const;
/** Of 60 minutes so many with sales are enough to see something; in a small shop hours or days show more. */
const ENOUGH_SALES = 10;

async function readRevenue(ask: QueryFn): Promise<RevenueFigures> {
  let best: RevenueFigures | undefined;
  const sales = (figures: RevenueFigures | undefined): number =>
    figures?.revenue.filter((value) => value > 0).length ?? -1;
  for (const { bucket, seconds, count } of BUCKETS) {
    const figures = await revenueBy(ask, bucket, seconds, count);
    if (sales(figures) > sales(best)) best = figures;
    if (sales(best) >= ENOUGH_SALES) break;
  }
  return best ?? { bucket: 'minute', currency: null, times: [], revenue: [], refunds: [], orders: 0 };
}

/** The last so many buckets up to the newest sale. One from the future (a wrong clock) must not hide those of now. */
async function revenueBy(
  ask: QueryFn,
  bucket: RevenueFigures['bucket'],
  seconds: number,
  count: number,
): Promise<RevenueFigures> {
  const rows = await ask<{ time: number; currency: string | null; revenue: number; refunds: number; lines: number }>(
    `with newest as (
       select date_trunc($1, max(minute), 'UTC') as at from analytics.revenue_rollup where minute <= now() + interval '1 hour'
     ), sold as (
       select r.* from newest, analytics.revenue_rollup r where r.minute > newest.at - make_interval(secs => $2) and r.minute < newest.at + make_interval(secs => $3)
     ), main as (
       select currency from sold group by 1 order by currency = '', sum(purchase_lines) desc, 1 limit 1
     )
     select extract(epoch from date_trunc($1, minute, 'UTC'))::bigint as time, nullif(currency, '') as currency, sum(revenue)::float8 as revenue, sum(refunds)::float8 as refunds, sum(purchase_lines)::bigint as lines
     from sold join main using (currency) group by 1, 2 order by 1`,
    [bucket, seconds * (count - 1), seconds],
  );
  const end = rows.at(-1)?.time;
  if (end === undefined) return { bucket, currency: null, times: [], revenue: [], refunds: [], orders: 0 };
  const byTime = new Map(rows.map((row) => [row.time, row]));
  const times = Array.from({ length: count }, (_, index) => end - (count - 1 - index) * seconds);
  const valuesOf = (key: 'revenue' | 'refunds'): number[] => times.map((time) => byTime.get(time)?.[key] ?? 0);
  return {
    bucket,
    currency: rows[0]?.currency ?? null,
    times,
    revenue: valuesOf('revenue'),
    refunds: valuesOf('refunds'),
    orders: rows.reduce((sum, { lines }) => sum + lines, 0),
  };
}

/** As analytics.funnel says it, from its rollup. */
async function readFunnel(ask: QueryFn): Promise<FunnelStep[]> {
  return await ask<FunnelStep>(
    `with reached as (
       select s.step, s.name, coalesce(sum(p.sessions), 0)::bigint as sessions
       from (values (0, 'session'), (1, 'view_item'), (2, 'add_to_cart'), (3, 'begin_checkout'), (4, 'add_shipping_info'), (5, 'add_payment_info'), (6, 'purchase')) as s (step, name)
       left join (select step, sum(sessions) as sessions from analytics.funnel_rollup group by step) as p on p.step >= s.step
       group by s.step, s.name
     )
     select name, sessions, (sessions::float8 / nullif(lag(sessions) over (order by step), 0)) as "stepConversion", (sessions::float8 / nullif(first_value(sessions) over (order by step), 0)) as "totalConversion"
     from reached order by step`,
  );
}
