import assert from 'node:assert/strict';
import type { Connection } from '../../platform/db/client.js';
import { CR, LF } from '../../contract/csv/bytes.js';
import { quoteText } from '../../contract/feeds/sqlNames.js';
import { CHUNK_BYTES, copyChunks } from '../../platform/db/copyChunks.js';
import { quoteName } from '../../platform/db/names.js';
import type { Batch } from './batch.js';

/**
 * Sends the files' own bytes to COPY, unparsed.
 * @returns the rows the server counted.
 */
export async function copyDirect(connection: Connection, batch: Batch, table: string): Promise<number> {
  return await copyBodies(connection, batch, columnsOf(batch, table));
}

/** The statement of {@link copyDirect}, for those who send it with others. */
export function copyStatement(batch: Batch, table: string): string {
  return copyInto(batch, columnsOf(batch, table));
}

function columnsOf({ columns }: Batch, table: string): string {
  return `${table} (${columns.map(quoteName).join(', ')})`;
}

function copyInto(batch: Batch, into: string): string {
  return `copy ${into} from stdin (format csv${optionsOf(batch)})`;
}

/** Sends the files' own bytes to COPY into these columns. @returns the rows the server counted. */
export async function copyBodies(connection: Connection, batch: Batch, into: string): Promise<number> {
  return await copyChunks(connection, copyInto(batch, into), bodiesOf(batch));
}

/** The rows of a batch, in chunks as COPY wants them. */
export function bodiesOf({ parts }: Batch): Iterable<Buffer> {
  return chunksOf(parts.map(({ body }) => body));
}

/** What COPY must know of records that are not as it expects them. */
function optionsOf({ dialect, feed }: Batch): string {
  if (feed === undefined) return '';
  const { nulls, encoding } = feed.feed.format;
  assert(
    dialect.quote !== undefined && nulls[0] !== undefined,
    'files whose own bytes COPY reads have a quote, and one text for NULL',
  );
  const [delimiter, quote] = [dialect.delimiter, dialect.quote].map((byte) => quoteText(String.fromCharCode(byte)));
  return `, delimiter ${delimiter}, quote ${quote}, escape ${quote}, null ${quoteText(nulls[0])}, encoding ${quoteText(encoding.server)}`;
}

/**
 * Cuts large pieces and joins small ones; a piece without a line end gets one, as COPY wants it: like the first. A message of the protocol, and two writes, for each small file would cost more than its rows.
 */
function* chunksOf(pieces: readonly Buffer[]): Generator<Buffer> {
  const lineEnd = lineEndOf(pieces);
  let joined: Buffer[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    // Before a large piece, too: that one is not worth a copy.
    if (joined.length > 0 && (bytes >= CHUNK_BYTES || piece.length >= CHUNK_BYTES)) {
      yield Buffer.concat(joined);
      joined = [];
      bytes = 0;
    }
    let at = 0;
    for (; piece.length - at >= CHUNK_BYTES; at += CHUNK_BYTES) yield piece.subarray(at, at + CHUNK_BYTES);
    joined.push(piece.subarray(at));
    if (piece.length > 0 && piece.at(-1) !== LF) joined.push(lineEnd);
    bytes += piece.length - at;
  }
  const last = joined.length === 1 && joined[0] !== undefined ? joined[0] : Buffer.concat(joined);
  if (last.length > 0) yield last;
}

/** The last line feed mostly ends a row where any other may stand in quotes. Wrong costs the direct path, no more. */
function lineEndOf(pieces: readonly Buffer[]): Buffer {
  for (const piece of pieces) {
    const lineFeed = piece.lastIndexOf(LF);
    if (lineFeed !== -1) return Buffer.from(piece[lineFeed - 1] === CR ? '\r\n' : '\n');
  }
  return Buffer.from('\n');
}
