import assert from 'node:assert/strict';
import { stringify } from 'csv-stringify/sync';
import type { Connection } from '../../../platform/db/client.js';
import { canonicalShape } from '../../../contract/csv/header.js';
import type { CorrectedRow, RejectReason } from '../../../contract/stageServices.js';
import type { Batch } from '../batch.js';
import type { TargetTable } from '../targetTable.js';
import { judgeRecords } from './loadStaged.js';
import { splitRecords } from './records.js';
import { integer, nullable, oneOf, queryRows, type Shape, text } from '../../../platform/db/decodeRows.js';

/** What became of a corrected row, or of one of the rows that a feed made of a corrected record. */
export interface JudgedRow extends Pick<CorrectedRow, 'rejectId' | 'line'> {
  readonly kind: 'inserted' | 'duplicate' | 'rejected';
  /** Which row of its record it is, from 1; 0: the only one. */
  readonly item: number;
  /** Of an accepted row. */
  readonly key: string | undefined;
  /** Of a rejected one. */
  readonly reason: RejectReason | undefined;
}

/**
 * Inserts the rows that the table accepts. Part of the caller's transaction.
 * @returns all of them, in order, and how many bytes of CSV they were.
 */
export async function insertCorrected(
  connection: Connection,
  target: TargetTable,
  rows: readonly CorrectedRow[],
): Promise<{ rows: JudgedRow[]; bytes: number }> {
  const judged = new Map<number, JudgedRow>();
  let bytes = 0;
  for (const group of groupByColumns(rows)) {
    const batch = asBatch(group);
    bytes += batch.parts.reduce((sum, { body }) => sum + body.length, 0);
    for (const row of await judgeGroup(connection, target, group, batch)) judged.set(row.rejectId, row);
  }
  const inOrder = rows.map(({ rejectId }) => {
    const row = judged.get(rejectId);
    assert(row !== undefined, `reject ${rejectId} was judged`);
    return row;
  });
  return { rows: inOrder, bytes };
}

/** Rows of equal columns load together. */
function groupByColumns(rows: readonly CorrectedRow[]): CorrectedRow[][] {
  const groups = new Map<string, CorrectedRow[]>();
  for (const row of rows) {
    const key = JSON.stringify(row.columns);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return [...groups.values()];
}

export interface Verdict {
  readonly ordinal: number;
  readonly kind: 'invalid' | 'conflict' | 'duplicate' | null;
  readonly sqlState: string | null;
  readonly column: string | null;
  readonly constraint: string | null;
  readonly message: string | null;
  readonly key: string | null;
}

const VERDICT: Shape<Verdict> = {
  ordinal: integer,
  kind: nullable(oneOf('invalid', 'conflict', 'duplicate')),
  sqlState: nullable(text),
  column: nullable(text),
  constraint: nullable(text),
  message: nullable(text),
  key: nullable(text),
};

async function judgeGroup(
  connection: Connection,
  target: TargetTable,
  rows: readonly CorrectedRow[],
  batch: Batch,
): Promise<JudgedRow[]> {
  const records = await splitRecords(batch);
  assert.equal(records.length, rows.length, 'each corrected row is a record');
  await judgeRecords(connection, batch, records, target, () => Promise.resolve());
  const verdicts = new Map((await readVerdicts(connection, target, batch.columns)).map((row) => [row.ordinal, row]));
  return rows.map((row, ordinal) => {
    const malformed = records.malformed.get(ordinal);
    if (malformed !== undefined) return refusedRow(row, malformed);
    const verdict = verdicts.get(ordinal);
    assert(verdict !== undefined, `row ${ordinal} was judged`);
    return judgedRow(row, 0, verdict);
  });
}

/** What the server's verdict on a row means for the correction that it was made of. */
export function judgedRow(
  { rejectId, line }: Pick<CorrectedRow, 'rejectId' | 'line'>,
  item: number,
  verdict: Verdict,
): JudgedRow {
  const { kind, key } = verdict;
  if (kind === null || kind === 'duplicate')
    return { rejectId, line, item, kind: kind ?? 'inserted', key: key ?? undefined, reason: undefined };
  return refusedRow({ rejectId, line }, reasonOf({ ...verdict, kind }));
}

function reasonOf({
  kind,
  sqlState,
  column,
  constraint,
  message,
}: Verdict & { readonly kind: 'invalid' | 'conflict' }): RejectReason {
  assert(sqlState !== null && message !== null, 'a row that was refused has its reason');
  return {
    kind,
    sqlState,
    message,
    ...(column === null ? {} : { column }),
    ...(constraint === null ? {} : { constraint }),
  };
}

export function refusedRow(
  { rejectId, line }: Pick<CorrectedRow, 'rejectId' | 'line'>,
  reason: RejectReason,
): JudgedRow {
  return { rejectId, line, item: 0, kind: 'rejected', key: undefined, reason };
}

/** The verdicts of the session on all rows that were staged; one without a kind was inserted. */
export async function readVerdicts(
  { client }: Connection,
  { name }: TargetTable,
  columns: readonly string[],
): Promise<Verdict[]> {
  return await queryRows(
    client,
    VERDICT,
    `select ordinal, v.kind, v.sql_state, v.column_name as column, v.constraint_name as constraint, v.message, coalesce(v.key, k.key) as key
     from ecompipe.staged_keys($1::regclass, $2) k full join pg_temp.ecompipe_verdicts v using (ordinal)`,
    [name, columns],
  );
}

/** The rows as CSV, so that they go the same way as those of a file. NULL is an empty field, '' a quoted one. */
function asBatch(rows: readonly CorrectedRow[]): Batch {
  const [first] = rows;
  assert(first !== undefined, 'a group has rows');
  const body = Buffer.from(
    stringify(
      rows.map(({ fields }) => [...fields]),
      { quoted_match: /^$/ },
    ),
  );
  const place = { startOffset: 0, endOffset: body.length, firstLine: 1, lines: rows.length, bodyOffset: 0 };
  const part = {
    name: 'replay',
    fileStamp: '',
    sha256: Buffer.alloc(0),
    fileId: undefined,
    fileSize: body.length,
    isLast: true,
    firstRecord: 1,
    rows: rows.length,
    plain: false,
  };
  return { ...canonicalShape(first.columns), parts: [{ ...place, ...part, body }], isDurable: true };
}
