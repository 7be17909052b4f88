import { canonicalShape, shapeOf, type Header, type RecordShape } from '../../contract/csv/header.js';
import { MAX_BATCH_ROWS, type Batch, type BatchPart } from './batch.js';
import type { Content } from './content.js';
import type { ReadFile } from './fileDisposer.js';
import { findRowEnd } from './ranges.js';

/** Files in one transaction: beyond some hundreds the commit is no longer what costs. */
const MAX_FILES = 500;

/**
 * Makes a small file one part of a batch.
 * @returns undefined when it has more rows than a batch may have.
 * @throws UnreadableFile when its header is not one of the table's.
 */
export function wholeFilePart(
  { name, fileStamp }: ReadFile,
  content: Pick<Content, 'sha256'>,
  bytes: Buffer,
  parse: (start: Buffer) => Header | undefined,
): { part: BatchPart; shape: RecordShape } | undefined {
  const header = parse(bytes);
  const bodyOffset = header?.length ?? bytes.length;
  const body = bytes.subarray(bodyOffset);
  const shape = header ?? canonicalShape([]);
  const { rows, lines, plain, end } = findRowEnd(body, true, shape, MAX_BATCH_ROWS);
  if (end < body.length) return undefined;
  const headerLines = header?.lines ?? 0;
  return {
    shape,
    part: {
      name,
      fileStamp,
      sha256: content.sha256,
      fileId: undefined,
      fileSize: bytes.length,
      startOffset: 0,
      endOffset: bytes.length,
      firstLine: 1 + headerLines,
      lines: lines + headerLines,
      body,
      bodyOffset,
      isLast: true,
      firstRecord: 1,
      rows,
      plain,
    },
  };
}

/** A key that is quick to make. */
function contentKey({ sha256 }: BatchPart): string {
  return sha256.toString('latin1');
}

/** Collects small files until they fill a transaction. */
export class SmallFileGroup<File> {
  private parts: BatchPart[] = [];
  private files: File[] = [];
  private shape: RecordShape = canonicalShape([]);
  private bytes = 0;
  private rows = 0;
  private readonly seen = new Set<string>();

  constructor(
    private readonly batchBytes: number,
    private readonly mostFiles = MAX_FILES,
  ) {}

  get isFull(): boolean {
    return this.bytes >= this.batchBytes || this.files.length >= this.mostFiles;
  }

  /** Whether a part may come into the same COPY: the same columns, and not the same content twice. */
  accepts(part: BatchPart, { columns, fieldCount, feed }: RecordShape): boolean {
    if (this.files.length === 0) return true;
    const sameColumns =
      feed === this.shape.feed &&
      fieldCount === this.shape.fieldCount &&
      columns.length === this.shape.columns.length &&
      columns.every((column, index) => column === this.shape.columns[index]);
    return (
      sameColumns &&
      !this.seen.has(contentKey(part)) &&
      this.bytes + part.fileSize <= this.batchBytes &&
      this.rows + part.rows <= MAX_BATCH_ROWS
    );
  }

  add(file: File, part: BatchPart, shape: RecordShape): void {
    this.files.push(file);
    this.parts.push(part);
    this.shape = shape;
    this.bytes += part.fileSize;
    this.rows += part.rows;
    this.seen.add(contentKey(part));
  }

  /** Hands the collected files over and starts anew; undefined when there are none. */
  take(): { batch: Batch; files: File[] } | undefined {
    if (this.files.length === 0) return undefined;
    const batch = { ...shapeOf(this.shape), parts: this.parts, isDurable: true };
    const taken = { batch, files: this.files };
    this.parts = [];
    this.files = [];
    this.bytes = 0;
    this.rows = 0;
    this.seen.clear();
    return taken;
  }
}
