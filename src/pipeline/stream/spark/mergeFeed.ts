import { changedRows } from '../../../platform/db/soleRow.js';
import type { Connection } from '../../../platform/db/client.js';
import type { BoundFeed } from '../../../contract/feeds/bindFeed.js';
import { NO_ROWS, type PartResult } from '../batch.js';
import { planFeed } from '../feeds/feedPlan.js';
import { judgeSource, type FeedVerdicts, type StagedPart } from '../feeds/judgeFeed.js';
import { stagePartNames } from '../feeds/stageSource.js';
import { prepareStage } from '../staged/stage.js';
import type { TargetTable } from '../targetTable.js';
import { writeBroken, writeJudged } from './mergeTexts.js';
import { StageLost, type Staged } from './stage.js';
import { stagedColumns, type Unit } from './units.js';
import { elementAt } from '../../../platform/elementAt.js';

/**
 * Merges records of a feed that executors staged as texts of their fields: they go into the session's own stage, and the
 * functions that make and judge the rows of the native engine do so here. Part of the caller's transaction.
 * @returns the results of each part, in order.
 */
export async function mergeFeed(
  connection: Connection,
  unit: Unit,
  bound: BoundFeed,
  staged: Staged,
  { target, batchId }: { readonly target: TargetTable; readonly batchId: number },
): Promise<PartResult[]> {
  const plan = await planFeed(connection, bound, target);
  await prepareStage(connection, target, plan.columns);
  const firstOrdinals = firstOrdinalsOf(unit);
  const sound = await takeSource(connection, unit, staged, firstOrdinals);
  const malformed = await writeBroken(connection, unit, staged, batchId);
  if (sound + malformed.length !== unit.rows)
    throw new StageLost(`${sound + malformed.length} of ${unit.rows} staged rows are left`, true);
  const partOf = (ordinal: number): number => firstOrdinals.findLastIndex((first) => first <= ordinal);
  const malformedByPart = countBy(unit, malformed, partOf);
  const parts: StagedPart[] = unit.parts.map(({ part }, index) => ({
    firstOrdinal: elementAt(firstOrdinals, index),
    sound: part.rows - elementAt(malformedByPart, index),
  }));
  const verdicts = await judgeSource(connection, plan, parts, target, () => Promise.resolve());
  await writeJudged(connection, unit, staged, batchId, verdicts, plan.hasItems);
  return resultsOf(unit, malformedByPart, verdicts, partOf);
}

function firstOrdinalsOf({ parts }: Unit): number[] {
  let next = 0;
  return parts.map(({ part }) => {
    const first = next;
    next += part.rows;
    return first;
  });
}

/** Brings the records that are such by structure into the session's stage. @returns how many there are. */
async function takeSource(
  connection: Connection,
  unit: Unit,
  { table, attempts, partOfPiece }: Staged,
  firstOrdinals: readonly number[],
): Promise<number> {
  await stagePartNames(
    connection,
    unit.parts.map(({ part }) => part),
  );
  const fields = stagedColumns(unit).join(', ');
  const inserted = await connection.client.query(
    `insert into pg_temp.ecompipe_source (ordinal, record_number, part, ${fields})
     select ordinal, ($2::bigint[])[($3::integer[])[piece + 1] + 1] + ordinal, ($3::integer[])[piece + 1], ${fields}
     from ${table} where defect is null and attempt = any ($1)
     order by ordinal`,
    [attempts, unit.parts.map(({ part }, index) => part.firstRecord - elementAt(firstOrdinals, index)), partOfPiece],
  );
  return changedRows(inserted);
}

function countBy(unit: Unit, ordinals: readonly number[], partOf: (ordinal: number) => number): number[] {
  const counts = unit.parts.map(() => 0);
  for (const ordinal of ordinals) {
    const part = partOf(ordinal);
    counts[part] = elementAt(counts, part) + 1;
  }
  return counts;
}

function resultsOf(
  unit: Unit,
  malformed: readonly number[],
  { made, rejected, duplicates, originOf }: FeedVerdicts,
  partOf: (ordinal: number) => number,
): PartResult[] {
  const partOfRow = (ordinal: number): number => partOf(originOf(ordinal).record);
  const [refused, known] = [countBy(unit, rejected, partOfRow), countBy(unit, duplicates, partOfRow)];
  return unit.parts.map((_, index) => {
    const { rows, skipped } = elementAt(made, index);
    const [broken, duplicate] = [elementAt(malformed, index), elementAt(known, index)];
    const counts = {
      ...NO_ROWS,
      read: rows + broken,
      inserted: rows - elementAt(refused, index) - duplicate,
      duplicate,
      rejected: elementAt(refused, index) + broken,
    };
    return { counts, skipped };
  });
}
