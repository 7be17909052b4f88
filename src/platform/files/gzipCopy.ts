import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, gzipSync } from 'node:zlib';
import { chunksOf, READ_FLAGS, type Conversion } from './copy.js';
import { errnoOf } from '../errors.js';
import { DamagedGzipError, gunzipChunks, isGzipName } from './gzip.js';

/**
 * How our compressed copy of a file begins: a gzip header (RFC 1952, section 2.3) whose extra field has the identifier `EC` and
 * what a copy would else forget. By it a copy is told from a .gz that somebody delivered: a copy has the identity of the
 * file that it was made of, whose SHA-256 is that of the decompressed bytes.
 */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 20, 0, 0x45, 0x43, 16, 0]);
export const COPY_START_BYTES = HEADER.length + 16;
/** The header that zlib writes, which ours replaces: of fixed length, without any optional field. */
const ZLIB_HEADER_BYTES = 10;

/** Events become 4.8 times as small, at 80 MB/s; by zlib's usual level 6 it is 5.3 times, at half the speed. */
const LEVEL = 3;
/** Compressed at once, in less than a millisecond: for small files a stream costs more than the compression. */
const MAX_SYNC_BYTES = 64 * 1024;

/** What a compressed copy says of the file that it was made of. */
export interface CopiedFile {
  readonly bytes: number;
  /** When the file came where it was copied (its ctime), in milliseconds since 1970. */
  readonly changedAtMs: number;
}

/** @returns undefined when a file that begins so is not one of our compressed copies. */
export function parseCopyStart(start: Buffer): CopiedFile | undefined {
  if (start.length < COPY_START_BYTES || !start.subarray(0, HEADER.length).equals(HEADER)) return undefined;
  return {
    bytes: Number(start.readBigUInt64LE(HEADER.length)),
    changedAtMs: Number(start.readBigUInt64LE(HEADER.length + 8)),
  };
}

/** What the compressed copy of a file is called. */
export function copyName(name: string): string {
  return `${name}.gz`;
}

/** Looks whether a file is one of our compressed copies: by its name first, as most are not. */
export async function readCopyStart(file: string): Promise<CopiedFile | undefined> {
  if (!isGzipName(file)) return undefined;
  const handle = await open(file, READ_FLAGS);
  try {
    const start = Buffer.alloc(COPY_START_BYTES);
    const { bytesRead } = await handle.read(start, 0, start.length, 0);
    return parseCopyStart(start.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

/** Makes a compressed copy. */
export const compress: Conversion = async function* (source, { size, ctimeMs }) {
  const start = Buffer.alloc(COPY_START_BYTES);
  HEADER.copy(start);
  start.writeBigUInt64LE(size, HEADER.length);
  start.writeBigUInt64LE(ctimeMs, HEADER.length + 8);
  yield start;
  if (size <= MAX_SYNC_BYTES) {
    const chunks = [];
    for await (const chunk of source) chunks.push(chunk);
    yield gzipSync(Buffer.concat(chunks), { level: LEVEL }).subarray(ZLIB_HEADER_BYTES);
    return;
  }
  const engine = createGzip({ level: LEVEL });
  // What goes wrong with the source also ends the engine, and is thrown below.
  const feeding = pipeline(Readable.from(source), engine).catch(() => undefined);
  let skipped = 0;
  try {
    for await (const chunk of engine as AsyncIterable<Buffer>) {
      const rest = chunk.subarray(Math.min(chunk.length, ZLIB_HEADER_BYTES - skipped));
      skipped += chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  } finally {
    engine.destroy();
    await feeding;
  }
};

/** Makes of a compressed copy the file that it was made of. */
export const decompress: Conversion = (source) => gunzipChunks(source);

/**
 * SHA-256 of a file's bytes as they were delivered, by which the ledger knows it: of the decompressed ones of our own
 * compressed copies, of the compressed ones of any other .gz.
 * @throws DamagedGzipError, the reason of `stop`, or the file system's error.
 */
export async function hashDelivered(file: string, stop?: AbortSignal): Promise<Buffer> {
  const isCopy = (await readCopyStart(file)) !== undefined;
  const handle = await open(file, READ_FLAGS);
  try {
    const raw = chunksOf(handle);
    const hash = createHash('sha256');
    for await (const chunk of isCopy ? gunzipChunks(raw) : raw) {
      stop?.throwIfAborted();
      hash.update(chunk);
    }
    return hash.digest();
  } finally {
    await handle.close();
  }
}

/** As compareContent, by what was delivered: a file and its compressed copy are identical. */
export async function compareDelivered(source: string, target: string): Promise<'absent' | 'identical' | 'different'> {
  let existing: Buffer;
  try {
    existing = await hashDelivered(target);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return 'absent';
    // A link, a directory, a socket, what we may not read or is damaged: the name is taken, and that is all we need to know.
    if (error instanceof DamagedGzipError || ['ELOOP', 'EISDIR', 'ENXIO', 'EACCES'].includes(errno ?? ''))
      return 'different';
    throw error;
  }
  return existing.equals(await hashDelivered(source)) ? 'identical' : 'different';
}
