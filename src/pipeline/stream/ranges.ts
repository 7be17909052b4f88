import { MAX_RECORD_BYTES } from '../../core/csv/bytes.js';
import { countRows } from '../../core/csv/countRows.js';
import { frameRecords } from '../../core/csv/frameRecords.js';
import type { Header } from '../../core/csv/header.js';
import type { BatchPart } from './batch.js';
import { FileChanged, type Content, type ContentReader } from './content.js';

/** Where a load goes on: what the ledger has committed of the file. */
export interface ResumePoint {
  readonly offset: number;
  /** Physical lines before it. */
  readonly lines: number;
}

export interface RangeSource {
  readonly name: string;
  readonly signature: string;
  readonly fileId: number;
  readonly content: Content;
  readonly header: Header;
}

/** Where rows of a body end: by the quick count where that can be trusted, else record by record. */
export function measure(body: Buffer, atEof: boolean, fieldCount: number): Pick<BatchPart, 'plain' | 'rows' | 'lines'> & { end: number } {
  const quick = countRows(body, atEof);
  if (quick.plain) return quick;
  const { records, end, lines } = frameRecords(body, atEof, fieldCount);
  return { plain: false, rows: records.length, lines, end };
}

/** Cuts a large file into ranges of about `batchBytes` that end where rows end, from the resume point on. */
export async function* readRanges({ name, signature, fileId, content, header }: RangeSource, from: ResumePoint, batchBytes: number): AsyncGenerator<BatchPart> {
  let startOffset = from.offset;
  let lineCount = from.lines;
  let bodyOffset = Math.max(startOffset, header.length);
  if (startOffset < header.length) lineCount += header.lines;
  const reader = await content.openAt(bodyOffset);
  let carry: Buffer = Buffer.alloc(0);
  try {
    for (;;) {
      const { body, atEof, cut } = await nextBody(reader, carry, batchBytes, header.columns.length);
      const endOffset = bodyOffset + cut.end;
      const isLast = endOffset === content.size;
      if (atEof && !isLast) throw new FileChanged(name);
      const firstLine = lineCount + 1;
      const headerLines = startOffset < header.length ? header.lines : 0;
      yield { name, signature, sha256: content.sha256, fileId, fileSize: content.size, startOffset, endOffset, firstLine, lines: cut.lines + headerLines, body: body.subarray(0, cut.end), bodyOffset, isLast, rows: cut.rows, plain: cut.plain };
      if (isLast) return;
      carry = body.subarray(cut.end);
      lineCount += cut.lines;
      startOffset = bodyOffset = endOffset;
    }
  } finally {
    await reader.close();
  }
}

/** The next bytes and where their rows end; where not one does, as many more as the longest record may need. */
async function nextBody(reader: ContentReader, carry: Buffer, batchBytes: number, fieldCount: number): Promise<{ body: Buffer; atEof: boolean; cut: ReturnType<typeof measure> }> {
  const { bytes, atEof } = await readMore(reader, carry, batchBytes);
  const cut = measure(bytes, atEof, fieldCount);
  if (cut.end > 0 || atEof) return { body: bytes, atEof, cut };
  const more = await readMore(reader, bytes, bytes.length + MAX_RECORD_BYTES + 1);
  return { body: more.bytes, atEof: more.atEof, cut: measure(more.bytes, more.atEof, fieldCount) };
}

async function readMore(reader: ContentReader, carry: Buffer, size: number): Promise<{ bytes: Buffer; atEof: boolean }> {
  const bytes = Buffer.allocUnsafeSlow(Math.max(size, carry.length + 1));
  carry.copy(bytes);
  const count = await reader.read(bytes.subarray(carry.length));
  const length = carry.length + count;
  return { bytes: bytes.subarray(0, length), atEof: length < bytes.length };
}
