import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import type { Window } from './ranges.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { boolean, integer } from '../../platform/db/decodeRows.js';

/** Visits and how far they came. Only those that have ended are counted: an open one may still buy. */
export interface VisitFigures {
  readonly now: VisitTotals;
  /** Of the period before; null when the events do not cover it. */
  readonly before: VisitTotals | null;
  /** Different users whose sessions reach into the last five minutes. */
  readonly activeNow: number;
  /** Sessions that have not ended. */
  readonly open: number;
  readonly funnel: readonly FunnelStep[];
}

export interface VisitTotals {
  /** Different users with a session in the window, ended or not. */
  readonly visitors: number;
  readonly ended: number;
  /** Of the ended ones, those with a purchase. */
  readonly bought: number;
}

export interface FunnelStep {
  readonly name: string;
  readonly sessions: number;
  /** Of those of the step before; null for the first one, or when there were none. */
  readonly stepConversion: number | null;
  readonly totalConversion: number | null;
}

/** A session without an event for so long has ended. Whoever comes back takes the session out of the figures again. */
export const SESSION_IDLE_SECONDS = 300;

/** As `analytics.funnel_step` numbers them: a step counts when the session took all those before it. */
const STEPS = [
  'session',
  'view_item',
  'add_to_cart',
  'begin_checkout',
  'add_shipping_info',
  'add_payment_info',
  'purchase',
];

/**
 * From the sessions of the rollup, each of which is read once. A session belongs to the period in which it ended: by its
 * start, a short range would hold only sessions that were short enough to end in it, and those seldom buy.
 */
export async function readVisits(ask: QueryFn, window: Window): Promise<VisitFigures> {
  const { startMs, endMs, previousStartMs } = window;
  const times = [(previousStartMs ?? startMs) / 1000, startMs / 1000, endMs / 1000, SESSION_IDLE_SECONDS];
  const ends = await ask(
    { current: boolean, step: integer, sessions: integer, bought: integer },
    `select ended_at >= to_timestamp($2::float8 - $4) as current,
            analytics.funnel_step(item_views, cart_additions, checkouts, shipping_infos, payment_infos, purchase_lines) as step,
            count(*) as sessions, count(*) filter (where purchase_lines > 0) as bought
     from analytics.session_rollup where ended_at >= to_timestamp($1::float8 - $4) and ended_at < to_timestamp($3::float8 - $4) group by 1, 2`,
    times,
  );
  const rows = await ask(
    { now: integer, before: integer, activeNow: integer, open: integer },
    `select count(*) filter (where now) as now, count(*) filter (where before) as before, count(*) filter (where open > 0) as active_now, coalesce(sum(open), 0)::bigint as open
     from (
       select user_id, bool_or(ended_at >= to_timestamp($2)) as now, bool_or(started_at < to_timestamp($2)) as before,
              count(*) filter (where ended_at >= to_timestamp($3::float8 - $4)) as open
       from analytics.session_rollup where ended_at >= to_timestamp($1) and started_at <= to_timestamp($3) group by user_id
     ) as users`,
    times,
  );
  const { now, before, activeNow, open } = soleRow(rows);
  const totals = (wanted: boolean, visitors: number): VisitTotals => {
    const those = ends.filter(({ current }) => current === wanted);
    const sum = (key: 'sessions' | 'bought'): number => those.reduce((total, row) => total + row[key], 0);
    return { visitors, ended: sum('sessions'), bought: sum('bought') };
  };
  return {
    now: totals(true, now),
    before: previousStartMs === null ? null : totals(false, before),
    activeNow,
    open,
    funnel: funnelOf(ends.filter(({ current }) => current)),
  };
}

function funnelOf(ends: readonly { readonly step: number; readonly sessions: number }[]): FunnelStep[] {
  const reached = STEPS.map((_, index) =>
    ends.filter(({ step }) => step >= index).reduce((sum, { sessions }) => sum + sessions, 0),
  );
  const [all = 0] = reached;
  return STEPS.map((name, index) => {
    const sessions = reached[index] ?? 0;
    const before = reached[index - 1] ?? 0;
    return {
      name,
      sessions,
      stepConversion: before === 0 ? null : sessions / before,
      totalConversion: all === 0 ? null : sessions / all,
    };
  });
}
