import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import copyFrom from 'pg-copy-streams';
import { MAX_RECORD_BYTES } from '../../contract/csv/bytes.js';
import { frameRecords } from '../../contract/csv/frameRecords.js';
import { parseHeader, type Header } from '../../contract/csv/header.js';
import { contentChunks, readContentRange } from '../../platform/files/contentRange.js';
import type { Connection } from '../../platform/db/client.js';
import { EVENT_COLUMNS } from '../../contract/columns.js';

const CHUNK_BYTES = 4 * 2 ** 20;

/** Creates `file_row`: rows of files with their place, in the types of the table. */
export async function createFileRows({ client }: Connection): Promise<void> {
  await client.query(
    `create temp table file_row as select 0::bigint as file_no, 0::bigint as line, ${EVENT_COLUMNS.join(', ')} from public.events where false`,
  );
}

/**
 * Copies the rows of a file that PostgreSQL must accept into `file_row`; those at `rejectedLines` are left out.
 * @throws what the server says when it doesn't accept one after all, or the file system when the file can't be read.
 */
export async function rereadFile(
  { client }: Connection,
  fileNo: number,
  path: string,
  rejectedLines: ReadonlySet<number>,
): Promise<void> {
  const header = await readHeader(path);
  if (header === undefined) return;
  const copy = client.query(
    copyFrom.from(`copy file_row (file_no, line, ${header.columns.join(', ')}) from stdin (format csv)`),
  );
  await pipeline(Readable.from(acceptedRows(path, header, fileNo, rejectedLines)), copy);
}

async function readHeader(path: string): Promise<Header | undefined> {
  const start = await readContentRange(path, 0, MAX_RECORD_BYTES + 4096);
  return start.length === 0 ? undefined : parseHeader(start, { known: EVENT_COLUMNS, required: [] });
}

/** Each row's own bytes behind its place: COPY parses them as it did when they were loaded. */
async function* acceptedRows(
  path: string,
  header: Header,
  fileNo: number,
  rejectedLines: ReadonlySet<number>,
): AsyncGenerator<Buffer> {
  let line = 1 + header.lines;
  let rest: Buffer = Buffer.alloc(0);
  const rowsOf = (atEof: boolean): Buffer => {
    const { records, end, lines } = frameRecords(rest, atEof, header.columns.length);
    const pieces = [...records].flatMap((record) =>
      record.defect !== undefined || rejectedLines.has(line + record.line)
        ? []
        : [Buffer.from(`${fileNo},${line + record.line},`), rest.subarray(record.start, record.end), NEWLINE],
    );
    line += lines;
    rest = rest.subarray(end);
    return Buffer.concat(pieces);
  };
  let toSkip = header.length;
  let pending: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of contentChunks(path, CHUNK_BYTES)) {
    const skipped = Math.min(toSkip, chunk.length);
    toSkip -= skipped;
    pending.push(chunk.subarray(skipped));
    bytes += chunk.length;
    // Decompressed chunks are small: framing what is left of the one before for each would take its time.
    if (bytes < CHUNK_BYTES) continue;
    rest = Buffer.concat([rest, ...pending]);
    [pending, bytes] = [[], 0];
    yield rowsOf(false);
  }
  rest = Buffer.concat([rest, ...pending]);
  yield rowsOf(true);
}

const NEWLINE = Buffer.from('\n');
