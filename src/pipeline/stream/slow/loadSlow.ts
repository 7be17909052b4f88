import type { Connection } from '../../../platform/db/client.js';
import { classifyError, TransientError, serverMessage, sqlStateOf } from '../../../platform/db/sqlState.js';
import { NO_ROWS, type Batch, type RowCounts } from '../batch.js';
import { compareKnown, insertNew, judgeConstraints, validateTypes } from './classify.js';
import { recordBytes, splitRecords, type Records } from './records.js';
import { writeDuplicates, writeRejects, type Reason } from './reject.js';
import type { EventRules } from './rules.js';
import { prepareStage, stageRecords, TYPED } from './stage.js';

export interface SlowContext {
  /** Where the rows of each part belong: its file in the ledger. */
  readonly fileIds: FileIds;
  readonly batchId: number;
  readonly rules: EventRules;
  /** Waits for the batches before this one. */
  readonly waitForTurn: () => Promise<void>;
}

type FileIds = readonly number[];

/**
 * Loads a batch row by row in the sense that each gets its own verdict, in set-based steps: split, stage as text, judge
 * types, judge constraints, insert what is new, compare what is known. Part of the caller's transaction.
 * @returns the counts of each part, in order.
 */
export async function loadSlow(
  connection: Connection,
  batch: Batch,
  { fileIds, batchId, rules, waitForTurn }: SlowContext,
): Promise<RowCounts[]> {
  const records = splitRecords(batch);
  const { reasons, duplicates } = await insertAccepted(connection, batch, records, rules, waitForTurn);
  await writeVerdicts(connection, batchId, records, fileIds, reasons, duplicates);
  return countByPart(batch, records, reasons, duplicates);
}

/**
 * Inserts the rows that the server accepts. Part of the caller's transaction.
 * @returns by ordinal why rows were rejected, and which events were in the table already; all others are inserted.
 */
export async function insertAccepted(
  connection: Connection,
  batch: Batch,
  records: Records,
  rules: EventRules,
  waitForTurn: () => Promise<void>,
): Promise<{ reasons: Map<number, Reason>; duplicates: Map<number, string> }> {
  await prepareStage(connection, rules);
  await stageRecords(connection, batch, records);
  const badTypes = await validateTypes(connection, rules);
  const badRows = await judgeConstraints(connection, rules);
  // What comes a second time is mostly near the first: with rows of its own uncommitted, this batch would block the one
  // before it, and have to give way.
  await waitForTurn();
  const { known, refused, inserted } = await insertJudged(connection, rules, records.length);
  const { rejected: conflicts, duplicates } = await compareKnown(connection, rules, known);
  const reasons = new Map([...records.malformed, ...badTypes, ...badRows, ...refused, ...conflicts]);
  const expected = records.length - reasons.size - duplicates.size;
  // Each row has its verdict by now; the server must have inserted just the others. If not, somebody changed the table
  // between our statements, and the batch has to look again.
  if (expected !== inserted)
    throw new TransientError(`the server inserted ${inserted} rows where ${expected} were left to insert`);
  return { reasons, duplicates };
}

/** One statement inserts all; only where the server still refuses (a constraint of the user's own), halves are tried. */
export async function insertJudged(
  connection: Connection,
  rules: EventRules,
  count: number,
): Promise<{ known: number[]; refused: Map<number, Reason>; inserted: number }> {
  let inserted = 0;
  const known: number[] = [];
  const refused = new Map<number, Reason>();
  const insertRange = async (from: number, to: number): Promise<void> => {
    await connection.client.query('savepoint ecompipe_insert');
    try {
      const result = await insertNew(connection, rules, from, to);
      inserted += result.inserted;
      for (const ordinal of result.known) known.push(ordinal);
      await connection.client.query('release savepoint ecompipe_insert');
    } catch (error) {
      if (classifyError(error) !== 'row' || isRace(error)) throw error;
      await connection.client.query('rollback to savepoint ecompipe_insert');
      if (from === to) {
        refused.set(from, refusal(error));
        await connection.client.query(`delete from ${TYPED} where ordinal = $1`, [from]);
        return;
      }
      const middle = Math.floor((from + to) / 2);
      await insertRange(from, middle);
      await insertRange(middle + 1, to);
    }
  };
  await insertRange(0, Math.max(0, count - 1));
  return { known, refused, inserted };
}

/** Another transaction inserted the same event between our look and our insert; the batch must look again. */
export function isRace(error: unknown): boolean {
  return sqlStateOf(error) === '23505' && (error as { constraint?: string }).constraint === 'events_pkey';
}

function refusal(error: unknown): Reason {
  const { column, constraint } = error as { column?: string; constraint?: string };
  return {
    kind: 'invalid',
    sqlState: sqlStateOf(error) ?? '22000',
    message: serverMessage(error),
    ...(column === undefined ? {} : { column }),
    ...(constraint === undefined ? {} : { constraint }),
  };
}

async function writeVerdicts(
  connection: Connection,
  batchId: number,
  records: Records,
  fileIds: FileIds,
  reasons: ReadonlyMap<number, Reason>,
  duplicates: ReadonlyMap<number, string>,
): Promise<void> {
  const place = (ordinal: number): { fileId: number; line: number; byteOffset: number; raw: Buffer } => {
    const record = records.at(ordinal);
    const { part, partIndex, frame } = record;
    return {
      fileId: fileIds[partIndex] ?? 0,
      line: part.firstLine + frame.line,
      byteOffset: part.bodyOffset + frame.start,
      raw: recordBytes(record),
    };
  };
  await writeRejects(
    connection,
    batchId,
    [...reasons].map(([ordinal, reason]) => ({ ...place(ordinal), reason })),
  );
  await writeDuplicates(
    connection,
    batchId,
    [...duplicates].map(([ordinal, eventId]) => ({ ...place(ordinal), eventId })),
  );
}

function countByPart(
  batch: Batch,
  records: Records,
  reasons: ReadonlyMap<number, Reason>,
  duplicates: ReadonlyMap<number, string>,
): RowCounts[] {
  const counts: { -readonly [K in keyof RowCounts]: RowCounts[K] }[] = batch.parts.map((_, index) => ({
    ...NO_ROWS,
    read: records.rowsOf(index),
    inserted: records.rowsOf(index),
  }));
  const move = (ordinal: number, to: 'rejected' | 'duplicate'): void => {
    const count = counts[records.at(ordinal).partIndex];
    if (count === undefined) return;
    count.inserted--;
    count[to]++;
  };
  for (const ordinal of reasons.keys()) move(ordinal, 'rejected');
  for (const ordinal of duplicates.keys()) if (!reasons.has(ordinal)) move(ordinal, 'duplicate');
  return counts;
}
