import { open, type FileHandle } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
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

async function readGzipRange(file: string, start: number, end: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let at = 0;
  for await (const chunk of gunzipChunks(createReadStream(file) as AsyncIterable<Buffer>)) {
    pieces.push(chunk.subarray(Math.max(0, start - at), Math.max(0, end - at)));
    at += chunk.length;
    if (at >= end) break;
  }
  return Buffer.concat(pieces);
}
