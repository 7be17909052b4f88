import { type QueryFn, askWithin } from '../../platform/db/readOnlyClient.js';
import { windowOf, type EventBounds, type TimeRange, type Window } from './ranges.js';
import { readSalesFromRollups, scanSales, SCAN_TIMEOUT_MS, type SalesFigures } from './sales.js';
import { readVisits, SESSION_IDLE_SECONDS, type VisitFigures } from './visits.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { float, integer, nullable, type Shape, text } from '../../platform/db/decodeRows.js';

/** Figures of the shop over one range. */
export interface ShopFigures {
  readonly window: Window;
  readonly sales: SalesFigures;
  /** Null when there are too many sessions to count them in time. */
  readonly visits: VisitFigures | null;
  readonly types: readonly { readonly type: string; readonly events: number }[];
  /** A session without an event for so long counts as ended. */
  readonly sessionIdleSeconds: number;
}

/** Committed batches that the rollups do not hold yet, and for how long the oldest of them has waited. */
export interface Behind {
  readonly batches: number;
  readonly rows: number;
  readonly ms: number;
}

const BEHIND: Shape<Behind> = { batches: integer, rows: integer, ms: float };

export async function readBehind(ask: QueryFn): Promise<Behind> {
  const rows = await ask(
    BEHIND,
    `select count(*) as batches, coalesce(sum(p.rows), 0)::bigint as rows, coalesce(extract(epoch from clock_timestamp() - min(b.committed_at)) * 1000, 0)::float8 as ms
     from analytics.pending_batches p left join ecompipe.batches b using (batch_id)`,
  );
  return soleRow(rows);
}

/** Events of all time; the rollups' part of it, to which `Behind.rows` come. */
export async function readEventCount(ask: QueryFn): Promise<number> {
  const rows = await ask(
    { events: integer },
    'select coalesce(sum(events), 0)::bigint as events from analytics.type_rollup',
  );
  return soleRow(rows).events;
}

/** What the sessions of the rollup cover; undefined while there are none. Times after now come from wrong clocks. */
export async function readEventBounds(ask: QueryFn): Promise<EventBounds | undefined> {
  const rows = await ask(
    { firstMs: nullable(float), newestMs: nullable(float) },
    `select (extract(epoch from min(started_at)) * 1000)::float8 as first_ms, (extract(epoch from max(ended_at)) * 1000)::float8 as newest_ms
     from analytics.session_rollup where isfinite(started_at) and ended_at <= now()`,
  );
  const { firstMs, newestMs } = soleRow(rows);
  return firstMs === null || newestMs === null ? undefined : { firstMs, newestMs };
}

/** What only a scan of the events knows, when there are not too many of them; else what the rollups know. */
export async function readShop(ask: QueryFn, range: TimeRange, bounds: EventBounds): Promise<ShopFigures> {
  const window = windowOf(range, bounds, Date.now());
  const scan = <T>(action: () => Promise<T>): Promise<T | undefined> => askWithin(ask, SCAN_TIMEOUT_MS, action);
  const visits = await scan(() => readVisits(ask, window));
  const sales = await scan(() => scanSales(ask, window, bounds));
  const types = range === 'all' ? undefined : await scan(() => countTypes(ask, window));
  return {
    window,
    visits: visits ?? null,
    sales: sales ?? (await readSalesFromRollups(ask, window, bounds)),
    types: types ?? (await countTypesByDay(ask, window)),
    sessionIdleSeconds: SESSION_IDLE_SECONDS,
  };
}

async function countTypes(ask: QueryFn, { startMs, endMs }: Window): Promise<ShopFigures['types']> {
  return await ask(
    { type: text, events: integer },
    `select event_type::text as type, count(*) as events from public.events
     where event_time >= to_timestamp($1) and event_time <= to_timestamp($2) and event_type is not null group by 1 order by 2 desc, 1`,
    [startMs / 1000, endMs / 1000],
  );
}

/** Whole UTC days are all that the rollup knows. */
async function countTypesByDay(ask: QueryFn, { startMs, endMs }: Window): Promise<ShopFigures['types']> {
  return await ask(
    { type: text, events: integer },
    `select event_type as type, sum(events)::bigint as events from analytics.type_rollup
     where day between (to_timestamp($1) at time zone 'UTC')::date and (to_timestamp($2) at time zone 'UTC')::date group by 1 order by 2 desc, 1`,
    [startMs / 1000, endMs / 1000],
  );
}
