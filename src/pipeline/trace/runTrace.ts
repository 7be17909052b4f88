import { parse } from 'csv-parse/sync';
import type { Connection } from '../../platform/db/client.js';
import type { RowPlace, Trace, TracedEvent, TracedReject } from './types.js';
import { findOrigins, plainId } from './origin.js';
import {
  arrayOf,
  boolean,
  bytea,
  integer,
  nullable,
  queryRows,
  type Shape,
  text,
  timestamp,
} from '../../platform/db/decodeRows.js';

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

const EVENT_ROW: Shape<EventRow> = {
  batchId: nullable(integer),
  engine: nullable(text),
  loadPath: nullable(text),
  committedAt: nullable(timestamp),
  feed: nullable(text),
  eventType: nullable(text),
  eventTime: nullable(timestamp),
  ingestedAt: timestamp,
};

async function findEvent(
  connection: Connection,
  eventId: string,
  directories: readonly string[],
): Promise<TracedEvent | undefined> {
  const [row] = await queryRows(
    connection.client,
    EVENT_ROW,
    `select e.event_type, e.event_time, e.ingested_at,
            e.batch_id, b.engine, b.load_path, b.committed_at,
            (select f.name from ecompipe.feeds f where f.feed_id = b.feed_id) as feed
     from public.events e left join ecompipe.batches b using (batch_id)
     where e.event_id = $1`,
    [eventId],
  );
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

const ROW_PLACE: Shape<RowPlace> = { file: text, sha256: text, line: integer, byteOffset: integer, batchId: integer };
const PLACE = `f.name as file, encode(f.sha256, 'hex') as sha256, r.line, r.byte_offset, r.batch_id`;

async function findReplayed(
  { client }: Connection,
  eventId: string,
  batchId: number,
): Promise<TracedEvent['replayOf']> {
  const [place] = await queryRows(
    client,
    { ...ROW_PLACE, rejectId: integer },
    `select ${PLACE}, r.reject_id
     from ecompipe.rejected_rows r join ecompipe.files f using (file_id)
     where r.resolved_key = ($1::uuid)::text and r.resolved_batch_id = $2 and r.resolution = 'inserted'`,
    [eventId, batchId],
  );
  return place;
}

async function findDuplicates({ client }: Connection, eventId: string): Promise<RowPlace[]> {
  return await queryRows(
    client,
    ROW_PLACE,
    `select ${PLACE} from ecompipe.duplicate_rows r join ecompipe.files f using (file_id) where r.key = ($1::uuid)::text order by r.batch_id, f.name, r.line`,
    [eventId],
  );
}

/**
 * Rejected rows have no event id of their own, as it may be just what is wrong with them: their bytes are looked through
 * (some seconds for millions), and the field decides where the columns of the file are known.
 */
async function findRejects({ client }: Connection, eventId: string): Promise<TracedReject[]> {
  const rows = await queryRows(
    client,
    {
      ...ROW_PLACE,
      rejectId: integer,
      kind: text,
      sqlState: text,
      message: text,
      resolution: nullable(text),
      raw: bytea,
      columns: nullable(arrayOf(text)),
      isResolvedBy: nullable(boolean),
    },
    `select ${PLACE}, r.reject_id, r.kind, r.sql_state, r.message, r.resolution, r.raw, ecompipe.columns_of(b) as columns, r.resolved_key = ($2::uuid)::text as is_resolved_by
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
  return await queryRows(
    client,
    { file: text, name: text, seenAt: timestamp },
    `select f.name as file, d.name, d.seen_at
     from ecompipe.redeliveries d join ecompipe.files f using (file_id)
     where f.sha256 = any ($1)
     order by d.seen_at`,
    [sha256s],
  );
}
