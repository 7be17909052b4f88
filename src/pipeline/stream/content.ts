import { createHash, hash, type Hash } from 'node:crypto';
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { MAX_HEADER_BYTES, UnreadableFile } from '../../contract/csv/header.js';
import { MAX_RECORD_BYTES } from '../../contract/csv/bytes.js';
import { FileError } from '../../platform/errors.js';
import { chunksOf } from '../../platform/files/copy.js';
import { DamagedGzipError, gunzipChunks, gunzipWhole, isGzipName } from '../../platform/files/gzip.js';
import { COPY_START_BYTES, parseCopyStart } from '../../platform/files/gzipCopy.js';
import { failpoint } from '../../platform/failpoint.js';
import { printableLine } from '../../platform/printable.js';

/** The (decompressed) bytes of a file, read in order from some offset on. */
export interface ContentReader {
  /** Fills `target` from its start and returns the bytes read; fewer than its length only at the end. */
  read(target: Buffer): Promise<number>;
  close(): Promise<void>;
}

/** A file's identity and content: all of it when it is small, else the means to read it. */
export interface Content {
  /** SHA-256 of the file's bytes as delivered: compressed ones for .gz, but not for a compressed copy that we made. */
  readonly sha256: Buffer;
  /** Tells this very file from another one under the same name. */
  readonly fileStamp: string;
  /** Bytes of the (decompressed) content. */
  readonly size: number;
  /** The whole content, when it fits into one batch. */
  readonly whole: Buffer | undefined;
  /** Why the bytes as such can't be read (a damaged .gz); size and content mean nothing then. */
  readonly fault: UnreadableFile | undefined;
  openAt(offset: number): Promise<ContentReader>;
  close(): Promise<void>;
}

/** The file changed while it was read, against the contract of processing/: leave it for the next round. */
export class FileChanged extends FileError {
  constructor(file: string) {
    super(file, undefined, {
      what: `cannot load ${printableLine(file)}`,
      why: 'it changed while it was read',
      hint: 'write files elsewhere and rename them into processing/, as `ecompipe move` does',
    });
  }
}

/** Not a regular file (a FIFO would block its reader for ever): left alone. */
export class NotARegularFile extends Error {}

/** Never follows a symbolic link and never waits for a FIFO's writer. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const HASH_CHUNK_BYTES = 2 ** 20;
/** Enough for the lines that a feed skips and the longest header. */
export const START_BYTES = MAX_RECORD_BYTES + MAX_HEADER_BYTES;

/**
 * Reads a file that fits into a batch at once and identifies it. Synchronous: for small files the thread pool costs more
 * than the system calls.
 * @returns undefined when it is too large for that; see {@link openLarge}.
 */
export function readSmall(path: string, limitBytes: number, maxBytes = Infinity): Content | undefined {
  const descriptor = openSync(path, OPEN_FLAGS);
  try {
    failpoint('file-opened');
    const stats = fstatSync(descriptor, { bigint: true });
    if (!stats.isFile()) throw new NotARegularFile(path);
    if (stats.size > limitBytes) return undefined;
    const size = Number(stats.size);
    const bytes = Buffer.allocUnsafe(size + 1);
    let length = 0;
    // One byte of room more than it has: a file that grew shows without another call that finds its end.
    for (let count = -1; count !== 0 && length < size;) {
      count = readSync(descriptor, bytes, length, bytes.length - length, null);
      length += count;
    }
    if (length !== size) throw new FileChanged(path);
    const raw = bytes.subarray(0, length);
    const { whole, fault } = isGzipName(path) ? gunzipWithin(raw, limitBytes) : { whole: raw };
    if (whole === undefined) return undefined;
    const isCopy = isGzipName(path) && fault === undefined && parseCopyStart(raw) !== undefined;
    const delivered = isCopy ? whole : raw;
    return {
      // At once: an object for each small file takes as long as its hash.
      sha256: hash('sha256', delivered, 'buffer'),
      fileStamp: fileStampOf(stats),
      size: whole.length,
      whole,
      fault: fault ?? (whole.length > maxBytes ? tooLong(maxBytes) : undefined),
      openAt: () => Promise.reject(new TypeError('a small file is read whole')),
      close: () => Promise.resolve(),
    };
  } finally {
    closeSync(descriptor);
  }
}

/** The decompressed bytes; `whole` is undefined when they are more than one batch. */
function gunzipWithin(raw: Buffer, limitBytes: number): { whole: Buffer | undefined; fault?: UnreadableFile } {
  try {
    return { whole: gunzipWhole(raw, limitBytes) };
  } catch (error) {
    return { whole: Buffer.alloc(0), fault: unreadable(error) };
  }
}

/** What is asked of a file before all of it is read. */
export interface ReadLimits {
  /** Bytes of (decompressed) content. Default: any number. */
  readonly maxBytes?: number;
  /** Looks at the first bytes; what it throws ({@link UnreadableFile}) is why the rest is not read. */
  readonly judgeStart?: (start: Buffer) => Promise<void>;
  /** Ends the reading: hashing a terabyte takes half an hour. */
  readonly stop?: AbortSignal;
}

/**
 * Opens a file of any size, hashes it (and checks all of a .gz), and keeps it open: what is loaded is what was hashed. What
 * its size or its first bytes say is known before that.
 * @throws the reason of `stop` when that aborts.
 */
export async function openLarge(path: string, limits: ReadLimits = {}): Promise<Content> {
  const file = await open(path, OPEN_FLAGS);
  try {
    failpoint('file-opened');
    const before = await file.stat({ bigint: true });
    if (!before.isFile()) throw new NotARegularFile(path);
    const isGzip = isGzipName(path);
    const { sha256, size, fault } = await identify(file, Number(before.size), isGzip, limits);
    const after = await file.stat({ bigint: true });
    if (fileStampOf(before) !== fileStampOf(after)) throw new FileChanged(path);
    return {
      sha256,
      fileStamp: fileStampOf(before),
      size,
      whole: undefined,
      fault,
      openAt: (offset) => Promise.resolve(isGzip ? gzipReader(file, offset) : plainReader(file, offset)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** CSV becomes three to thirty times as short. Up to the smaller limit, nobody minds what a .gz becomes. */
const MAX_GZIP_RATIO = 100;
const MIN_GZIP_LIMIT_BYTES = 64 * 2 ** 20;

/** Up to this size, also a file that is not loaded is known by its hash. */
const MAX_HASHED_UNREAD_BYTES = 2 ** 30;

type Identity = Pick<Content, 'sha256' | 'size' | 'fault'>;

async function identify(file: FileHandle, bytes: number, isGzip: boolean, limits: ReadLimits): Promise<Identity> {
  const early = await faultOf(() => judge(file, bytes, isGzip, limits));
  if (early !== undefined && bytes > MAX_HASHED_UNREAD_BYTES)
    return { sha256: await nameUnread(file, bytes), size: bytes, fault: early };
  const { sha256, size: read } = await hashPlain(file, limits.stop);
  if (early !== undefined) return { sha256, size: bytes, fault: early };
  if (!isGzip) return { sha256, size: read, fault: undefined };
  const start = Buffer.alloc(COPY_START_BYTES);
  const isCopy = parseCopyStart(start.subarray(0, await plainReader(file, 0).read(start))) !== undefined;
  const content = createHash('sha256');
  let size = 0;
  const fault = await faultOf(async () => {
    size = await measureGzip(file, bytes, limits, isCopy ? content : undefined);
  });
  return { sha256: isCopy && fault === undefined ? content.digest() : sha256, size, fault };
}

/** What can be said against a file before all of it is read. */
async function judge(file: FileHandle, bytes: number, isGzip: boolean, limits: ReadLimits): Promise<void> {
  const { maxBytes = Infinity, judgeStart } = limits;
  if (bytes > maxBytes) throw tooLong(maxBytes);
  if (judgeStart === undefined) return;
  const start = Buffer.alloc(START_BYTES);
  const reader = isGzip ? gzipReader(file, 0) : plainReader(file, 0);
  try {
    await judgeStart(start.subarray(0, await reader.read(start)));
  } finally {
    await reader.close();
  }
}

async function faultOf(action: () => Promise<void>): Promise<UnreadableFile | undefined> {
  try {
    await action();
    return undefined;
  } catch (error) {
    if (error instanceof UnreadableFile) return error;
    throw error;
  }
}

/**
 * Stands for the hash of a file that is never read: minutes of reading would say no more than that it came. Delivered again
 * it is the same; once it is loaded after all (another table, a higher limit), it is known by its hash, as another file.
 */
async function nameUnread(file: FileHandle, bytes: number): Promise<Buffer> {
  const start = Buffer.alloc(START_BYTES);
  await plainReader(file, 0).read(start);
  return createHash('sha256').update(`not read, ${bytes} bytes that begin with\n`).update(start).digest();
}

/**
 * What the ledger may know a file by of which not everything was loaded: its hash, or the name that stands for it where the
 * file was never read.
 * @throws as {@link openLarge}.
 */
export async function quarantinedIdentities(path: string, stop: AbortSignal): Promise<readonly Buffer[]> {
  const content = await openLarge(path, { stop });
  await content.close();
  const file = await open(path, OPEN_FLAGS);
  try {
    const { size } = await file.stat();
    return size > MAX_HASHED_UNREAD_BYTES ? [content.sha256, await nameUnread(file, size)] : [content.sha256];
  } finally {
    await file.close();
  }
}

export function tooLong(maxBytes: number): UnreadableFile {
  return new UnreadableFile(`the file has more than ${maxBytes} bytes (--max-file-bytes)`);
}

export function tooInflated(): UnreadableFile {
  return new UnreadableFile(
    `the gzip data becomes more than ${MAX_GZIP_RATIO} times as long, which no delivery of events does; decompress it to load it all the same`,
  );
}

/** ctime is left out: publishing by link and unlink changes it. */
export function fileStampOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}`;
}

/**
 * Whether a file was written to since it was read: it still stands under its name, as the same inode, and has another
 * size or time. One that is gone, or has given its name to another file, was finished when it was read.
 */
export function wasWrittenTo(path: string, fileStamp: string): boolean {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats !== undefined && fileStampOf(stats) !== fileStamp && fileStamp.startsWith(`${stats.dev}:${stats.ino}:`);
}

/** The modification time in a fileStamp, in milliseconds since 1970. */
export function writtenAtMs(fileStamp: string): number {
  return Number(fileStamp.slice(fileStamp.lastIndexOf(':') + 1)) / 1e6;
}

/** The next bytes are read while the last ones are hashed: a large file waits for this before its first row is sent. */
async function hashPlain(file: FileHandle, stop: AbortSignal | undefined): Promise<{ sha256: Buffer; size: number }> {
  const hash = createHash('sha256');
  const buffers = [Buffer.allocUnsafe(HASH_CHUNK_BYTES), Buffer.allocUnsafe(HASH_CHUNK_BYTES)] as const;
  const read = (chunk: number, position: number): Promise<Buffer> => {
    const buffer = buffers[chunk % 2 === 0 ? 0 : 1];
    return file.read(buffer, 0, buffer.length, position).then(({ bytesRead }) => buffer.subarray(0, bytesRead));
  };
  let size = 0;
  let next = read(0, 0);
  for (let chunk = 1; ; chunk++) {
    const bytes = await next;
    stop?.throwIfAborted();
    if (bytes.length === 0) return { sha256: hash.digest(), size };
    size += bytes.length;
    next = read(chunk, size);
    hash.update(bytes);
  }
}

/**
 * All of a .gz is decompressed once before the first row of it is loaded: it may be damaged at its end.
 * @param content gets the decompressed bytes.
 */
async function measureGzip(
  file: FileHandle,
  compressedBytes: number,
  { maxBytes = Infinity, stop }: ReadLimits,
  content?: Hash,
): Promise<number> {
  const reader = gzipReader(file, 0);
  const buffer = Buffer.allocUnsafe(HASH_CHUNK_BYTES);
  const inflated = Math.max(MIN_GZIP_LIMIT_BYTES, MAX_GZIP_RATIO * compressedBytes);
  try {
    for (let size = 0; ;) {
      const count = await reader.read(buffer);
      stop?.throwIfAborted();
      if (count === 0) return size;
      content?.update(buffer.subarray(0, count));
      size += count;
      if (size > maxBytes) throw tooLong(maxBytes);
      if (size > inflated) throw tooInflated();
    }
  } finally {
    await reader.close();
  }
}

function plainReader(file: FileHandle, offset: number): ContentReader {
  let position = offset;
  return {
    read: async (target) => {
      let filled = 0;
      while (filled < target.length) {
        const { bytesRead } = await file.read(target, filled, target.length - filled, position);
        if (bytesRead === 0) break;
        filled += bytesRead;
        position += bytesRead;
      }
      return filled;
    },
    close: () => Promise.resolve(),
  };
}

function gzipReader(file: FileHandle, offset: number): ContentReader {
  const chunks = gunzipChunks(chunksOf(file));
  let rest: Buffer = Buffer.alloc(0);
  let toSkip = offset;
  const refill = async (): Promise<boolean> => {
    try {
      const next = await chunks.next();
      if (next.done === true) return false;
      const skipped = Math.min(toSkip, next.value.length);
      toSkip -= skipped;
      rest = next.value.subarray(skipped);
      return true;
    } catch (error) {
      throw unreadable(error);
    }
  };
  return {
    read: async (target) => {
      let filled = 0;
      while (filled < target.length && (rest.length > 0 || (await refill()))) {
        const count = rest.copy(target, filled);
        rest = rest.subarray(count);
        filled += count;
      }
      return filled;
    },
    close: async () => {
      await chunks.return(undefined);
    },
  };
}

/** Damage of a .gz is the file's fault; anything else stays what it is. */
function unreadable(error: unknown): UnreadableFile {
  if (!(error instanceof DamagedGzipError)) throw error;
  return new UnreadableFile('the gzip data is cut short or damaged', { cause: error });
}
