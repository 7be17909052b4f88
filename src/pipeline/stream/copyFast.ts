import { finished } from 'node:stream/promises';
import copyFrom from 'pg-copy-streams';
import type { Connection } from '../../core/db/client.js';
import { CR, LF } from '../../core/csv/bytes.js';
import { failpoint } from '../../core/runtime/failpoint.js';
import type { Batch } from './batch.js';

/** Bytes given to the socket at once: large enough to be cheap, small enough that the server starts at once. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Sends the files' own bytes to COPY, unparsed.
 * @returns the rows the server counted.
 */
export async function copyFast(connection: Connection, batch: Batch): Promise<number> {
  return await copyBytes(connection, `copy public.events (${batch.columns.join(', ')}) from stdin (format csv)`, batch.parts.map(({ body }) => body));
}

/**
 * Runs one COPY … FROM STDIN over these pieces; a piece without a line end gets one, as COPY wants it: like the first.
 *
 * One write at a time: what pg-copy-streams still holds when the server refuses the data, it would go on to write after
 * it let go of its connection, and end the process.
 */
export async function copyBytes({ client }: Connection, sql: string, pieces: readonly Buffer[]): Promise<number> {
  const copy = client.query(copyFrom.from(sql, { highWaterMark: CHUNK_BYTES }));
  const lineEnd = lineEndOf(pieces);
  const done = finished(copy);
  const refused = new AbortController();
  const refusal = done.catch(() => refused.abort());
  const send = async (chunk: Buffer | string): Promise<void> => {
    await Promise.race([new Promise<void>((resolve) => copy.write(chunk, () => resolve())), refusal]);
    failpoint('copying');
  };
  for (const piece of pieces) {
    for (let at = 0; at < piece.length && !refused.signal.aborted; at += CHUNK_BYTES) await send(piece.subarray(at, at + CHUNK_BYTES));
    if (piece.length > 0 && piece.at(-1) !== LF && !refused.signal.aborted) await send(lineEnd);
  }
  if (!refused.signal.aborted) copy.end();
  await done;
  return copy.rowCount;
}

/** The last line feed mostly ends a row where any other may stand in quotes. Wrong costs the fast path, no more. */
function lineEndOf(pieces: readonly Buffer[]): '\n' | '\r\n' {
  for (const piece of pieces) {
    const lineFeed = piece.lastIndexOf(LF);
    if (lineFeed !== -1) return piece[lineFeed - 1] === CR ? '\r\n' : '\n';
  }
  return '\n';
}
