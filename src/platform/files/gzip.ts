import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { createGunzip, gunzipSync, type Gunzip } from 'node:zlib';

/** The bytes are not what `gzip -t` accepts: cut short, damaged, or followed by something that is not a gzip member. */
export class DamagedGzipError extends Error {
  override readonly name = 'DamagedGzipError';
}

/** Names of files that are decompressed, in any case. */
export function isGzipName(name: string): boolean {
  return /\.gz$/i.test(name);
}

/**
 * Decompresses all members (RFC 1952, section 2.2) at once. Zeros behind the last one are padding, as for gzip.
 * @returns undefined when the content is longer than `limitBytes`.
 * @throws DamagedGzipError
 */
export function gunzipWhole(raw: Buffer, limitBytes: number): Buffer | undefined {
  if (raw.length === 0) return raw;
  try {
    const { buffer, engine } = gunzipSync(raw, { maxOutputLength: limitBytes, info: true }) as unknown as {
      buffer: Buffer;
      engine: Gunzip;
    };
    assertPadding(engine.bytesWritten, lastNonZero(raw));
    return buffer;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw asDamage(error);
  }
}

/**
 * Decompresses a stream of bytes; all of it is checked when it is read to the end. An empty file decompresses to nothing.
 * @throws DamagedGzipError, or what reading the source throws.
 */
export async function* gunzipChunks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let length = 0;
  let lastByte = -1;
  const input = Readable.from(
    (async function* () {
      for await (const chunk of source) {
        const last = lastNonZero(chunk);
        if (last !== -1) lastByte = length + last;
        length += chunk.length;
        yield chunk;
      }
    })(),
  );
  const engine = createGunzip();
  let sourceError: Error | undefined;
  input.on('error', (error) => {
    sourceError = error;
    engine.destroy(error);
  });
  try {
    for await (const chunk of input.pipe(engine) as AsyncIterable<Buffer>) yield chunk;
    // zlib stops at a zero byte where a member should begin; what it left unread is looked at here.
    input.unpipe(engine);
    for await (const rest of input) assert(rest instanceof Buffer, 'the source yields buffers');
    assertPadding(engine.bytesWritten, lastByte);
  } catch (error) {
    if (error === sourceError) throw error;
    // An empty file is a file without content, compressed or not.
    if (length === 0) return;
    throw asDamage(error);
  } finally {
    input.destroy();
    engine.destroy();
  }
}

function lastNonZero(bytes: Buffer): number {
  let last = bytes.length - 1;
  while (last >= 0 && bytes[last] === 0) last--;
  return last;
}

/** Node's zlib drops whatever follows a zero byte behind a member, whole members too. */
function assertPadding(consumed: number, lastByte: number): void {
  if (lastByte >= consumed)
    throw new DamagedGzipError(`byte ${consumed} does not begin a gzip member, and more than zeros follow it`);
}

function asDamage(error: unknown): unknown {
  if (error instanceof DamagedGzipError) return error;
  return new DamagedGzipError(error instanceof Error ? error.message : String(error), { cause: error });
}
