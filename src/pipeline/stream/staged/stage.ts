import type { Connection } from '../../../platform/db/client.js';
import { isRefusal } from '../../../platform/db/sqlState.js';
import type { Batch } from '../batch.js';
import { CHUNK_BYTES, copyChunks } from '../../../platform/db/copyChunks.js';
import { temporalFields } from '../isoDates.js';
import type { TargetTable } from '../targetTable.js';
import { copyableOrdinals, endMarkerRows, hasIsoDates, isCopyable, stageChunks, type Records } from './records.js';
import { arrayOf, integer, nullable, queryRow } from '../../../platform/db/decodeRows.js';

/** Records as texts, straight from the file. */
const TEXTS = 'pg_temp.ecompipe_text';
/** Records whose every text is of its column's type. */
const TYPED = 'pg_temp.ecompipe_typed';

/** From this version on COPY can leave out what it can't convert. */
const ON_ERROR_VERSION = 170_000;

/** Makes or empties the session's stage for rows of these columns. Every commit empties it, too. */
export async function prepareStage(
  { client }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
): Promise<void> {
  await client.query({
    name: 'prepare_stage',
    text: 'select ecompipe.prepare_stage($1::regclass, $2)',
    values: [name, columns],
  });
}

/**
 * Brings the records that are rows by structure into the stage: those that COPY can convert into typed columns, where it
 * can tell by itself (ON_ERROR, from PostgreSQL 17 on), and all others as texts.
 */
export async function stageRecords(
  connection: Connection,
  batch: Batch,
  records: Records,
  target: TargetTable,
): Promise<void> {
  const columns = ['ordinal', ...batch.columns.map((_, index) => `c${index + 1}`)].join(', ');
  const left =
    connection.serverVersion >= ON_ERROR_VERSION
      ? await copyTyped(connection, records, columns, hasIsoDates(records, temporalFields(batch.columns, target)))
      : undefined;
  await copyChunks(
    connection,
    `copy ${TEXTS} (${columns}) from stdin (format csv)`,
    stageChunks(records, left ?? copyableOrdinals(records), CHUNK_BYTES),
  );
  for (const { ordinal, fields } of endMarkerRows(records)) {
    const values = ['ordinal', ...batch.columns].map((_, index) => `$${index + 1}`).join(', ');
    await connection.client.query(`insert into ${TEXTS} (${columns}) values (${values})`, [ordinal, ...fields]);
  }
}

/** @returns the rows that are not in the typed stage; undefined when COPY could not go on at one of them. */
async function copyTyped(
  connection: Connection,
  records: Records,
  columns: string,
  isPlain: (ordinal: number) => boolean,
): Promise<number[] | undefined> {
  const { client } = connection;
  const unsure: number[] = [];
  function* plainOrdinals(): Generator<number> {
    for (const ordinal of copyableOrdinals(records))
      if (isPlain(ordinal)) yield ordinal;
      else unsure.push(ordinal);
  }
  await client.query('savepoint ecompipe_typed; set local client_min_messages = warning');
  try {
    await copyChunks(
      connection,
      `copy ${TYPED} (${columns}) from stdin (format csv, on_error ignore)`,
      stageChunks(records, plainOrdinals(), CHUNK_BYTES),
    );
  } catch (error) {
    // A type of a user's own may not be able to leave a value out.
    if (!isRefusal(error)) throw error;
    await client.query('rollback to savepoint ecompipe_typed; release savepoint ecompipe_typed');
    return undefined;
  }
  await client.query('release savepoint ecompipe_typed');
  const { missing } = await queryRow(
    client,
    { missing: nullable(arrayOf(integer)) },
    `select array_agg(ordinal order by ordinal) as missing
     from generate_series(0, $1::integer) as ordinal where ordinal not in (select t.ordinal from ${TYPED} t)`,
    [records.length - 1],
  );
  return (missing ?? []).filter((ordinal) => isCopyable(records, ordinal));
}
