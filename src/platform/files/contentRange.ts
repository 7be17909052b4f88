import { open, type FileHandle } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

/**
 * Some bytes of a file's content, as the ledger counts them: of the decompressed content, for a `.gz`.
 * @returns fewer bytes than asked for when the content ends before.
 */
export async function readContentRange(file: string, start: number, end: number): Promise<Buffer> {
  return /\.gz$/i.test(file) ? await readGzipRange(file, start, end) : await readPlainRange(file, start, end);
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
  const source = createReadStream(file);
  const content = createGunzip();
  source.on('error', (error) => content.destroy(error));
  const pieces: Buffer[] = [];
  let at = 0;
  try {
    for await (const chunk of source.pipe(content) as AsyncIterable<Buffer>) {
      pieces.push(chunk.subarray(Math.max(0, start - at), Math.max(0, end - at)));
      at += chunk.length;
      if (at >= end) break;
    }
  } finally {
    source.destroy();
    content.destroy();
  }
  return Buffer.concat(pieces);
}
