import { sourceColumn } from '../../../contract/feeds/compile.js';
import type { Connection } from '../../../platform/db/client.js';
import { sqlStateOf } from '../../../platform/db/sqlState.js';
import type { BoundFeed } from '../../../contract/feeds/bindFeed.js';
import { UTF_8, type Encoding } from '../../../contract/feeds/encodings.js';
import type { RejectReason } from '../../../contract/stageServices.js';
import { elementAt } from '../../../platform/elementAt.js';
import { quoteText } from '../../../contract/feeds/sqlNames.js';
import type { Batch } from '../batch.js';
import { CHUNK_BYTES, copyChunks } from '../../../platform/db/copyChunks.js';
import { recordBytes, type Records } from '../staged/records.js';
import { wireChunks, wireOf, type Wire } from './wire.js';
import { integer, queryRows, text } from '../../../platform/db/decodeRows.js';

/** Brings the records that are such by structure into the session's stage, as texts; those that no text can be made of become malformed. */
export async function stageSource(
  connection: Connection,
  batch: Batch,
  bound: BoundFeed,
  records: Records,
): Promise<void> {
  const { client } = connection;
  await stagePartNames(connection, batch.parts);
  const { encoding, nulls } = bound.feed.format;
  const wire = wireOf(bound.feed.format, batch.dialect);
  const send = (): Promise<number> =>
    copyChunks(
      connection,
      copyStatement(bound, wire),
      wireChunks(
        records,
        soundOrdinals(records),
        { wire, dialect: batch.dialect, nulls },
        placeOf(records),
        CHUNK_BYTES,
      ),
    );
  if (encoding === UTF_8) {
    await send();
    return;
  }
  // UTF-8 was looked at when the records were split; another encoding only the server knows.
  await client.query('savepoint ecompipe_source');
  try {
    await send();
  } catch (error) {
    if (!UNDECODABLE.has(sqlStateOf(error) ?? '')) throw error;
    await client.query('rollback to savepoint ecompipe_source');
    await removeUndecodable(connection, records, encoding);
    await send();
  }
  await client.query('release savepoint ecompipe_source');
}

/** The names of the parts, which a feed's SQL sees as the path of a record. */
export async function stagePartNames(
  { client }: Connection,
  parts: readonly { readonly name: string }[],
): Promise<void> {
  await client.query({
    name: 'stage_parts',
    text: 'insert into pg_temp.ecompipe_parts (part, path) select n - 1, path from unnest($1::text[]) with ordinality as p (path, n)',
    values: [parts.map(({ name }) => name)],
  });
}

/** character_not_in_repertoire and untranslatable_character. */
const UNDECODABLE = new Set(['22021', '22P05']);

function copyStatement({ fields, feed }: BoundFeed, { delimiter, quote, nullText }: Wire): string {
  const columns = ['ordinal', 'record_number', 'part', ...fields.map((_, index) => sourceColumn(index))].join(', ');
  const [separator, mark] = [delimiter, quote].map((byte) => quoteText(String.fromCharCode(byte)));
  return `copy pg_temp.ecompipe_source (${columns}) from stdin (format csv, delimiter ${separator}, quote ${mark}, escape ${mark}, null ${quoteText(nullText)}, encoding ${quoteText(feed.format.encoding.server)})`;
}

function* soundOrdinals(records: Records): Generator<number> {
  for (let ordinal = 0; ordinal < records.length; ordinal++) if (!records.malformed.has(ordinal)) yield ordinal;
}

/** Ordinal, number in the content, and part of a record. */
function placeOf(records: Records): (ordinal: number) => readonly number[] {
  return (ordinal) => {
    const { part, partIndex } = records.at(ordinal);
    return [ordinal, part.firstRecord + ordinal - records.firstOrdinalOf(partIndex), partIndex];
  };
}

/** Records, and bytes of them, in one question. */
const CHUNK_RECORDS = 2000;

async function removeUndecodable(connection: Connection, records: Records, encoding: Encoding): Promise<void> {
  const sound = [...soundOrdinals(records)];
  for (let from = 0; from < sound.length; from += CHUNK_RECORDS) {
    const chunk = sound.slice(from, from + CHUNK_RECORDS);
    const texts = chunk.map((ordinal) => recordBytes(records.at(ordinal)));
    for (const [index, reason] of await findUndecodable(connection, texts, encoding))
      records.malformed.set(elementAt(chunk, index), reason);
  }
}

/** Which of these records are not in an encoding, by index, and what the server says of them. */
export async function findUndecodable(
  { client }: Connection,
  texts: readonly Buffer[],
  { server }: Encoding,
): Promise<ReadonlyMap<number, RejectReason>> {
  if (texts.length === 0) return new Map();
  const rows = await queryRows(
    client,
    { at: integer, message: text },
    'select at, message from ecompipe.undecodable($1::bytea[], $2)',
    [texts, server],
  );
  return new Map(rows.map(({ at, message }) => [at - 1, { kind: 'malformed', sqlState: '22021', message }]));
}
