import type { Connection } from '../../../platform/db/client.js';
import { classifyError } from '../../../platform/db/sqlState.js';
import { EVENT_COLUMNS } from '../../../contract/columns.js';
import type { Batch } from '../batch.js';
import { CHUNK_BYTES, copyChunks } from '../copyFast.js';
import { copyableOrdinals, endMarkerRows, isCopyable, stageChunks, type Records } from './records.js';
import type { EventRules } from './rules.js';

/** Rows as text, straight from the file. */
export const STAGE = 'pg_temp.ecompipe_stage';
/** Rows whose every column is of its type. */
export const TYPED = 'pg_temp.ecompipe_typed';

/**
 * Settings of a transaction whose statements touch few rows of a large table: the planner knows nothing of a fresh
 * temporary table and might read all of `events` for it. What is sorted are ids and ordinals of one batch, which fit into
 * this work_mem.
 */
export const PLANNER_SETTINGS = `
    set local client_min_messages = warning;
    set local enable_hashjoin = off;
    set local enable_mergejoin = off;
    set local jit = off;
    set local work_mem = '32MB';`;

/** The statement that makes the typed table, once a session; every commit empties it. */
export function createTyped(rules: EventRules): string {
  return `create temporary table if not exists ecompipe_typed (ordinal integer, ${rules.columns.map(({ name, type }) => `${name} ${type}`).join(', ')}) on commit delete rows`;
}

/** Prepares the transaction, and makes the session's two temporary tables. */
export async function prepareStage({ client }: Connection, rules: EventRules): Promise<void> {
  await client.query(`${PLANNER_SETTINGS}
    create temporary table if not exists ecompipe_stage (ordinal integer, ${EVENT_COLUMNS.map((name) => `${name} text`).join(', ')}) on commit delete rows;
    ${createTyped(rules)};
    truncate ${STAGE}, ${TYPED}`);
}

/**
 * Brings the records that are rows by structure into the typed table, where the server can tell by itself which rows are
 * of the right types (ON_ERROR, from PostgreSQL 17 on), and the others as text into the stage. Elsewhere, or where a type
 * of a user's own can't do that, all of them go into the stage.
 */
export async function stageRecords(connection: Connection, batch: Batch, records: Records): Promise<void> {
  const refused = connection.serverVersion >= 170_000 ? await copyTyped(connection, batch, records) : undefined;
  const columns = ['ordinal', ...batch.columns].join(', ');
  await copyChunks(
    connection,
    `copy ${STAGE} (${columns}) from stdin (format csv)`,
    stageChunks(records, refused ?? copyableOrdinals(records), CHUNK_BYTES),
  );
  for (const { ordinal, fields } of endMarkerRows(records)) {
    const values = ['ordinal', ...batch.columns].map((_, index) => `$${index + 1}`).join(', ');
    await connection.client.query(`insert into ${STAGE} (${columns}) values (${values})`, [ordinal, ...fields]);
  }
}

/** @returns the ordinals of the rows that are not of the right types; undefined when COPY could not go on at one of them. */
async function copyTyped(connection: Connection, batch: Batch, records: Records): Promise<number[] | undefined> {
  const { client } = connection;
  await client.query('savepoint ecompipe_typed');
  try {
    const columns = ['ordinal', ...batch.columns].join(', ');
    await copyChunks(
      connection,
      `copy ${TYPED} (${columns}) from stdin (format csv, on_error ignore)`,
      stageChunks(records, copyableOrdinals(records), CHUNK_BYTES),
    );
  } catch (error) {
    if (classifyError(error) !== 'row') throw error;
    await client.query('rollback to savepoint ecompipe_typed');
    return undefined;
  }
  const { rows } = await client.query<{ missing: number[] | null }>(
    `select array_agg(ordinal order by ordinal) as missing
     from (select generate_series(0, $1) as ordinal except select ordinal from ${TYPED}) as missing`,
    [records.length - 1],
  );
  return (rows[0]?.missing ?? []).filter((ordinal) => isCopyable(records, ordinal));
}
