import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { float, nullable, type Shape, text } from '../../platform/db/decodeRows.js';

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
