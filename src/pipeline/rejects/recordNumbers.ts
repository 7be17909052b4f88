import { frameRecords } from '../../contract/csv/frameRecords.js';
import { dialectOf } from '../../contract/feeds/bindFeed.js';
import type { Feed } from '../../contract/feeds/feed.js';
import { parseFeedHeader } from '../../contract/feeds/feedHeader.js';
import type { Connection } from '../../platform/db/client.js';
import { bytea, integer, nullable, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';
import { readContentRange } from '../../platform/files/contentRange.js';
import { locate } from '../../platform/files/dayFolders.js';

/** A rejected record, and the range of its file that it was loaded with. */
interface PlacedReject {
  readonly rejectId: number;
  readonly line: number;
  readonly byteOffset: number;
  readonly file: string;
  readonly sha256: Buffer;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly firstLine: number;
  /** Physical lines and records of the range (null: not counted), and records before it. */
  readonly lines: number;
  readonly records: number | null;
  readonly recordsBefore: number;
}

const PLACED_REJECT: Shape<PlacedReject> = {
  rejectId: integer,
  line: integer,
  byteOffset: integer,
  file: text,
  sha256: bytea,
  startOffset: integer,
  endOffset: integer,
  firstLine: integer,
  lines: integer,
  records: nullable(integer),
  recordsBefore: integer,
};

/**
 * The numbers of rejected records in their contents. Where each line of a range is a record, the ledger tells them;
 * elsewhere the records of the range are counted in the file.
 * @param directories where it may lie. @returns those that can be told.
 */
export async function findRecordNumbers(
  { client }: Connection,
  rejects: readonly { readonly rejectId: number; readonly feed: Feed; readonly fieldCount: number }[],
  directories: readonly string[],
): Promise<Map<number, number>> {
  const rows = await queryRows(client, PLACED_REJECT, PLACES, [rejects.map(({ rejectId }) => rejectId)]);
  const asked = new Map(rejects.map((reject) => [reject.rejectId, reject]));
  const numbers = new Map<number, number>();
  const reader = new RangeReader(directories);
  for (const place of rows) {
    const reject = asked.get(place.rejectId);
    if (reject === undefined) continue;
    const index =
      place.lines === place.records
        ? place.line - place.firstLine
        : await reader.indexOf(place, reject.feed, reject.fieldCount);
    if (index !== undefined) numbers.set(place.rejectId, place.recordsBefore + index + 1);
  }
  return numbers;
}

const PLACES = `
  select r.reject_id, r.line, r.byte_offset, f.name as file, f.sha256, g.start_offset, g.end_offset, g.first_line, g.records_read as records,
         coalesce(
           (select min(n.first_line) from ecompipe.range_entries n where n.file_id = g.file_id and n.start_offset >= g.end_offset),
           f.committed_lines + 1
         ) - g.first_line as lines,
         (select coalesce(sum(p.records_read), 0) from ecompipe.range_entries p where p.file_id = g.file_id and p.start_offset < g.start_offset)::int8 as records_before
  from ecompipe.rejected_rows r
  join ecompipe.files f using (file_id)
  join ecompipe.range_entries g on g.file_id = r.file_id and r.byte_offset >= g.start_offset and r.byte_offset < g.end_offset
  where r.reject_id = any ($1)
  order by r.file_id, r.byte_offset`;

/** Reads the ranges of files that rejects are of, each once where they are asked for in order. */
class RangeReader {
  private last: { readonly key: string; readonly starts: ReadonlyMap<number, number> | undefined } | undefined;

  constructor(private readonly directories: readonly string[]) {}

  /** Which record of its range begins where the reject does, from 0; undefined when nobody has the file. */
  async indexOf(place: PlacedReject, feed: Feed, fieldCount: number): Promise<number | undefined> {
    const key = `${place.sha256.toString('hex')} ${place.startOffset}`;
    if (this.last?.key !== key) this.last = { key, starts: await this.startsOf(place, feed, fieldCount) };
    return this.last.starts?.get(place.byteOffset);
  }

  /** The offsets at which the records of a range begin, each with its index. */
  private async startsOf(
    { file, sha256, startOffset, endOffset }: PlacedReject,
    feed: Feed,
    fieldCount: number,
  ): Promise<ReadonlyMap<number, number> | undefined> {
    const path = await locate(file, { sha256 }, this.directories);
    if (path === undefined) return undefined;
    const bytes = await readContentRange(path, startOffset, endOffset);
    const headerLength = startOffset === 0 ? (parseFeedHeader(bytes, feed, [])?.length ?? 0) : 0;
    const { records } = frameRecords(bytes.subarray(headerLength), true, fieldCount, Infinity, dialectOf(feed));
    const starts = new Map<number, number>();
    for (let index = 0; index < records.length; index++)
      starts.set(startOffset + headerLength + records.startOf(index), index);
    return starts;
  }
}
