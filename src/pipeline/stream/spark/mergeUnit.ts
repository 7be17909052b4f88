import assert from 'node:assert/strict';
import { fileColumns } from '../../../contract/csv/header.js';
import type { Connection } from '../../../platform/db/client.js';
import { integer, queryRow } from '../../../platform/db/decodeRows.js';
import { quoteName } from '../../../platform/db/names.js';
import { isRefusal } from '../../../platform/db/sqlState.js';
import { addCounts, NO_ROWS, type PartResult } from '../batch.js';
import { targetFor } from '../feeds/loaderFeeds.js';
import { CompareAndSetLost, findCommittedRange } from '../ledger.js';
import { isContention } from '../loadBatch.js';
import { runLoad, sumOfParts, type CommittedBatch } from '../loadTransaction.js';
import { MAX_CONTENTIONS, pauseBeforeRepeat } from '../notAccepted.js';
import type { LoaderContext } from '../runBatch.js';
import { mergeFeed } from './mergeFeed.js';
import { mergeTexts } from './mergeTexts.js';
import { NotTyped, StageLost, type Staged } from './stage.js';
import { columnsOf, type Unit } from './units.js';

/**
 * Brings a staged unit into the table, in the transaction of every load.
 * @throws NotTyped when the rows of a typed stage need verdicts one by one; StageLost; CompareAndSetLost.
 */
export async function mergeUnit(
  context: LoaderContext,
  unit: Unit,
  staged: Staged | undefined,
): Promise<CommittedBatch> {
  const attempted = new Map<number, string>();
  const [first] = unit.parts;
  return await context.pool.use('bulk', `cannot load ${first?.file.name ?? 'nothing'}`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      try {
        return await merge(connection, context, unit, staged, attempted);
      } catch (error) {
        if (error instanceof CompareAndSetLost) return await resolveLostRace(connection, unit, attempted, error);
        if (!isContention(error) || contentions >= MAX_CONTENTIONS) throw error;
        await pauseBeforeRepeat(contentions);
      }
    }
  });
}

async function merge(
  connection: Connection,
  context: LoaderContext,
  unit: Unit,
  staged: Staged | undefined,
  attempted: Map<number, string>,
): Promise<CommittedBatch> {
  const isTyped = staged?.asText !== true;
  const feed = unit.shape?.feed;
  const goal = targetFor(context, feed);
  if (!isTyped) await goal.refresh(connection);
  const target = goal.table;
  const committed = await runLoad(connection, {
    target,
    engine: 'spark',
    isDurable: true,
    lockTimeoutMs: 0,
    limits: context.limits,
    onAttempt: (batchId, token) => attempted.set(batchId, token),
    putRows: async (batchId) => {
      const results =
        staged === undefined
          ? unit.parts.map(() => ({ counts: NO_ROWS, skipped: 0 }))
          : isTyped
            ? await mergeTyped(connection, target.name, unit, staged)
            : feed === undefined
              ? await mergeTexts(connection, unit, staged, { target, batchId })
              : await mergeFeed(connection, unit, feed, staged, { target, batchId });
      const parts = unit.parts.map(({ part }, index) => {
        const result = results[index];
        assert(result !== undefined, 'each part has its result');
        return { part, fileId: part.fileId, ...result };
      });
      const loadPath = isTyped ? 'direct' : 'staged';
      const columns = unit.shape === undefined ? [] : fileColumns(unit.shape);
      return { loadPath, columns, feed, parts, enteredLoaded: new Set(), ...sumOfParts(parts) };
    },
  });
  assert(committed !== undefined, 'a unit has parts');
  return committed;
}

/** Rows that are of the right types and, so it is hoped, new: one statement, in which the table's own constraints judge. */
async function mergeTyped({ client }: Connection, table: string, unit: Unit, staged: Staged): Promise<PartResult[]> {
  const columns = columnsOf(unit).map(quoteName).join(', ');
  const { rowCount } = await client
    .query(
      `insert into ${table} (${columns}) overriding system value select ${columns} from ${staged.table} where attempt = any ($1)`,
      [staged.attempts],
    )
    .catch((error: unknown) => {
      throw isRefusal(error) ? new NotTyped('the table refused the rows', { cause: error }) : error;
    });
  if (rowCount === null || rowCount < unit.rows) {
    const { rows } = await queryRow(
      client,
      { rows: integer },
      `select count(*)::integer as rows from ${staged.table} where attempt = any ($1)`,
      [staged.attempts],
    );
    if (rows === unit.rows) throw new NotTyped('a trigger of the table left rows out');
    throw new StageLost(`${rowCount ?? 'none'} of ${unit.rows} staged rows are left`, false);
  }
  return unit.parts.map(({ part }) => ({
    counts: { ...NO_ROWS, read: part.rows, inserted: part.rows },
    skipped: 0,
  }));
}

/** The ranges are taken: by an attempt of ours whose reply was lost, or by somebody else. */
async function resolveLostRace(
  connection: Connection,
  unit: Unit,
  attempted: ReadonlyMap<number, string>,
  lost: CompareAndSetLost,
): Promise<CommittedBatch> {
  const parts = [];
  let batch: { readonly batchId: number; readonly token: string } | undefined;
  for (const { part } of unit.parts) {
    const range = await findCommittedRange(connection, part.fileId, part);
    const token = range === undefined ? undefined : attempted.get(range.batchId);
    if (range === undefined || token === undefined) throw lost;
    batch = { batchId: range.batchId, token };
    parts.push({ part, fileId: part.fileId, counts: range.counts, skipped: 0 });
  }
  assert(batch !== undefined, 'a unit has parts');
  return {
    ...batch,
    loadPath: 'direct',
    parts,
    counts: parts.map(({ counts }) => counts).reduce(addCounts, NO_ROWS),
    skipped: 0,
    durationMs: 0,
    isDurable: false,
  };
}
