import assert from 'node:assert/strict';
import type { Connection } from '../../platform/db/client.js';
import { withUserPath } from '../../platform/db/sessionSettings.js';
import { eventIdsOf } from '../../contract/csv/eventIds.js';
import { readContentRange } from '../../platform/files/contentRange.js';
import { EcompipeError, EXIT } from '../../platform/errors.js';
import type { TargetFile } from './target.js';
import type { RemakeRows } from '../../contract/stageServices.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';
import {
  arrayOf,
  boolean,
  integer,
  jsonObject,
  nullable,
  queryRows,
  type Shape,
  text,
} from '../../platform/db/decodeRows.js';

/** Keys of the rows that this transaction takes out, with their table; NULL: that of events. */
export const REMOVED = 'pg_temp.ecompipe_removed';

interface RemovedRange {
  readonly batchId: number;
  readonly fileId: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly firstLine: number;
  readonly columns: readonly string[] | null;
  /** By which it was loaded: then its bytes alone do not tell the keys of its rows. */
  readonly feed: { readonly name: string; readonly text: string } | null;
  /** The table that the rows are in; null: that of events. */
  readonly target: string | null;
  readonly rowsInserted: number;
  /** Files in the same batch that stay. */
  readonly others: number;
}

const REMOVED_RANGE: Shape<RemovedRange> = {
  batchId: integer,
  fileId: integer,
  startOffset: integer,
  endOffset: integer,
  firstLine: integer,
  columns: nullable(arrayOf(text)),
  feed: nullable(jsonObject({ name: text, text: text })),
  target: nullable(text),
  rowsInserted: integer,
  others: integer,
};

export async function prepareRemoval({ client }: Connection): Promise<void> {
  await client.query(`
    set local client_min_messages = warning;
    create temporary table if not exists ecompipe_removed (target text, key text not null) on commit delete rows;
    truncate ${REMOVED}`);
}

/**
 * Takes the events of these files out of the table.
 *
 * A row knows its batch and not its file. A batch that holds nothing else goes as a whole; in one that other files share
 * (hundreds of small files load in one transaction), only the file's bytes tell which rows are its own: all but those
 * that the ledger has as rejects and duplicates.
 * @throws EcompipeError (74) when the bytes are needed and not there.
 */
export async function removeEventsOf(
  connection: Connection,
  files: readonly TargetFile[],
  paths: ReadonlyMap<number, string>,
  remakeRows: RemakeRows,
): Promise<void> {
  const fileIds = files.map(({ fileId }) => fileId);
  const ranges = await queryRows(
    connection.client,
    REMOVED_RANGE,
    `select r.batch_id, r.file_id, r.start_offset, r.end_offset, r.first_line, ecompipe.columns_of(b) as columns,
            (select json_build_object('name', f.name, 'text', f.content) from ecompipe.feeds f where f.feed_id = b.feed_id) as feed,
            b.target, r.rows_inserted,
            (select count(*) from ecompipe.batch_ranges o where o.batch_id = r.batch_id and o.file_id <> all ($1)) as others
     from ecompipe.batch_ranges r join ecompipe.batches b using (batch_id)
     where r.file_id = any ($1)
     order by r.file_id, r.start_offset`,
    [fileIds],
  );
  await removeBatches(connection, [
    ...new Set(ranges.filter(({ others }) => others === 0).map(({ batchId }) => batchId)),
  ]);
  for (const range of ranges.filter(({ others }) => others > 0)) {
    const name = files.find(({ fileId }) => fileId === range.fileId)?.name ?? '?';
    const path = paths.get(range.fileId);
    if (range.target !== null)
      throw sharedByFeed(
        name,
        range,
        `its rows are in ${range.target}, where ecompipe knows the batch of a row but not its file`,
      );
    if (path === undefined) {
      throw new EcompipeError(EXIT.io, {
        what: `cannot undo ${printableLine(name)} alone`,
        why: `it shares batch ${range.batchId} with ${countOf(range.others, 'other file')}, only its contents tell which rows are its own, and it is neither in archive/ nor in processing/`,
        outcome: 'nothing was changed',
        hint: `put the file back, or undo all of them: ecompipe undo --batch ${range.batchId}`,
      });
    }
    const ids = range.feed === null ? idsIn(range, path) : idsByFeed(connection, name, range, path, remakeRows);
    await removeRange(connection, name, range, await ids);
  }
  await removeReplayed(connection, fileIds);
}

function sharedByFeed(name: string, { batchId, others }: RemovedRange, why: string): EcompipeError {
  return new EcompipeError(EXIT.io, {
    what: `cannot undo ${printableLine(name)} alone`,
    why: `it shares batch ${batchId} with ${countOf(others, 'other file')}, and ${why}`,
    outcome: 'nothing was changed',
    hint: `undo all of them: ecompipe undo --batch ${batchId}`,
  });
}

export async function removeBatches(connection: Connection, batchIds: readonly number[]): Promise<void> {
  await removeFromOtherTables(connection, batchIds);
  await removeRows(
    connection,
    `with gone as (delete from public.events where batch_id = any ($1) returning event_id) insert into ${REMOVED} select null, event_id::text from gone`,
    [batchIds],
  );
}

/** Triggers of the table's owner may fire. */
async function removeRows(connection: Connection, statement: string, values: readonly unknown[]): Promise<void> {
  await withUserPath(connection, () => connection.client.query(statement, [...values]));
}

/** Rows that feeds brought into tables of the user's own: they can be found where the table has a column for their batch. */
async function removeFromOtherTables(connection: Connection, batchIds: readonly number[]): Promise<void> {
  for (const target of await readOtherTables(connection, batchIds))
    await removeRows(
      connection,
      `with gone as (delete from ${target} e where e.batch_id = any ($1) returning ${await keyText(connection, target)} as key)
      insert into ${REMOVED} select $2, key from gone`,
      [batchIds, target],
    );
}

/** The tables beside that of events that batches are in. @throws EcompipeError (2) when one has no column for them. */
async function readOtherTables({ client }: Connection, batchIds: readonly number[]): Promise<string[]> {
  const rows = await queryRows(
    client,
    { target: text, hasBatch: boolean },
    `select distinct b.target,
            exists (select from pg_attribute a where a.attrelid = to_regclass(b.target) and a.attname = 'batch_id' and a.attnum > 0 and not a.attisdropped) as has_batch
     from ecompipe.batches b where b.batch_id = any ($1) and b.target is not null`,
    [batchIds],
  );
  const without = rows.find(({ hasBatch }) => !hasBatch);
  if (without !== undefined)
    throw new EcompipeError(EXIT.usage, {
      what: `cannot remove rows from ${printableLine(without.target)}`,
      why: 'it has no column batch_id, so the rows of a batch cannot be found in it',
      outcome: 'nothing was changed',
      hint: `before the next load: alter table ${without.target} add column batch_id bigint default nullif(current_setting('ecompipe.batch_id', true), '')::bigint`,
    });
  return rows.map(({ target }) => target);
}

/** An event id with its record's place, and which of the record's rows it is. */
interface PlacedId {
  readonly eventId: string;
  readonly byteOffset: number;
  readonly item: number;
}

async function idsIn({ startOffset, endOffset, firstLine, columns }: RemovedRange, path: string): Promise<PlacedId[]> {
  const bytes = await readContentRange(path, startOffset, endOffset);
  const ids = [...eventIdsOf({ bytes, startOffset, firstLine }, columns ?? undefined)];
  return ids.map(({ eventId, byteOffset }) => ({ eventId, byteOffset, item: 0 }));
}

async function idsByFeed(
  connection: Connection,
  file: string,
  range: RemovedRange,
  path: string,
  remakeRows: RemakeRows,
): Promise<PlacedId[]> {
  const { feed, startOffset, endOffset } = range;
  assert(feed !== null && startOffset === 0, 'only files that are loaded whole share a batch');
  const bytes = await readContentRange(path, startOffset, endOffset);
  const rows = await remakeRows(connection, { feed, file, bytes });
  return rows.map(({ key, ...place }) => ({ ...place, eventId: key }));
}

async function removeRange(
  connection: Connection,
  file: string,
  range: RemovedRange,
  ids: readonly PlacedId[],
): Promise<void> {
  const { batchId, fileId, feed, rowsInserted } = range;
  const rows = await queryRows(
    connection.client,
    { place: text },
    `select byte_offset || '/' || item as place from ecompipe.rejected_rows where file_id = $1
     union all select byte_offset || '/' || item from ecompipe.duplicate_rows where file_id = $1`,
    [fileId],
  );
  const elsewhere = new Set(rows.map(({ place }) => place));
  const eventIds = ids
    .filter(({ byteOffset, item }) => !elsewhere.has(`${byteOffset}/${item}`))
    .map(({ eventId }) => eventId);
  // Its SQL may ask for what is another now (the time, another table): other rows than its own must never go.
  if (feed !== null && eventIds.length !== rowsInserted)
    throw sharedByFeed(
      file,
      range,
      `feed ${feed.name} makes ${countOf(eventIds.length, 'row')} of it now, and made ${rowsInserted} then`,
    );
  await removeRows(
    connection,
    `with gone as (delete from public.events where event_id = any ($1::text[]::uuid[]) and batch_id = $2 returning event_id) insert into ${REMOVED} select null, event_id::text from gone`,
    [eventIds, batchId],
  );
}

/** What came into the tables by replays of the files' rejects came from these files too. */
async function removeReplayed(connection: Connection, fileIds: readonly number[]): Promise<void> {
  const { client } = connection;
  const rows = await queryRows(
    client,
    { batchId: integer },
    `select distinct resolved_batch_id as batch_id from ecompipe.rejected_rows where file_id = any ($1) and resolution = 'inserted'`,
    [fileIds],
  );
  const batchIds = rows.map(({ batchId }) => batchId);
  const resolved = `
    select r.resolved_key, r.resolved_batch_id from ecompipe.rejected_rows r join ecompipe.batches b on b.batch_id = r.resolved_batch_id
    where r.file_id = any ($1) and r.resolution = 'inserted' and b.target`;
  for (const target of await readOtherTables(connection, batchIds))
    await removeRows(
      connection,
      `with gone as (
         delete from ${target} e using (${resolved} = $2) as r
         where e.batch_id = r.resolved_batch_id and ${await keyText(connection, target)} = r.resolved_key
         returning r.resolved_key as key
       )
       insert into ${REMOVED} select $2, key from gone`,
      [fileIds, target],
    );
  await removeRows(
    connection,
    `with replayed as materialized (${resolved} is null), gone as (
       delete from public.events e using replayed r
       where e.event_id = r.resolved_key::uuid and e.batch_id = r.resolved_batch_id
       returning e.event_id
     )
     insert into ${REMOVED} select null, event_id::text from gone`,
    [fileIds],
  );
}

/** The key of a row `e` of a table, as the ledger writes it. */
async function keyText({ client }: Connection, target: string): Promise<string> {
  const rows = await queryRows(
    client,
    { name: text },
    `select quote_ident(a.attname) as name
     from pg_index i, unnest(i.indkey) with ordinality as k (attnum, position)
     join pg_attribute a on a.attnum = k.attnum
     where i.indrelid = $1::regclass and i.indisprimary and a.attrelid = i.indrelid and k.position <= i.indnkeyatts
     order by k.position`,
    [target],
  );
  const texts = rows.map(({ name }) => `e.${name}::pg_catalog.text`);
  return texts.length === 1 ? texts.join('') : `pg_catalog.json_build_array(${texts.join(', ')})::pg_catalog.text`;
}
