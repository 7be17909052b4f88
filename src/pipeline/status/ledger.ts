import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { boolean, float, integer, nullable, type Shape, text } from '../../platform/db/decodeRows.js';

/** Latest batches that the figures of "now" come from; that many are read from the end of the primary key in milliseconds. */
const BATCHES_LOOKED_AT = 5000;
const FILES_LOOKED_AT = 1000;

/** What the ledger says of one batch. */
export interface BatchStatus {
  readonly batchId: number;
  readonly engine: string;
  readonly loadPath: string;
  readonly read: number;
  readonly inserted: number;
  readonly duplicate: number;
  readonly rejected: number;
  readonly bytes: number;
  readonly durationMs: number;
  /** By the server's clock, as all ages are. */
  readonly ageMs: number;
  /** Milliseconds since 1970. */
  readonly committedAtMs: number;
}

const BATCH_STATUS: Shape<BatchStatus> = {
  batchId: integer,
  engine: text,
  loadPath: text,
  read: integer,
  inserted: integer,
  duplicate: integer,
  rejected: integer,
  bytes: integer,
  durationMs: float,
  ageMs: float,
  committedAtMs: float,
};

/** Speed over the last seconds, or over the time that the latest 5,000 batches took when that is shorter. */
export interface Throughput {
  readonly windowMs: number;
  readonly rowsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly batches: number;
}

/** From the last write of a file to its last commit, over the latest thousand files. */
export interface Latency {
  readonly files: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function readThroughput(
  ask: QueryFn,
  windowSeconds: number,
): Promise<Throughput & { readonly freshnessMs: number | null }> {
  const [row] = await ask(
    { windowMs: float, rowsPerSecond: float, bytesPerSecond: float, batches: integer, freshnessMs: nullable(float) },
    `with latest as (
       select rows_inserted, bytes, committed_at from ecompipe.batches order by batch_id desc limit ${BATCHES_LOOKED_AT}
     ), seen as (
       select clock_timestamp() as now, max(committed_at) as last, count(*) = ${BATCHES_LOOKED_AT} as is_cut, min(committed_at) as first from latest
     ), span as (
       select now, last, case when is_cut then least($1::float8, greatest(0.001, extract(epoch from now - first))::float8) else $1::float8 end as seconds from seen
     )
     select (seconds * 1000)::float8 as window_ms, coalesce(sum(l.rows_inserted), 0)::float8 / seconds::float8 as rows_per_second, coalesce(sum(l.bytes), 0)::float8 / seconds::float8 as bytes_per_second,
            count(l.*) as batches, case when last is not null then greatest(0, extract(epoch from now - last) * 1000) end::float8 as freshness_ms
     from span left join latest l on l.committed_at > now - make_interval(secs => seconds::float8)
     group by now, last, seconds`,
    [windowSeconds],
  );
  return row ?? { windowMs: windowSeconds * 1000, rowsPerSecond: 0, bytesPerSecond: 0, batches: 0, freshnessMs: null };
}

export async function readLatestBatches(ask: QueryFn, count: number): Promise<BatchStatus[]> {
  return await ask(
    BATCH_STATUS,
    `select batch_id, engine, load_path, rows_read as read, rows_inserted as inserted, rows_duplicate as duplicate, rows_rejected as rejected, bytes,
            greatest(0, extract(epoch from committed_at - started_at) * 1000)::float8 as duration_ms, greatest(0, extract(epoch from clock_timestamp() - committed_at) * 1000)::float8 as age_ms,
            (extract(epoch from committed_at) * 1000)::float8 as committed_at_ms
     from ecompipe.batches order by batch_id desc limit $1`,
    [count],
  );
}

/** A `file_stamp` begins with the modification time in milliseconds; Spark's entries may have none. */
export const WRITTEN_AT = `case when file_stamp >> 20 > 0 then to_timestamp((file_stamp >> 20) / 1000.0) end`;

export async function readLatency(ask: QueryFn): Promise<Latency | undefined> {
  const [row] = await ask(
    { files: integer, p50Ms: nullable(float), p99Ms: nullable(float) },
    `select count(ms) as files, percentile_cont(0.5) within group (order by ms) as p50_ms, percentile_cont(0.99) within group (order by ms) as p99_ms
     from (
       select greatest(0, extract(epoch from finished_at - ${WRITTEN_AT}) * 1000)::float8 as ms
       from (select * from ecompipe.files order by file_id desc limit ${FILES_LOOKED_AT}) as latest
       where state = 'loaded' and ${WRITTEN_AT} is not null
     ) as finished`,
  );
  if (row === undefined || row.p50Ms === null || row.p99Ms === null) return undefined;
  return { files: row.files, p50Ms: row.p50Ms, p99Ms: row.p99Ms };
}

/** Everything that the ledger has seen. Reads all of `ecompipe.file_entries`: 0.1 s a million files. */
export interface Totals {
  readonly loadedFiles: number;
  readonly loadingFiles: number;
  readonly quarantinedFiles: number;
  readonly redeliveries: number;
  readonly inserted: number;
  readonly duplicate: number;
  readonly rejected: number;
}

const TOTALS: Shape<Totals> = {
  loadedFiles: integer,
  loadingFiles: integer,
  quarantinedFiles: integer,
  redeliveries: integer,
  inserted: integer,
  duplicate: integer,
  rejected: integer,
};

export async function readTotals(ask: QueryFn): Promise<Totals> {
  const rows = await ask(
    TOTALS,
    // Of a usual file there are only the batch and the rows: adding up what the view makes of them takes twice as long.
    `select count(batch_id) + count(*) filter (where state = 'loaded') as loaded_files, count(*) filter (where state = 'loading') as loading_files, count(*) filter (where state = 'quarantined') as quarantined_files,
            (select count(*) from ecompipe.redeliveries) as redeliveries,
            (coalesce(sum(rows), 0) + coalesce(sum(rows_inserted), 0))::bigint as inserted, coalesce(sum(rows_duplicate), 0)::bigint as duplicate, coalesce(sum(rows_rejected), 0)::bigint as rejected
     from ecompipe.file_entries`,
  );
  return soleRow(rows);
}

/** A stream, or run-all, that holds the lock of a checkpoint directory. */
export interface Owner {
  /** Address of its machine, as the server sees it; null over a Unix socket or without the right to know. */
  readonly client: string | null;
  readonly forMs: number | null;
  /** It is about the checkpoint directory that was asked for. */
  readonly isOurs: boolean;
}

const OWNER: Shape<Owner> = { client: nullable(text), forMs: nullable(float), isOurs: boolean };

/** @param key see `ownershipKey`; undefined when the directory does not exist here. */
export async function readOwners(ask: QueryFn, lockSpace: number, key: number | undefined): Promise<Owner[]> {
  return await ask(
    OWNER,
    `select host(a.client_addr) as client, (extract(epoch from clock_timestamp() - a.backend_start) * 1000)::float8 as for_ms, coalesce(l.objid::bigint = $2::bigint, false) as is_ours
     from pg_locks l left join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.classid::bigint = $1 and l.objsubid = 2 and l.granted
       and l.database = (select oid from pg_database where datname = current_database())
     order by 3 desc, 2 desc`,
    // The catalogue shows the signed halves of the key as unsigned.
    [lockSpace, key === undefined ? null : key >>> 0],
  );
}

/** What went wrong of late; all ages by the server's clock. */
export interface Problems {
  /** Rows of the last hour's batches (at most the latest 5,000): how many were read, and rejected. */
  readonly recentRead: number;
  readonly recentRejected: number;
  readonly recentQuarantined: number;
  readonly lastReject:
    | {
        readonly file: string;
        readonly line: number;
        readonly kind: string;
        readonly message: string;
        readonly ageMs: number;
      }
    | undefined;
  readonly lastQuarantine: { readonly file: string; readonly reason: string; readonly ageMs: number } | undefined;
}

const HOUR = `interval '1 hour'`;

export async function readProblems(ask: QueryFn): Promise<Problems> {
  const sums = await ask(
    { recentRead: integer, recentRejected: integer, recentQuarantined: integer },
    `select coalesce(sum(rows_read), 0)::bigint as recent_read, coalesce(sum(rows_rejected), 0)::bigint as recent_rejected,
            (select count(*) from ecompipe.file_entries where state = 'quarantined' and finished_at > clock_timestamp() - ${HOUR}) as recent_quarantined
     from (select * from ecompipe.batches order by batch_id desc limit 5000) as latest
     where committed_at > clock_timestamp() - ${HOUR}`,
  );
  const [lastReject] = await ask(
    { file: text, line: integer, kind: text, message: text, ageMs: float },
    `select f.name as file, r.line, r.kind, r.message, (extract(epoch from clock_timestamp() - r.rejected_at) * 1000)::float8 as age_ms
     from ecompipe.rejected_rows r join ecompipe.files f using (file_id) order by r.reject_id desc limit 1`,
  );
  const [lastQuarantine] = await ask(
    { file: text, reason: text, ageMs: float },
    `select name as file, reason, (extract(epoch from clock_timestamp() - finished_at) * 1000)::float8 as age_ms
     from ecompipe.file_entries where state = 'quarantined' order by finished_at desc nulls last limit 1`,
  );
  return { ...soleRow(sums), lastReject, lastQuarantine };
}
