import type { Connection } from '../../../platform/db/client.js';
import { classifyError } from '../../../platform/db/sqlState.js';
import { failpoint } from '../../../platform/failpoint.js';
import { addCounts, NO_ROWS, type RowCounts } from '../batch.js';
import { CompareAndSetLost, explainLedgerError, findCommittedRange, writeLedger } from '../ledger.js';
import { beginBatch, commit, isContention, type CommittedBatch } from '../loadBatch.js';
import type { LoaderContext } from '../runBatch.js';
import { mergeSlow } from './mergeSlow.js';
import { NotTyped, StageLost, type Staged } from './stage.js';
import type { Unit } from './units.js';

/** So often in a row the transaction is done again at once when another one is in its way. */
const MAX_CONTENTIONS = 20;

/**
 * Brings a staged unit into the table, in one transaction: rows, verdicts, ledger, compare-and-set, commit.
 * @throws NotTyped when the rows of a typed stage need the verdicts of the slow path; StageLost; CompareAndSetLost.
 */
export async function mergeUnit(
  context: LoaderContext,
  unit: Unit,
  staged: Staged | undefined,
): Promise<CommittedBatch> {
  const attempted = new Set<number>();
  const [first] = unit.parts;
  return await context.pool.use('bulk', `cannot load ${first?.file.name ?? 'nothing'}`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      try {
        return await merge(connection, context, unit, staged, attempted);
      } catch (error) {
        if (error instanceof CompareAndSetLost) return await resolveLostRace(connection, unit, attempted, error);
        if (!isContention(error) || contentions >= MAX_CONTENTIONS) throw error;
      }
    }
  });
}

async function merge(
  connection: Connection,
  context: LoaderContext,
  unit: Unit,
  staged: Staged | undefined,
  attempted: Set<number>,
): Promise<CommittedBatch> {
  const startedAt = new Date();
  try {
    const batchId = await beginBatch(connection, { rules: context.rules, lockTimeoutMs: 0, isDurable: true });
    attempted.add(batchId);
    failpoint('batch-begun');
    const loadPath = staged?.asText === true ? 'slow' : 'fast';
    const counts =
      staged?.asText === true
        ? await mergeSlow(connection, unit, staged, { rules: context.rules, batchId })
        : await mergeFast(connection, context, unit, staged);
    failpoint('copied');
    const parts = unit.parts.map(({ part }, index) => ({
      part,
      fileId: part.fileId,
      counts: counts[index] ?? NO_ROWS,
    }));
    for (const total of await writeLedger(connection, {
      batchId,
      engine: 'spark',
      loadPath,
      startedAt,
      columns: unit.columns,
      parts,
      enteredLoaded: new Set(),
    })) {
      const entry = parts.find(({ fileId }) => total.rejected > 0 && fileId === total.fileId);
      if (entry !== undefined) context.assertLimit(entry.part, total);
    }
    await commit(connection);
    return {
      batchId,
      loadPath,
      parts,
      counts: counts.reduce(addCounts, NO_ROWS),
      durationMs: Date.now() - startedAt.getTime(),
      isDurable: true,
    };
  } catch (error) {
    await connection.client.query('rollback').catch(() => undefined);
    throw explainLedgerError(error);
  }
}

/** Rows that are of the right types and, so it is hoped, new: one statement, in which the table's own constraints judge. */
async function mergeFast(
  { client }: Connection,
  { rules }: LoaderContext,
  unit: Unit,
  staged: Staged | undefined,
): Promise<RowCounts[]> {
  if (staged !== undefined) {
    const columns = rules.columns.map(({ name }) => name).join(', ');
    const { rowCount } = await client
      .query(`insert into public.events (${columns}) select ${columns} from ${staged.table} where attempt = any ($1)`, [
        staged.attempts,
      ])
      .catch((error: unknown) => {
        throw classifyError(error) === 'row' ? new NotTyped('the table refused the rows', { cause: error }) : error;
      });
    if (rowCount !== unit.rows) throw new StageLost(`${rowCount ?? 0} of ${unit.rows} staged rows are left`);
  }
  return unit.parts.map(({ part }) => ({ ...NO_ROWS, read: part.rows, inserted: part.rows }));
}

/** The ranges are taken: by an attempt of ours whose reply was lost, or by somebody else. */
async function resolveLostRace(
  connection: Connection,
  unit: Unit,
  attempted: ReadonlySet<number>,
  lost: CompareAndSetLost,
): Promise<CommittedBatch> {
  const parts = [];
  let batchId = 0;
  for (const { part } of unit.parts) {
    const range = await findCommittedRange(connection, part.fileId, part);
    if (range === undefined || !attempted.has(range.batchId)) throw lost;
    batchId = range.batchId;
    parts.push({ part, fileId: part.fileId, counts: range.counts });
  }
  return {
    batchId,
    loadPath: 'fast',
    parts,
    counts: parts.map(({ counts }) => counts).reduce(addCounts, NO_ROWS),
    durationMs: 0,
    isDurable: false,
  };
}
