import type { Connection } from '../../../platform/db/client.js';
import type { TargetTable } from '../targetTable.js';
import { soleRow } from '../../../platform/db/soleRow.js';

/** What became of staged rows, by ordinal. Why, the session's table `ecompipe_verdicts` says until the commit. */
export interface Verdicts {
  readonly inserted: number;
  readonly rejected: readonly number[];
  readonly duplicates: readonly number[];
}

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

/** Has the database note which staged rows it may refuse. What batches before this one do makes no difference to that. */
export async function lookAhead(
  { client }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
): Promise<void> {
  await client.query({
    name: 'look_ahead',
    text: 'select ecompipe.look_ahead($1::regclass, $2)',
    values: [name, columns],
  });
}

/** Inserts the staged rows that the table accepts; the database judges the others one by one (sql/012_judge_speed.sql). */
export async function insertRows(
  { client, userPath }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
): Promise<Verdicts> {
  const { rows } = await client.query<Verdicts>({
    name: 'insert_rows',
    text: 'select inserted, rejected, duplicates from ecompipe.insert_rows($1::regclass, $2, $3)',
    values: [name, columns, userPath],
  });
  const verdicts = soleRow(rows);
  return verdicts;
}
