import { parse } from 'csv-parse/sync';
import type { Connection } from '../../platform/db/client.js';
import type { RowPlace, Trace, TracedEvent, TracedReject } from './traceEvents.js';
import { findOrigins, plainId } from './origin.js';

/**
 * All that is known of an event id: the row in the table and where it came from, rows that were duplicates of it, rejected
 * rows with it, and redeliveries of those files.
 * @param directories where loaded files may lie; they are read for the line.
 */
export async function traceEvent(
  connection: Connection,
  eventId: string,
  directories: readonly string[],
): Promise<Trace> {
  const event = await findEvent(connection, eventId, directories);
  const duplicates = await findDuplicates(connection, eventId);
  const rejects = await findRejects(connection, eventId);
  const files = [
    ...(event?.origins ?? []),
    ...(event?.replayOf === undefined ? [] : [event.replayOf]),
    ...duplicates,
    ...rejects,
  ].map(({ sha256 }) => Buffer.from(sha256, 'hex'));
  const redeliveries = await findRedeliveries(connection, files);
  return {
    eventId,
    known: event !== undefined || duplicates.length + rejects.length > 0,
    event,
    duplicates,
    rejects,
    redeliveries,
  };
}

interface EventRow extends Pick<TracedEvent, 'eventType' | 'eventTime' | 'ingestedAt'> {
  readonly batchId: number | null;
  readonly engine: string | null;
  readonly loadPath: string | null;
  readonly committedAt: Date | null;
  readonly feed: string | null;
}

async function findEvent(
  connection: Connection,
  eventId: string,
  directories: readonly string[],
): Promise<TracedEvent | undefined> {
  const { rows } = await connection.client.query<EventRow>(
    `select e.event_type as "eventType", e.event_time as "eventTime", e.ingested_at as "ingestedAt",
            e.batch_id as "batchId", b.engine, b.load_path as "loadPath", b.committed_at as "committedAt",
            (select f.name from ecompipe.feeds f where f.feed_id = b.feed_id) as feed
     from public.events e left join ecompipe.batches b using (batch_id)
     where e.event_id = $1`,
    [eventId],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { batchId, engine, loadPath, committedAt, feed, ...event } = row;
  if (batchId === null || engine === null || loadPath === null || committedAt === null)
    return { ...event, batch: undefined, origins: [], replayOf: undefined };
  const replayOf = loadPath === 'replay' ? await findReplayed(connection, eventId, batchId) : undefined;
  return {
    ...event,
    batch: { batchId, engine, loadPath, committedAt, feed },
    origins: loadPath === 'replay' ? [] : await findOrigins(connection, eventId, batchId, directories),
    replayOf,
  };
}

const PLACE = `f.name as file, encode(f.sha256, 'hex') as sha256, r.line, r.byte_offset as "byteOffset", r.batch_id as "batchId"`;

async function findReplayed(
  { client }: Connection,
  eventId: string,
  batchId: number,
): Promise<TracedEvent['replayOf']> {
  const { rows } = await client.query<RowPlace & { rejectId: number }>(
    `select ${PLACE}, r.reject_id as "rejectId"
     from ecompipe.rejected_rows r join ecompipe.files f using (file_id)
     where r.resolved_key = ($1::uuid)::text and r.resolved_batch_id = $2 and r.resolution = 'inserted'`,
    [eventId, batchId],
  );
  return rows[0];
}

async function findDuplicates({ client }: Connection, eventId: string): Promise<RowPlace[]> {
  const { rows } = await client.query<RowPlace>(
    `select ${PLACE} from ecompipe.duplicate_rows r join ecompipe.files f using (file_id) where r.key = ($1::uuid)::text order by r.batch_id, f.name, r.line`,
    [eventId],
  );
  return rows;
}

/**
 * Rejected rows have no event id of their own, as it may be just what is wrong with them: their bytes are looked through
 * (some seconds for millions), and the field decides where the columns of the file are known.
 */
async function findRejects({ client }: Connection, eventId: string): Promise<TracedReject[]> {
  const { rows } = await client.query<
    Omit<TracedReject, 'carries'> & { raw: Buffer; columns: readonly string[] | null; isResolvedBy: boolean | null }
  >(
    `select ${PLACE}, r.reject_id as "rejectId", r.kind, r.sql_state as "sqlState", r.message, r.resolution, r.raw, ecompipe.columns_of(b) as columns, r.resolved_key = ($2::uuid)::text as "isResolvedBy"
     from ecompipe.rejected_rows r join ecompipe.files f using (file_id) join ecompipe.batches b on b.batch_id = r.batch_id
     where position($1 in translate(lower(encode(r.raw, 'escape')), '-{}', '')) > 0 or r.resolved_key = ($2::uuid)::text
     order by r.batch_id, f.name, r.line`,
    [plainId(eventId), eventId],
  );
  return rows.map(({ raw, columns, isResolvedBy, ...reject }) => ({
    ...reject,
    carries: isResolvedBy === true || isAbout(raw, columns, eventId) ? 'event_id' : 'mention',
  }));
}

function isAbout(raw: Buffer, columns: readonly string[] | null, eventId: string): boolean {
  try {
    const [fields = []] = parse(raw, { relax_column_count: true, record_delimiter: '\n' });
    return fields.length === columns?.length && plainId(fields[columns.indexOf('event_id')] ?? '') === plainId(eventId);
  } catch {
    return false;
  }
}

async function findRedeliveries({ client }: Connection, sha256s: readonly Buffer[]): Promise<Trace['redeliveries']> {
  const { rows } = await client.query<Trace['redeliveries'][number]>(
    `select f.name as file, d.name, d.seen_at as "seenAt"
     from ecompipe.redeliveries d join ecompipe.files f using (file_id)
     where f.sha256 = any ($1)
     order by d.seen_at`,
    [sha256s],
  );
  return rows;
}
