import { MAX_RECORD_BYTES } from '../../contract/csv/bytes.js';
import { countRows } from '../../contract/csv/countRows.js';
import { frameRecords } from '../../contract/csv/frameRecords.js';
import type { Header, RecordShape } from '../../contract/csv/header.js';
import { MAX_BATCH_ROWS, type BatchPart } from './batch.js';
import { FileChanged, type Content, type ContentReader } from './content.js';

/** Where a load goes on: what the ledger has committed of the file. */
export interface ResumePoint {
  readonly offset: number;
  /** Physical lines before it. */
  readonly lines: number;
  /** Records before it. */
  readonly records: number;
}

export interface RangeSource {
  readonly name: string;
  readonly fileStamp: string;
  readonly fileId: number;
  readonly content: Content;
  readonly header: Header;
}

/** Where the first so many rows of a body end: by the quick count where that can be trusted, else record by record. */
export function findRowEnd(
  body: Buffer,
  atEof: boolean,
  { dialect, fieldCount }: Pick<RecordShape, 'dialect' | 'fieldCount'>,
  maxRows: number,
): Pick<BatchPart, 'plain' | 'rows' | 'lines'> & { end: number } {
  const quick = countRows(body, atEof, maxRows, dialect);
  if (quick.plain) return quick;
  const { records, end, lines } = frameRecords(body, atEof, fieldCount, maxRows, dialect);
  return { plain: false, rows: records.length, lines, end };
}

/** A range and the memory that holds its bytes, to be given back when nothing reads them any more. */
export interface ReadRange {
  readonly part: BatchPart;
  readonly release: () => void;
}

/** Memory for ranges, used again and again: fresh megabytes for each range cost page faults and garbage collections. */
class BufferPool {
  private readonly free: Buffer[] = [];

  /** At least so many bytes. */
  take(size: number): Buffer {
    const index = this.free.findIndex((buffer) => buffer.length >= size);
    return (index === -1 ? undefined : this.free.splice(index, 1)[0]) ?? Buffer.allocUnsafeSlow(size);
  }

  give(buffer: Buffer): void {
    this.free.push(buffer);
  }
}

/** Smaller ranges than this cost more for their transaction than they bring. */
const MIN_TAIL_BYTES = 2 ** 20;

/** What is left is shared among the connections: with whole batches to the end, the last one would load while the others idle. */
function rangeBytes(batchBytes: number, remaining: number, parallel: number): number {
  if (parallel === 1) return batchBytes;
  return Math.min(batchBytes, Math.max(MIN_TAIL_BYTES, Math.ceil(remaining / (2 * parallel))));
}

/**
 * Cuts a large file into ranges of about `batchBytes` that end where rows end, from the resume point on.
 * @param parallel how many ranges load at the same time.
 */
export async function* readRanges(
  { name, fileStamp, fileId, content, header }: RangeSource,
  from: ResumePoint,
  batchBytes: number,
  parallel: number,
): AsyncGenerator<ReadRange> {
  let startOffset = from.offset;
  let lineCount = from.lines;
  let recordCount = from.records;
  let bodyOffset = Math.max(startOffset, header.length);
  if (startOffset < header.length) lineCount += header.lines;
  const reader = await content.openAt(bodyOffset);
  const pool = new BufferPool();
  let carry: Buffer = Buffer.alloc(0);
  try {
    for (;;) {
      const { memory, body, atEof, cut } = await nextBody(
        reader,
        pool,
        carry,
        rangeBytes(batchBytes, content.size - bodyOffset, parallel),
        header,
      );
      const endOffset = bodyOffset + cut.end;
      const isLast = endOffset === content.size;
      if (atEof && cut.end === body.length && !isLast) throw new FileChanged(name);
      const firstLine = lineCount + 1;
      const headerLines = startOffset < header.length ? header.lines : 0;
      // Its own bytes: the memory may be another range's by the time they are read.
      carry = Buffer.from(body.subarray(cut.end));
      const part = {
        name,
        fileStamp,
        sha256: content.sha256,
        fileId,
        fileSize: content.size,
        startOffset,
        endOffset,
        firstLine,
        lines: cut.lines + headerLines,
        body: body.subarray(0, cut.end),
        following: body.subarray(cut.end),
        bodyOffset,
        isLast,
        firstRecord: recordCount + 1,
        rows: cut.rows,
        plain: cut.plain,
      };
      yield { part, release: () => pool.give(memory) };
      if (isLast) return;
      lineCount += cut.lines;
      recordCount += cut.rows;
      startOffset = bodyOffset = endOffset;
    }
  } finally {
    await reader.close();
  }
}

interface ReadBytes {
  readonly memory: Buffer;
  readonly body: Buffer;
  readonly atEof: boolean;
}

/** The next bytes and where their rows end; where not one does, as many more as the longest record may need. */
async function nextBody(
  reader: ContentReader,
  pool: BufferPool,
  carry: Buffer,
  batchBytes: number,
  shape: RecordShape,
): Promise<ReadBytes & { cut: ReturnType<typeof findRowEnd> }> {
  const read = await readMore(reader, pool, carry, batchBytes);
  const cut = findRowEnd(read.body, read.atEof, shape, MAX_BATCH_ROWS);
  if (cut.end > 0 || read.atEof) return { ...read, cut };
  const more = await readMore(reader, pool, read.body, read.body.length + MAX_RECORD_BYTES + 1);
  pool.give(read.memory);
  return { ...more, cut: findRowEnd(more.body, more.atEof, shape, MAX_BATCH_ROWS) };
}

async function readMore(reader: ContentReader, pool: BufferPool, carry: Buffer, size: number): Promise<ReadBytes> {
  const wanted = Math.max(size, carry.length + 1);
  const memory = pool.take(wanted);
  carry.copy(memory);
  const length = carry.length + (await reader.read(memory.subarray(carry.length, wanted)));
  return { memory, body: memory.subarray(0, length), atEof: length < wanted };
}
