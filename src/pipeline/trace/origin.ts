import type { Connection } from '../../platform/db/client.js';
import { eventIdsOf, type PlacedEvent } from '../../contract/csv/eventIds.js';
import { readContentRange } from '../../platform/files/contentRange.js';
import { locate } from '../../platform/files/dayFolders.js';
import { errnoOf } from '../../platform/errors.js';
import type { Origin } from './types.js';
import {
  arrayOf,
  boolean,
  bytea,
  integer,
  nullable,
  queryRows,
  type Shape,
  text,
} from '../../platform/db/decodeRows.js';

interface OriginRange extends Omit<Origin, 'line' | 'sha256'> {
  /** Offsets of rows that are not in the table: rejects and duplicates. */
  readonly elsewhere: readonly number[];
  readonly sha256: Buffer;
  readonly columns: readonly string[] | null;
  /** A feed made its ids: its bytes do not have them. */
  readonly isByFeed: boolean;
}

const ORIGIN_RANGE: Shape<OriginRange> = {
  elsewhere: arrayOf(integer),
  sha256: bytea,
  columns: nullable(arrayOf(text)),
  isByFeed: boolean,
  rows: integer,
  file: text,
  startOffset: integer,
  endOffset: integer,
  firstLine: integer,
};

/**
 * Finds the row of an event in the files of its batch. A row knows its batch and not its file or line, so the bytes of the
 * batch's ranges are read again where they still are; a batch is some megabytes.
 * @returns the one place; or all ranges that it can be from.
 */
export async function findOrigins(
  { client }: Connection,
  eventId: string,
  batchId: number,
  directories: readonly string[],
): Promise<Origin[]> {
  const ranges = await queryRows(
    client,
    ORIGIN_RANGE,
    `select f.name as file, f.sha256, r.start_offset, r.end_offset, r.first_line, r.rows_inserted as rows, ecompipe.columns_of(b) as columns, b.feed_id is not null as is_by_feed,
            array(select byte_offset from ecompipe.rejected_rows x where x.file_id = r.file_id union all select byte_offset from ecompipe.duplicate_rows x where x.file_id = r.file_id) as elsewhere
     from ecompipe.batch_ranges r join ecompipe.files f using (file_id) join ecompipe.batches b on b.batch_id = r.batch_id
     where r.batch_id = $1 and r.rows_inserted > 0
     order by f.name`,
    [batchId],
  );
  const unread: Origin[] = [];
  for (const { columns, sha256, elsewhere, isByFeed, ...range } of ranges) {
    const origin = { ...range, sha256: sha256.toString('hex') };
    const path = isByFeed ? undefined : await locate(range.file, { sha256 }, directories);
    const lines =
      path === undefined
        ? undefined
        : (await placesOf(path, range, columns, eventId))
            ?.filter(({ byteOffset }) => !elsewhere.includes(byteOffset))
            .map(({ line }) => line);
    if (lines?.[0] !== undefined) return [{ ...origin, line: lines[0] }];
    if (lines === undefined) unread.push({ ...origin, line: undefined });
  }
  return unread;
}

/** @returns undefined when the file went away while we looked. */
async function placesOf(
  path: string,
  { startOffset, endOffset, firstLine }: Pick<OriginRange, 'startOffset' | 'endOffset' | 'firstLine'>,
  columns: readonly string[] | null,
  eventId: string,
): Promise<PlacedEvent[] | undefined> {
  if (columns === null && startOffset > 0) return undefined;
  try {
    const bytes = await readContentRange(path, startOffset, endOffset);
    const wanted = plainId(eventId);
    const rows = eventIdsOf({ bytes, startOffset, firstLine }, columns ?? undefined, (row) =>
      plainId(row.toString('latin1')).includes(wanted),
    );
    return [...rows].filter((row) => plainId(row.eventId) === wanted);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** PostgreSQL reads a UUID in any case, with or without hyphens and braces. */
export function plainId(text: string): string {
  return text.replace(/[-{}]/g, '').toLowerCase();
}
