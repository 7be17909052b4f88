import { sourceColumn } from '../../../contract/feeds/compile.js';
import assert from 'node:assert/strict';
import { countOf } from '../../../platform/format.js';
import { BUILT_IN, expressionNames, isDistinct, namesOutsideSql } from '../../../contract/feeds/bindFeed.js';
import type { Connection } from '../../../platform/db/client.js';
import { withUserPath } from '../../../platform/db/sessionSettings.js';
import { NO_ROWS, type Batch, type PartResult } from '../batch.js';
import { copyBodies } from '../copyDirect.js';
import type { TargetTable } from '../targetTable.js';
import { planFeed } from './feedPlan.js';
import { wireOf } from './wire.js';
import { integer, queryRow } from '../../../platform/db/decodeRows.js';

/**
 * Whether a batch's own bytes can be staged, and all rows that become of them be inserted by one statement: nothing asks
 * which record is which. Where one of them is refused, the records are judged one by one instead.
 */
export function mayInsertAll({ feed, parts, dialect }: Batch): boolean {
  if (feed === undefined || feed.feed.rows !== undefined) return false;
  const { feed: asWritten } = feed;
  if (asWritten.format.type !== 'csv' || wireOf(asWritten.format, dialect).isRewritten) return false;
  // How many records of which part are left out would have to be counted by part.
  if (asWritten.where !== undefined && parts.length > 1) return false;
  const names = [...expressionNames(asWritten), ...namesOutsideSql(asWritten)];
  return !isDistinct(asWritten) && !names.some((name) => BUILT_IN.includes(name));
}

/** A feed's rows are not those that it should have made. */
export class MiscountedRows extends Error {}

/**
 * Stages the files' own bytes and inserts the rows of all records at once. Part of the caller's transaction.
 * @throws MiscountedRows, and what the server says when it refuses any of them.
 */
export async function insertAll(connection: Connection, batch: Batch, target: TargetTable): Promise<PartResult[]> {
  assert(batch.feed !== undefined, 'a feed says how rows are made');
  const plan = await planFeed(connection, batch.feed, target);
  const { insertAll: insert, countWanted } = plan;
  assert(insert !== undefined, 'each record is one row at most');
  const counted = batch.parts.reduce((sum, { rows }) => sum + rows, 0);
  const fields = batch.feed.fields.map((_, index) => sourceColumn(index));
  const staged =
    counted === 0 ? 0 : await copyBodies(connection, batch, `pg_temp.ecompipe_source (${fields.join(', ')})`);
  if (staged !== counted) throw new MiscountedRows(`COPY saw ${countOf(staged, 'record')}, we counted ${counted}`);
  return await withUserPath(connection, async () => {
    const wanted =
      countWanted === undefined ? staged : (await queryRow(connection.client, { wanted: integer }, countWanted)).wanted;
    const { rowCount } = await connection.client.query(insert);
    if (rowCount !== wanted) throw new MiscountedRows(`${rowCount ?? 0} of ${countOf(wanted, 'row')} inserted`);
    return batch.parts.map(({ rows }) => {
      const made = countWanted === undefined ? rows : wanted;
      return { counts: { ...NO_ROWS, read: made, inserted: made }, skipped: rows - made };
    });
  });
}
