import { open, type FileHandle } from 'node:fs/promises';
import { chunksOf } from './copy.js';
import { gunzipChunks, isGzipName } from './gzip.js';

/**
 * Some bytes of a file's content, as the ledger counts them: of the decompressed content, for a `.gz`.
 * @returns fewer bytes than asked for when the content ends before.
 */
export async function readContentRange(file: string, start: number, end: number): Promise<Buffer> {
  return isGzipName(file) ? await readGzipRange(file, start, end) : await readPlainRange(file, start, end);
}

async function readPlainRange(file: string, start: number, end: number): Promise<Buffer> {
  const handle: FileHandle = await open(file);
  try {
    const bytes = Buffer.allocUnsafe(Math.min(end, (await handle.stat()).size) - start);
    let length = 0;
    for (let count = -1; count !== 0 && length < bytes.length; length += count) {
      ({ bytesRead: count } = await handle.read(bytes, length, bytes.length - length, start + length));
    }
    return bytes.subarray(0, length);
  } finally {
    await handle.close();
  }
}

/** A file's content from its start to its end: the decompressed one, for a `.gz`. */
export async function* contentChunks(file: string, chunkBytes?: number): AsyncGenerator<Buffer> {
  const handle = await open(file);
  try {
    const raw = chunksOf(handle, chunkBytes);
    yield* isGzipName(file) ? gunzipChunks(raw) : raw;
  } finally {
    await handle.close();
  }
}

async function readGzipRange(file: string, start: number, end: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let at = 0;
  for await (const chunk of contentChunks(file)) {
    pieces.push(chunk.subarray(Math.max(0, start - at), Math.max(0, end - at)));
    at += chunk.length;
    if (at >= end) break;
  }
  return Buffer.concat(pieces);
}
