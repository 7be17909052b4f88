import { finished } from 'node:stream/promises';
import copyFrom from 'pg-copy-streams';
import { failpoint } from '../failpoint.js';
import type { Connection } from './client.js';

/** Bytes given to the socket at once: large enough to be cheap, small enough that the server starts at once. */
export const CHUNK_BYTES = 256 * 1024;

/**
 * Runs one COPY … FROM STDIN over these chunks.
 *
 * One write at a time: what pg-copy-streams still holds when the server refuses the data, it would go on to write after
 * it let go of its connection, and end the process.
 *
 * When `chunks` throws, the COPY is left open: the connection must be closed then.
 * @returns the rows the server counted.
 */
export async function copyChunks(
  connection: Connection,
  sql: string,
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<number> {
  const copy = connection.client.query(copyFrom.from(sql, { highWaterMark: CHUNK_BYTES }));
  const done = finished(copy).catch((error: unknown) => {
    throw connection.explain(error);
  });
  const refused = new AbortController();
  const refusal = done.catch(() => refused.abort());
  const send = async (chunk: Buffer): Promise<void> => {
    await Promise.race([new Promise<void>((resolve) => copy.write(chunk, () => resolve())), refusal]);
    failpoint('copying');
  };
  for await (const chunk of chunks) {
    if (refused.signal.aborted) break;
    await send(chunk);
  }
  if (!refused.signal.aborted) copy.end();
  await done;
  return copy.rowCount;
}
