import assert from 'node:assert/strict';
import type { Connection } from '../../../platform/db/client.js';
import type { TargetTable } from '../targetTable.js';
import { countOf } from '../../../platform/format.js';
import { arrayOf, integer, queryRow, type Shape } from '../../../platform/db/decodeRows.js';

/** What became of staged rows, by ordinal. Why, the session's table `ecompipe_verdicts` says until the commit. */
export interface Verdicts {
  readonly inserted: number;
  readonly rejected: readonly number[];
  readonly duplicates: readonly number[];
}

const VERDICTS: Shape<Verdicts> = { inserted: integer, rejected: arrayOf(integer), duplicates: arrayOf(integer) };

/** Converts what is staged as text: rows of the right types go on, the others get their verdict. */
export async function convertTexts(
  { client, userPath }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
): Promise<void> {
  await client.query({
    name: 'convert_texts',
    text: 'select ecompipe.convert_texts($1::regclass, $2, $3)',
    values: [name, columns, userPath],
  });
}

/**
 * Inserts the staged rows that the table accepts; the database judges the others one by one (sql/012_judge_speed.sql).
 * @param waitForTurn called when the database has noted which rows it may refuse, to which batches before this one make no
 *   difference, and before anything is inserted.
 */
export async function insertRows(
  { client, userPath }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
  waitForTurn: () => Promise<void>,
): Promise<Verdicts> {
  await client.query({
    name: 'look_ahead',
    text: 'select ecompipe.look_ahead($1::regclass, $2)',
    values: [name, columns],
  });
  await waitForTurn();
  return await queryRow(client, VERDICTS, {
    name: 'insert_rows',
    text: 'select inserted, rejected, duplicates from ecompipe.insert_rows($1::regclass, $2, $3)',
    values: [name, columns, userPath],
  });
}

/** Each row must have its verdict: what is lost here, nobody would miss. */
export function assertAllJudged({ inserted, rejected, duplicates }: Verdicts, staged: number): void {
  assert(
    inserted + rejected.length + duplicates.length === staged,
    `of ${countOf(staged, 'staged row')} ${inserted} were inserted, ${rejected.length} rejected and ${duplicates.length} known`,
  );
}
