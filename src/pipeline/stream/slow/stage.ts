import type { Connection } from '../../../core/db/client.js';
import { EVENT_COLUMNS } from '../../../core/events/columns.js';
import type { Batch } from '../batch.js';
import { copyBytes } from '../copyFast.js';
import { endMarkerRows, stageBytes, type Records } from './records.js';
import type { EventRules } from './rules.js';

/** Rows as text, straight from the file. */
export const STAGE = 'pg_temp.ecompipe_stage';
/** Rows whose every column is of its type. */
export const TYPED = 'pg_temp.ecompipe_typed';

/**
 * Makes the session's two temporary tables (once; every commit empties them) and settings for statements that touch few
 * rows of a large table: the planner knows nothing of a fresh temporary table and might read all of `events` for it.
 */
export async function prepareStage({ client }: Connection, rules: EventRules): Promise<void> {
  await client.query(`
    set local client_min_messages = warning;
    set local enable_hashjoin = off;
    set local enable_mergejoin = off;
    set local jit = off;
    create temporary table if not exists ecompipe_stage (ordinal integer, ${EVENT_COLUMNS.map((name) => `${name} text`).join(', ')}) on commit delete rows;
    create temporary table if not exists ecompipe_typed (ordinal integer, ${rules.columns.map(({ name, type }) => `${name} ${type}`).join(', ')}) on commit delete rows;
    truncate ${STAGE}, ${TYPED}`);
}

/** Brings the records that are rows by structure into the stage. */
export async function stageRecords(connection: Connection, batch: Batch, records: Records): Promise<void> {
  const columns = ['ordinal', ...batch.columns].join(', ');
  await copyBytes(connection, `copy ${STAGE} (${columns}) from stdin (format csv)`, [stageBytes(records)]);
  for (const { ordinal, fields } of endMarkerRows(records)) {
    const values = ['ordinal', ...batch.columns].map((_, index) => `$${index + 1}`).join(', ');
    await connection.client.query(`insert into ${STAGE} (${columns}) values (${values})`, [ordinal, ...fields]);
  }
}
