import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { WRITTEN_AT } from '../status/ledger.js';
import { bucketSeconds, bucketStarts, RANGES, type Range } from './ranges.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { float, integer, nullable, type Shape } from '../../platform/db/decodeRows.js';

/** Points over a range; `times` are seconds since 1970 by the server's clock, without gaps, from the first one known. */
export interface Series<Key extends string> {
  readonly times: readonly number[];
  readonly values: Readonly<Record<Key, readonly (number | null)[]>>;
}

const MAX_POINTS = 120;
/** As wide as the generator's default interval, so that an even flow looks even. */
const MIN_RATE_BUCKET_SECONDS = 5;
const MIN_LATENCY_BUCKET_SECONDS = 10;
/** How many of the latest entries of the ledger a range may read: it has no index by time. */
const MAX_ENTRIES: Readonly<Record<Range, number>> = {
  '15m': 20_000,
  '1h': 50_000,
  '24h': 200_000,
  '7d': 500_000,
  '28d': 500_000,
  all: 500_000,
};

interface Clock {
  readonly now: number;
  /** Of the entries within the range; null when there is none. */
  readonly first: number | null;
}

const CLOCK: Shape<Clock> = { now: float, first: nullable(float) };

interface Buckets {
  readonly width: number;
  /** Without the one that is not over yet, which would always look like a fall. */
  readonly starts: readonly number[];
}

function bucketsOf({ now, first }: Clock, minSeconds: number): Buckets {
  if (first === null) return { width: minSeconds, starts: [] };
  const width = bucketSeconds(now - first, minSeconds, MAX_POINTS);
  return { width, starts: bucketStarts(first, now - width, width) };
}

function since(column: string, range: Range): string {
  const seconds = RANGES[range];
  return seconds === undefined
    ? `${column} is not null`
    : `${column} > clock_timestamp() - interval '${seconds} seconds'`;
}

/** Rows a second that were committed. */
export async function readRates(ask: QueryFn, range: Range): Promise<Series<'inserted' | 'duplicate' | 'rejected'>> {
  const latest = `(select * from ecompipe.batches order by batch_id desc limit ${MAX_ENTRIES[range]}) as latest where ${since('committed_at', range)}`;
  const { width, starts } = bucketsOf(await readClock(ask, 'committed_at', latest), MIN_RATE_BUCKET_SECONDS);
  const rows = await ask(
    { bucket: integer, inserted: float, duplicate: float, rejected: float },
    `select floor(extract(epoch from committed_at) / $1)::bigint * $1::bigint as bucket, sum(rows_inserted)::float8 as inserted, sum(rows_duplicate)::float8 as duplicate, sum(rows_rejected)::float8 as rejected
     from ${latest} group by 1`,
    [width],
  );
  const byBucket = new Map(rows.map((row) => [row.bucket, row]));
  const rate = (key: 'inserted' | 'duplicate' | 'rejected'): number[] =>
    starts.map((start) => (byBucket.get(start)?.[key] ?? 0) / width);
  return {
    times: starts,
    values: { inserted: rate('inserted'), duplicate: rate('duplicate'), rejected: rate('rejected') },
  };
}

/** From the last write of a file to its last commit. */
export async function readLatencies(ask: QueryFn, range: Range): Promise<Series<'p50' | 'p99'>> {
  const latest = `(select * from ecompipe.files order by file_id desc limit ${MAX_ENTRIES[range] / 5}) as latest
     where state = 'loaded' and ${since('finished_at', range)} and ${WRITTEN_AT} is not null`;
  const { width, starts } = bucketsOf(await readClock(ask, 'finished_at', latest), MIN_LATENCY_BUCKET_SECONDS);
  const rows = await ask(
    { bucket: integer, p50: float, p99: float },
    `select bucket, percentile_cont(0.5) within group (order by seconds) as p50, percentile_cont(0.99) within group (order by seconds) as p99
     from (
       select floor(extract(epoch from finished_at) / $1)::bigint * $1::bigint as bucket, greatest(0, extract(epoch from finished_at - ${WRITTEN_AT}))::float8 as seconds from ${latest}
     ) as finished group by 1`,
    [width],
  );
  const byBucket = new Map(rows.map((row) => [row.bucket, row]));
  const valuesOf = (key: 'p50' | 'p99'): (number | null)[] => starts.map((start) => byBucket.get(start)?.[key] ?? null);
  return { times: starts, values: { p50: valuesOf('p50'), p99: valuesOf('p99') } };
}

async function readClock(ask: QueryFn, column: string, from: string): Promise<Clock> {
  const rows = await ask(
    CLOCK,
    `select extract(epoch from clock_timestamp())::float8 as now, (select extract(epoch from min(${column}))::float8 from ${from}) as first`,
  );
  return soleRow(rows);
}

const SPEED_SECONDS = 10;
const RECENT_SECONDS = 300;

/** Files a second that were finished in the last seconds, of the latest thousand. */
export async function readFileSpeed(ask: QueryFn): Promise<number> {
  const rows = await ask(
    { files: integer },
    `select count(*) as files from (select finished_at from ecompipe.files order by file_id desc limit 1000) as latest
     where finished_at > clock_timestamp() - interval '${SPEED_SECONDS} seconds'`,
  );
  return soleRow(rows).files / SPEED_SECONDS;
}

/** What became of the rows that were read in the last minutes, by the latest batches. */
export interface RecentRows {
  readonly read: number;
  readonly rejected: number;
  readonly seconds: number;
}

export async function readRecentRows(ask: QueryFn): Promise<RecentRows> {
  const rows = await ask(
    { read: integer, rejected: integer },
    `select coalesce(sum(rows_read), 0)::bigint as read, coalesce(sum(rows_rejected), 0)::bigint as rejected
     from (select * from ecompipe.batches order by batch_id desc limit 5000) as latest
     where committed_at > clock_timestamp() - interval '${RECENT_SECONDS} seconds'`,
  );
  return { ...soleRow(rows), seconds: RECENT_SECONDS };
}
