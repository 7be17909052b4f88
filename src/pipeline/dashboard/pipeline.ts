import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { WRITTEN_AT } from '../status/ledger.js';

/** Points over the last five minutes; `times` are seconds since 1970 by the server's clock, without gaps. */
export interface Series<Key extends string> {
  readonly times: readonly number[];
  readonly values: Readonly<Record<Key, readonly (number | null)[]>>;
}

const WINDOW_SECONDS = 300;
/** As wide as the generator's default interval, so that an even flow looks even. */
const RATE_BUCKET_SECONDS = 5;
const LATENCY_BUCKET_SECONDS = 10;

/** Rows a second that were committed. The bucket that is not over yet is left out: it would always look like a fall. */
export async function readRates(ask: QueryFn): Promise<Series<'inserted' | 'duplicate' | 'rejected'>> {
  const rows = await ask<{ bucket: number; now: number; inserted: number; duplicate: number; rejected: number }>(
    `with clock as (select floor(extract(epoch from clock_timestamp()) / ${RATE_BUCKET_SECONDS})::bigint as now)
     select now, floor(extract(epoch from committed_at) / ${RATE_BUCKET_SECONDS})::bigint as bucket, sum(rows_inserted)::float8 as inserted, sum(rows_duplicate)::float8 as duplicate, sum(rows_rejected)::float8 as rejected
     from clock left join (select * from ecompipe.batches order by batch_id desc limit 20000) as latest on committed_at > clock_timestamp() - interval '${WINDOW_SECONDS} seconds'
     group by 1, 2`,
  );
  const byBucket = new Map(rows.map((row) => [row.bucket, row]));
  const buckets = bucketsUntil(rows[0]?.now ?? 0, WINDOW_SECONDS / RATE_BUCKET_SECONDS);
  const rate = (key: 'inserted' | 'duplicate' | 'rejected'): number[] =>
    buckets.map((bucket) => (byBucket.get(bucket)?.[key] ?? 0) / RATE_BUCKET_SECONDS);
  return {
    times: buckets.map((bucket) => bucket * RATE_BUCKET_SECONDS),
    values: { inserted: rate('inserted'), duplicate: rate('duplicate'), rejected: rate('rejected') },
  };
}

/** From the last write of a file to its last commit, of the latest 5,000 files. */
export async function readLatencies(
  ask: QueryFn,
): Promise<Series<'p50' | 'p99'> & { readonly filesPerSecond: number }> {
  const rows = await ask<{ bucket: number | null; now: number; files: number; p50: number | null; p99: number | null }>(
    `with clock as (select floor(extract(epoch from clock_timestamp()) / ${LATENCY_BUCKET_SECONDS})::bigint as now), finished as (
       select finished_at, greatest(0, extract(epoch from finished_at - ${WRITTEN_AT}))::float8 as seconds
       from (select * from ecompipe.files order by file_id desc limit 5000) as latest
       where state = 'loaded' and finished_at > clock_timestamp() - interval '${WINDOW_SECONDS} seconds' and ${WRITTEN_AT} is not null
     )
     select now, floor(extract(epoch from finished_at) / ${LATENCY_BUCKET_SECONDS})::bigint as bucket, count(finished_at) as files,
            percentile_cont(0.5) within group (order by seconds) as p50, percentile_cont(0.99) within group (order by seconds) as p99
     from clock left join finished on true group by 1, 2`,
  );
  const byBucket = new Map(rows.map((row) => [row.bucket, row]));
  const now = rows[0]?.now ?? 0;
  const buckets = bucketsUntil(now, WINDOW_SECONDS / LATENCY_BUCKET_SECONDS);
  const valuesOf = (key: 'p50' | 'p99'): (number | null)[] =>
    buckets.map((bucket) => byBucket.get(bucket)?.[key] ?? null);
  const files = buckets.slice(-1).reduce((sum, bucket) => sum + (byBucket.get(bucket)?.files ?? 0), 0);
  return {
    times: buckets.map((bucket) => bucket * LATENCY_BUCKET_SECONDS),
    values: { p50: valuesOf('p50'), p99: valuesOf('p99') },
    filesPerSecond: files / LATENCY_BUCKET_SECONDS,
  };
}

export interface RejectFigures {
  /** The latest rejects, at most so many, are what `reasons` counts. */
  readonly looked: number;
  readonly reasons: readonly {
    readonly kind: string;
    readonly sqlState: string;
    readonly rule: string;
    readonly rows: number;
  }[];
  readonly examples: readonly {
    readonly file: string;
    readonly line: number;
    readonly kind: string;
    readonly message: string;
    readonly raw: string;
    readonly ageMs: number;
  }[];
}

const REJECTS_LOOKED_AT = 10_000;
const EXAMPLES = 8;
/** Of a row that may have a megabyte. */
const RAW_BYTES_SHOWN = 200;

export async function readRejects(ask: QueryFn): Promise<RejectFigures> {
  const reasons = await ask<RejectFigures['reasons'][number]>(
    `select kind, sql_state as "sqlState", left(coalesce(constraint_name, column_name, ''), 200) as rule, count(*) as rows
     from (select * from ecompipe.rejected_rows order by reject_id desc limit ${REJECTS_LOOKED_AT}) as latest
     where resolved_at is null group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit 12`,
  );
  const examples = await ask<Omit<RejectFigures['examples'][number], 'raw'> & { raw: Buffer }>(
    `select f.name as file, r.line, r.kind, left(r.message, 300) as message, substr(r.raw, 1, ${RAW_BYTES_SHOWN}) as raw, greatest(0, extract(epoch from clock_timestamp() - r.rejected_at) * 1000)::float8 as "ageMs"
     from (select * from ecompipe.rejected_rows where resolved_at is null order by reject_id desc limit ${EXAMPLES}) as r join ecompipe.files f using (file_id) order by r.reject_id desc`,
  );
  return {
    looked: reasons.reduce((sum, { rows }) => sum + rows, 0),
    reasons,
    // Bytes that are no UTF-8 become the replacement character.
    examples: examples.map((example) => ({ ...example, raw: example.raw.toString('utf8') })),
  };
}

function bucketsUntil(now: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => now - count + index);
}
