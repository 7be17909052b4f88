import { type QueryFn, askWithin } from '../../platform/db/readOnlyClient.js';
import { float, nullable, type Shape, text, bytea, integer } from '../../platform/db/decodeRows.js';
import { RANGES, type TimeRange } from './ranges.js';
import { soleRow } from '../../platform/db/soleRow.js';

/** An event as the page's list shows it; nothing that tells who it was. */
export interface LatestEvent {
  readonly id: string;
  /** Milliseconds since 1970, by the event's own time. */
  readonly atMs: number;
  /** Null only where the table was changed to allow it. */
  readonly type: string | null;
  readonly device: string | null;
  readonly country: string | null;
  /** The product, the search term or the page. */
  readonly about: string | null;
  readonly amount: number | null;
  readonly currency: string | null;
}

const LATEST_EVENT: Shape<LatestEvent> = {
  id: text,
  atMs: float,
  type: nullable(text),
  device: nullable(text),
  country: nullable(text),
  about: nullable(text),
  amount: nullable(float),
  currency: nullable(text),
};

const SHOWN = 12;
/** The latest batches, as many as hold so many rows, may hold the newest events: small files come in several, and of large ones the last is enough. */
const BATCHES = 10;
const ROWS = 200;

/** The newest events of the latest batches, the newest first; those from the future, of a wrong clock, would stay for ever. */
export async function readLatestEvents(ask: QueryFn): Promise<LatestEvent[]> {
  return await ask(
    LATEST_EVENT,
    `select event_id::text as id, (extract(epoch from event_time) * 1000)::float8 as at_ms, event_type::text as type, device::text, country::text,
            left(coalesce(product_name::text, search_term::text, page_url::text, product_id::text), 120) as about,
            case when event_type in ('purchase', 'refund') then (price::numeric * quantity::bigint)::float8 end as amount, currency::text
     from public.events
     where batch_id >= (
         select min(batch_id) from (
           select batch_id, sum(rows_inserted) over (order by batch_id desc) - rows_inserted as rows_after
           from (select batch_id, rows_inserted from ecompipe.batches where rows_inserted > 0 order by batch_id desc limit ${BATCHES}) as latest
         ) as counted where rows_after < ${ROWS}
       )
       and event_time <= now() + interval '1 minute'
     order by event_time desc, event_id limit ${SHOWN}`,
  );
}

/** Rejected rows that nobody has corrected yet, of all tables that files are loaded into. */
export interface RejectFigures {
  /** All that were rejected within the range; null when there were too many to count in time. */
  readonly total: number | null;
  /** The latest ones, at most so many, are what `reasons` groups. */
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

const LOOKED_AT = 10_000;
const REASONS = 8;
const EXAMPLES = 5;
/** Of a row that may have a megabyte. */
const RAW_BYTES_SHOWN = 200;
const COUNT_TIMEOUT_MS = 1000;

export async function readRejects(ask: QueryFn, range: TimeRange): Promise<RejectFigures> {
  const seconds = RANGES[range];
  const open = `resolved_at is null${seconds === undefined ? '' : ` and rejected_at > clock_timestamp() - interval '${seconds} seconds'`}`;
  const latest = `(select * from ecompipe.rejected_rows order by reject_id desc limit ${LOOKED_AT}) as latest where ${open}`;
  const total = await askWithin(ask, COUNT_TIMEOUT_MS, async () => {
    return soleRow(await ask({ rows: integer }, `select count(*) as rows from ecompipe.rejected_rows where ${open}`))
      .rows;
  });
  const looked = soleRow(await ask({ rows: integer }, `select count(*) as rows from ${latest}`)).rows;
  const reasons = await ask(
    { kind: text, sqlState: text, rule: text, rows: integer },
    `select kind, sql_state, left(coalesce(constraint_name, column_name, ''), 200) as rule, count(*) as rows
     from ${latest} group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit ${REASONS}`,
  );
  const examples = await ask(
    { file: text, line: integer, kind: text, message: text, ageMs: float, raw: bytea },
    `select f.name as file, r.line, r.kind, left(r.message, 300) as message, substr(r.raw, 1, ${RAW_BYTES_SHOWN}) as raw, greatest(0, extract(epoch from clock_timestamp() - r.rejected_at) * 1000)::float8 as age_ms
     from (select * from ${latest} order by reject_id desc limit ${EXAMPLES}) as r join ecompipe.files f using (file_id) order by r.reject_id desc`,
  );
  return {
    total: total ?? null,
    looked,
    reasons,
    // Invalid UTF-8 becomes the replacement character.
    examples: examples.map((example) => ({ ...example, raw: example.raw.toString('utf8') })),
  };
}
