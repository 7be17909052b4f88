import assert from 'node:assert/strict';
import { elementAt } from '../../../platform/elementAt.js';
import type { Connection } from '../../../platform/db/client.js';
import { NO_ROWS, type Batch, type PartResult, type RowCounts } from '../batch.js';
import { judgeFeed, type FeedVerdicts, type RowOrigin } from '../feeds/judgeFeed.js';
import type { TargetTable } from '../targetTable.js';
import { assertAllJudged, convertTexts, insertRows, type Verdicts } from './judge.js';
import { recordBytes, splitRecords, type Records } from './records.js';
import { writeDuplicates, writeMalformed, writeRejects, type PlacedRow } from './reject.js';
import { prepareStage, stageRecords } from './stage.js';

export interface StagedContext {
  /** Where the rows of each part belong: its file in the ledger. */
  readonly fileIds: readonly number[];
  readonly batchId: number;
  readonly target: TargetTable;
  /** Waits for the batches before this one. */
  readonly waitForTurn: () => Promise<void>;
}

/**
 * Loads a batch row by row in the sense that each gets its own verdict, in set-based steps: split, stage, convert, insert
 * what the table accepts, note the rest. Part of the caller's transaction.
 * @returns the counts of each part, in order.
 */
export async function loadStaged(
  connection: Connection,
  batch: Batch,
  { fileIds, batchId, target, waitForTurn }: StagedContext,
): Promise<PartResult[]> {
  const records = await splitRecords(batch);
  const { verdicts, results } = await judgeBatch(connection, batch, records, target, waitForTurn);
  function* placed(ordinals: Iterable<number>): Generator<PlacedRow> {
    for (const ordinal of ordinals) yield placeOf(records, ordinal, verdicts.originOf(ordinal), fileIds);
  }
  function* malformed(): Generator<PlacedRow> {
    for (const record of records.malformed.keys()) yield placeOf(records, record, { record, item: 0 }, fileIds);
  }
  await writeMalformed(connection, batchId, malformed(), records.malformed);
  await writeRejects(connection, batchId, placed(verdicts.rejected));
  await writeDuplicates(connection, batchId, placed(verdicts.duplicates));
  return results;
}

/** Has the database judge a batch's records, by its feed where it has one; also counts by part. Part of the caller's transaction. */
export async function judgeBatch(
  connection: Connection,
  batch: Batch,
  records: Records,
  target: TargetTable,
  waitForTurn: () => Promise<void>,
): Promise<{ verdicts: FeedVerdicts; results: PartResult[] }> {
  const verdicts =
    batch.feed === undefined
      ? asFeedVerdicts(batch, records, await judgeRecords(connection, batch, records, target, waitForTurn))
      : await judgeFeed(connection, batch, batch.feed, records, target, waitForTurn);
  return { verdicts, results: countByPart(batch, records, verdicts) };
}

/** Stages the records and has the database judge them. Part of the caller's transaction. */
export async function judgeRecords(
  connection: Connection,
  batch: Batch,
  records: Records,
  target: TargetTable,
  waitForTurn: () => Promise<void>,
): Promise<Verdicts> {
  const staged = records.length - records.malformed.size;
  if (staged === 0) return { inserted: 0, rejected: [], duplicates: [] };
  await prepareStage(connection, target, batch.columns);
  await stageRecords(connection, batch, records, target);
  await convertTexts(connection, target, batch.columns);
  // What comes a second time is mostly near the first: with rows of its own uncommitted, this batch would block the one
  // before it, and have to give way.
  const verdicts = await insertRows(connection, target, batch.columns, waitForTurn);
  assertAllJudged(verdicts, staged);
  return verdicts;
}

/** Without a feed each record that is one by structure is a row. */
function asFeedVerdicts(batch: Batch, records: Records, verdicts: Verdicts): FeedVerdicts {
  const malformed = batch.parts.map(() => 0);
  for (const ordinal of records.malformed.keys()) {
    const { partIndex } = records.at(ordinal);
    malformed[partIndex] = elementAt(malformed, partIndex) + 1;
  }
  return {
    ...verdicts,
    made: malformed.map((count, index) => ({ rows: records.rowsOf(index) - count, skipped: 0 })),
    originOf: (record) => ({ record, item: 0 }),
  };
}

function placeOf(
  records: Records,
  ordinal: number,
  { record: recordOrdinal, item }: RowOrigin,
  fileIds: readonly number[],
): PlacedRow {
  const record = records.at(recordOrdinal);
  const { part, partIndex, frame } = record;
  const fileId = fileIds[partIndex];
  assert(fileId !== undefined, 'each part has its file');
  return {
    ordinal,
    item,
    fileId,
    line: part.firstLine + frame.line,
    byteOffset: part.bodyOffset + frame.start,
    raw: recordBytes(record),
  };
}

function countByPart(
  batch: Batch,
  records: Records,
  { rejected, duplicates, made, originOf }: FeedVerdicts,
): PartResult[] {
  const counts = batch.parts.map((_, index) => ({
    ...NO_ROWS,
    read: elementAt(made, index).rows,
    inserted: elementAt(made, index).rows,
  })) as { -readonly [K in keyof RowCounts]: RowCounts[K] }[];
  const countOf = (record: number): (typeof counts)[number] => {
    const count = counts[records.at(record).partIndex];
    assert(count !== undefined, 'each row is of a part');
    return count;
  };
  const move = (ordinal: number, to: 'rejected' | 'duplicate'): void => {
    const count = countOf(originOf(ordinal).record);
    count.inserted--;
    count[to]++;
  };
  for (const record of records.malformed.keys()) {
    const count = countOf(record);
    count.read++;
    count.rejected++;
  }
  for (const ordinal of rejected) move(ordinal, 'rejected');
  for (const ordinal of duplicates) move(ordinal, 'duplicate');
  return counts.map((count, index) => ({ counts: count, skipped: elementAt(made, index).skipped }));
}
