import assert from 'node:assert/strict';
import type { Connection } from '../../../platform/db/client.js';
import { bytea, integer, queryRows, text } from '../../../platform/db/decodeRows.js';
import { quoteName } from '../../../platform/db/names.js';
import type { Defect } from '../../../contract/csv/recordFrames.js';
import type { RecordShape } from '../../../contract/csv/header.js';
import { UTF_8 } from '../../../contract/feeds/encodings.js';
import { elementAt } from '../../../platform/elementAt.js';
import { NO_ROWS, type PartResult } from '../batch.js';
import { findUndecodable } from '../feeds/stageSource.js';
import { convertTexts, insertRows, type Verdicts } from '../staged/judge.js';
import { explainDefect, UNNAMED_VALUE } from '../staged/records.js';
import type { RejectReason } from '../../../contract/stageServices.js';
import { writeMalformed } from '../staged/reject.js';
import { prepareStage } from '../staged/stage.js';
import type { TargetTable } from '../targetTable.js';
import { StageLost, type Staged } from './stage.js';
import { columnsOf, isUtf8, type Unit } from './units.js';

/** Broken rows that are in memory at once; each has up to a megabyte. */
const PAGE_ROWS = 1000;

/**
 * Merges rows that executors staged as texts: they go into the session's own stage, and the functions that judge the rows
 * of the native engine judge them. Part of the caller's transaction.
 * @returns the counts of each part, in order.
 */
export async function mergeTexts(
  connection: Connection,
  unit: Unit,
  staged: Staged,
  { target, batchId }: { readonly target: TargetTable; readonly batchId: number },
): Promise<PartResult[]> {
  const columns = columnsOf(unit);
  await prepareStage(connection, target, columns);
  await takeTexts(connection, unit, staged);
  await convertTexts(connection, target, columns);
  // Units are merged one after the other.
  const verdicts = await insertRows(connection, target, columns, () => Promise.resolve());
  const malformed = await writeBroken(connection, unit, staged, batchId);
  await writeJudged(connection, unit, staged, batchId, verdicts);
  const all = verdicts.inserted + verdicts.rejected.length + verdicts.duplicates.length + malformed.length;
  if (all !== unit.rows) throw new StageLost(`${all} of ${unit.rows} staged rows are left`, true);
  return countByPart(unit, { ...verdicts, rejected: [...verdicts.rejected, ...malformed] });
}

async function takeTexts({ client }: Connection, unit: Unit, { table, attempts }: Staged): Promise<void> {
  const columns = columnsOf(unit);
  const staged = columns.map((_, index) => `c${index + 1}`).join(', ');
  await client.query(
    `insert into pg_temp.ecompipe_text (ordinal, ${staged})
     select ordinal, ${columns.map(quoteName).join(', ')} from ${table} where defect is null and attempt = any ($1)`,
    [attempts],
  );
}

function fileIdOf(unit: Unit, { partOfPiece }: Staged, piece: number): number {
  const part = unit.parts[partOfPiece[piece] ?? -1]?.part;
  assert(part !== undefined, 'each piece is of a part');
  return part.fileId;
}

const brokenRow = { ordinal: integer, piece: integer, line: integer, byteOffset: integer, defect: text, raw: bytea };

/** Rows whose structure or encoding is broken, page by page. @returns their ordinals. */
export async function writeBroken(
  connection: Connection,
  unit: Unit,
  staged: Staged,
  batchId: number,
): Promise<number[]> {
  const ordinals: number[] = [];
  const { shape } = unit;
  assert(shape !== undefined, 'a file with rows has a header');
  for (;;) {
    const rows = await queryRows(
      connection.client,
      brokenRow,
      `select ordinal, piece, line, byte_offset, defect, broken as raw
       from ${staged.table} where defect is not null and attempt = any ($1) and ordinal > $2 order by ordinal limit ${PAGE_ROWS}`,
      [staged.attempts, ordinals.at(-1) ?? -1],
    );
    const reasons = await explainBroken(connection, rows, shape);
    for (const { ordinal } of rows) ordinals.push(ordinal);
    const placed = rows.map(({ piece, ...row }) => ({ ...row, item: 0, fileId: fileIdOf(unit, staged, piece) }));
    await writeMalformed(connection, batchId, placed, reasons);
    if (rows.length < PAGE_ROWS) return ordinals;
  }
}

interface BrokenRow {
  readonly ordinal: number;
  readonly raw: Buffer;
  readonly defect: string;
}

/** Undefined where only the server can tell. @param defect `encoding`, or one of structure */
function explainBytes(
  raw: Buffer,
  defect: string,
  shape: RecordShape,
  isOtherEncoding: boolean,
): RejectReason | undefined {
  const frame = { start: 0, end: raw.length, defect: defect === 'encoding' ? undefined : (defect as Defect) };
  return explainDefect(raw, frame, shape, false, isOtherEncoding);
}

/** What is wrong with these rows, by ordinal, as the native engine says it. */
async function explainBroken(
  connection: Connection,
  rows: readonly BrokenRow[],
  shape: RecordShape,
): Promise<Map<number, RejectReason>> {
  const encoding = shape.feed?.feed.format.encoding ?? UTF_8;
  const reasons = new Map<number, RejectReason>();
  const undecodable: BrokenRow[] = [];
  for (const row of rows) {
    const { ordinal, raw, defect } = row;
    const reason = defect === 'unnamed-value' ? UNNAMED_VALUE : explainBytes(raw, defect, shape, encoding !== UTF_8);
    if (reason === undefined) undecodable.push(row);
    else reasons.set(ordinal, reason);
  }
  const texts = undecodable.map(({ raw }) => raw);
  for (const [index, reason] of await findUndecodable(connection, texts, encoding))
    reasons.set(elementAt(undecodable, index).ordinal, reason);
  assert.equal(reasons.size, rows.length, 'something is wrong with each row that is staged as broken');
  return reasons;
}

/** Rejects and duplicates, from table to table: their bytes need not come here. */
export async function writeJudged(
  { client }: Connection,
  unit: Unit,
  staged: Staged,
  batchId: number,
  { rejected, duplicates }: Pick<Verdicts, 'rejected' | 'duplicates'>,
  hasItems = false,
): Promise<void> {
  const fileIds = staged.partOfPiece.map((_, piece) => fileIdOf(unit, staged, piece));
  const rows = hasItems
    ? 'join pg_temp.ecompipe_made m on m.record = s.ordinal join pg_temp.ecompipe_verdicts v on v.ordinal = m.ordinal'
    : 'join pg_temp.ecompipe_verdicts v on v.ordinal = s.ordinal';
  const item = hasItems ? 'm.item_number' : '0';
  const raw = isUtf8(unit) ? "convert_to(s.raw, 'UTF8')" : 's.raw';
  const source = `from ${staged.table} s ${rows} where s.attempt = any ($3) and s.defect is null and v.kind`;
  if (rejected.length > 0)
    await client.query(
      `insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, item, kind, sql_state, column_name, constraint_name, message)
       select $1, ($2::bigint[])[s.piece + 1], s.line, s.byte_offset, ${raw}, ${item}, v.kind, v.sql_state, v.column_name, v.constraint_name, v.message
       ${source} <> 'duplicate'
       order by v.ordinal`,
      [batchId, fileIds, staged.attempts],
    );
  if (duplicates.length > 0)
    await client.query(
      `insert into ecompipe.duplicate_rows (batch_id, file_id, line, byte_offset, item, key)
       select $1, ($2::bigint[])[s.piece + 1], s.line, s.byte_offset, ${item}, v.key
       ${source} = 'duplicate'`,
      [batchId, fileIds, staged.attempts],
    );
}

function countByPart(unit: Unit, { rejected, duplicates }: Pick<Verdicts, 'rejected' | 'duplicates'>): PartResult[] {
  const isRejected = new Set(rejected);
  const isDuplicate = new Set(duplicates);
  let ordinal = 0;
  return unit.parts.map(({ part }) => {
    const counts = { ...NO_ROWS, read: part.rows };
    for (const end = ordinal + part.rows; ordinal < end; ordinal++) {
      if (isRejected.has(ordinal)) counts.rejected++;
      else if (isDuplicate.has(ordinal)) counts.duplicate++;
      else counts.inserted++;
    }
    return { counts, skipped: 0 };
  });
}
