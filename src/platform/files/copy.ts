import { constants, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf, FileError } from '../errors.js';
import { FILE_MODE } from './directories.js';
import { failpoint } from '../failpoint.js';

const BUFFER_BYTES = 1024 * 1024;
/** O_NONBLOCK: opening a FIFO that took the file's place must not wait for its writer. */
export const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Makes other bytes of a file's: compressed ones, or what they were made of. */
export type Conversion = (source: AsyncIterable<Buffer>, file: BigIntStats) => AsyncIterable<Buffer>;

/**
 * Copies a regular file to a new name with its modification time, and its mode but for what it grants everybody, and
 * forces it to disk.
 *
 * @param convert what the copy is to hold. Default: the same bytes.
 * @returns what the source was; unchanged from the first to the last byte.
 * @throws FileError (EBUSY) when the source was written to meanwhile; the copy is then of no use.
 */
export async function copyDurably(
  source: string,
  target: string,
  signal?: AbortSignal,
  convert?: Conversion,
): Promise<BigIntStats> {
  const input = await open(source, READ_FLAGS);
  try {
    const before = await input.stat({ bigint: true });
    if (!before.isFile())
      throw new FileError(source, 'EINVAL', { what: `cannot copy ${source}`, why: 'it is not a regular file' });
    const output = await open(target, 'wx', Number(before.mode) & FILE_MODE);
    try {
      if (convert === undefined) await copyBytes(input, output, signal);
      else await writeChunks(convert(chunksOf(input), before), output, signal);
      await output.utimes(Number(before.atimeMs) / 1000, Number(before.mtimeMs) / 1000);
      await output.sync();
    } finally {
      await output.close();
    }
    if (isRewritten(before, await input.stat({ bigint: true }))) {
      throw new FileError(source, 'EBUSY', {
        what: `cannot copy ${source}`,
        why: 'it was written to at the same time',
        outcome: 'the copy was removed',
      });
    }
    return before;
  } finally {
    await input.close();
  }
}

async function copyBytes(input: FileHandle, output: FileHandle, signal: AbortSignal | undefined): Promise<void> {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (let position = 0; ;) {
    signal?.throwIfAborted();
    const length = await readFully(input, buffer, BUFFER_BYTES, position);
    if (length === 0) return;
    await writeFully(output, buffer.subarray(0, length), position);
    position += length;
    failpoint('move-copying');
  }
}

async function writeChunks(
  chunks: AsyncIterable<Buffer>,
  output: FileHandle,
  signal: AbortSignal | undefined,
): Promise<void> {
  let position = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    await writeFully(output, chunk, position);
    position += chunk.length;
    failpoint('move-copying');
  }
}

/** write(2) may take less than it is given, as when the disk gets full; the rest then fails with the reason. */
async function writeFully(output: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;)
    written += (await output.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
}

/** The bytes of an open file from its start on. Unlike a stream of them, it does not close the file when it is left. */
export async function* chunksOf(file: FileHandle, chunkBytes = 2 ** 16): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Whether two looks at a name saw one file in one state. ctime can't be set by users, so it shows what mtime may hide. */
export function isUnchanged(before: BigIntStats, after: BigIntStats): boolean {
  return (
    before.ino === after.ino &&
    before.size === after.size &&
    before.mtimeNs === after.mtimeNs &&
    before.ctimeNs === after.ctimeNs
  );
}

/**
 * Whether two looks at a name saw other content. Unlike {@link isUnchanged} it ignores ctime, which unlink(2), chmod(2)
 * and rename(2) stamp too: also a moment before the name is gone.
 */
export function isRewritten(before: BigIntStats, after: BigIntStats): boolean {
  return before.ino !== after.ino || before.size !== after.size || before.mtimeNs !== after.mtimeNs;
}

/** Compares two files by size, then by bytes. A name that isn't there or is not a regular file has no content to compare. */
export async function compareContent(source: string, target: string): Promise<'absent' | 'identical' | 'different'> {
  let existing: FileHandle;
  try {
    existing = await open(target, READ_FLAGS);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return 'absent';
    // A symlink, a socket, or a file that we may not read: the name is taken, and that is all we need to know.
    if (errno === 'ELOOP' || errno === 'ENXIO' || errno === 'EACCES') return 'different';
    throw error;
  }
  try {
    const ours = await open(source, READ_FLAGS);
    try {
      return (await isEqual(ours, existing)) ? 'identical' : 'different';
    } finally {
      await ours.close();
    }
  } finally {
    await existing.close();
  }
}

async function isEqual(a: FileHandle, b: FileHandle): Promise<boolean> {
  const [first, second] = [await a.stat(), await b.stat()];
  if (!first.isFile() || !second.isFile() || first.size !== second.size) return false;
  const [left, right] = [Buffer.allocUnsafe(BUFFER_BYTES), Buffer.allocUnsafe(BUFFER_BYTES)];
  for (let position = 0; position < first.size;) {
    const length = Math.min(BUFFER_BYTES, first.size - position);
    const [read, matched] = [await readFully(a, left, length, position), await readFully(b, right, length, position)];
    if (read !== length || matched !== length || left.compare(right, 0, length, 0, length) !== 0) return false;
    position += length;
  }
  return true;
}

/** read(2) may return less than was asked for, on network file systems in particular. */
async function readFully(handle: FileHandle, buffer: Buffer, length: number, position: number): Promise<number> {
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
