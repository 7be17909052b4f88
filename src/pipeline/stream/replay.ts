import assert from 'node:assert/strict';
import type { CorrectedLoad, CorrectedRow, RejectedAgain } from '../../contract/stageServices.js';
import type { Connection } from '../../platform/db/client.js';
import type { Database } from '../../platform/db/target.js';
import { EcompipeError, EXIT, InterruptedError } from '../../platform/errors.js';
import { countOf } from '../../platform/format.js';
import { addCounts, NO_ROWS, type RowCounts } from './batch.js';
import { ConnectionPool } from './connectionPool.js';
import { isContention } from './loadBatch.js';
import { runLoad, type PutRows } from './loadTransaction.js';
import { MAX_CONTENTIONS, pauseBeforeRepeat } from './notAccepted.js';
import { NO_LIMITS } from './rejectLimit.js';
import { insertCorrected, type JudgedRow } from './staged/corrected.js';
import { EVENTS_TABLE, Target } from './targetTable.js';

const MAX_REPORTED = 1000;

/**
 * Loads corrected rows, exactly once: a batch of them is one transaction that inserts the rows, enters a batch without
 * ranges into the ledger, and resolves the rejects, each by compare-and-set from open to resolved. Doing it again, in
 * parallel, or after a kill finds those resolved and leaves them alone; an equal event that came in another way makes the
 * row a duplicate.
 *
 * It is a third way of loading beside the direct and the staged path, and lives here because only this stage writes events.
 * @throws InterruptedError when stopped between two batches; what was committed stays.
 */
export async function replayRows(
  batches: AsyncIterable<readonly CorrectedRow[]>,
  database: Database,
  stop: AbortSignal,
): Promise<CorrectedLoad> {
  const pool = new ConnectionPool(database, 1);
  const rows = { read: 0, inserted: 0, duplicate: 0, rejected: 0 };
  const result = {
    rows,
    resolvedBefore: 0,
    unknown: 0,
    batchIds: [] as number[],
    rejectedAgain: [] as RejectedAgain[],
  };
  try {
    const target = await pool.use('bulk', 'cannot look at the table', (connection) => Target.open(connection));
    for await (const corrected of batches) {
      if (stop.aborted)
        throw new InterruptedError({
          what: 'the replay was interrupted',
          outcome: `${countOf(rows.inserted + rows.duplicate, 'reject is', 'rejects are')} resolved, the others stay open`,
          hint: 'run it again with the same file: what is resolved is left alone',
        });
      // None of its rows was corrected.
      if (corrected.length === 0) continue;
      const outcome = await replayBatch(pool, target, corrected);
      for (const key of ['read', 'inserted', 'duplicate', 'rejected'] as const) rows[key] += outcome.rows[key];
      result.resolvedBefore += outcome.resolvedBefore;
      result.unknown += outcome.unknown;
      if (outcome.batchId !== undefined) result.batchIds.push(outcome.batchId);
      result.rejectedAgain.push(...outcome.rejectedAgain.slice(0, MAX_REPORTED - result.rejectedAgain.length));
    }
    return result;
  } finally {
    await pool.close();
  }
}

interface BatchOutcome extends Pick<CorrectedLoad, 'rows' | 'resolvedBefore' | 'unknown' | 'rejectedAgain'> {
  readonly batchId: number | undefined;
}

async function replayBatch(
  pool: ConnectionPool,
  target: Target,
  corrected: readonly CorrectedRow[],
): Promise<BatchOutcome> {
  const attempted = new Set<number>();
  const [first] = corrected;
  assert(first !== undefined, 'a batch has rows');
  return await pool.use('bulk', `cannot replay the rows from line ${first.line} on`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      try {
        await target.refresh(connection);
        return await attempt(connection, target, corrected, attempted);
      } catch (error) {
        // A stream was at the same rows at this moment: the next look finds them.
        if (!isContention(error) || contentions >= MAX_CONTENTIONS) throw error;
        await pauseBeforeRepeat(contentions);
      }
    }
  });
}

interface RejectState {
  readonly rejectId: number;
  readonly resolvedBatchId: number | null;
  readonly resolution: 'inserted' | 'duplicate' | null;
  /** Columns of the file it came from; null when nobody knows them. */
  readonly columns: readonly string[] | null;
  /** The table that it is of; null: that of events. */
  readonly target: string | null;
}

async function attempt(
  connection: Connection,
  target: Target,
  corrected: readonly CorrectedRow[],
  attempted: Set<number>,
): Promise<BatchOutcome> {
  let outcome: Omit<BatchOutcome, 'batchId'> | undefined;
  let ours: readonly RejectState[] = [];
  let judged: readonly JudgedRow[] = [];
  const committed = await runLoad(connection, {
    target: target.table,
    engine: 'native',
    isDurable: true,
    lockTimeoutMs: 0,
    limits: NO_LIMITS,
    onAttempt: (batchId) => attempted.add(batchId),
    putRows: async (): Promise<PutRows | undefined> => {
      const states = await lockRejects(
        connection,
        corrected.map(({ rejectId }) => rejectId),
      );
      const isOpen = ({ rejectId }: CorrectedRow): boolean => states.get(rejectId)?.resolution === null;
      // Resolved by an attempt of ours whose COMMIT went through although its reply was lost.
      ours = [...states.values()].filter(
        ({ resolvedBatchId }) => resolvedBatchId !== null && attempted.has(resolvedBatchId),
      );
      const open = corrected
        .filter(isOpen)
        .map((row) => withColumns(row, states.get(row.rejectId)?.columns ?? undefined));
      const result = await insertCorrected(connection, target.table, open);
      judged = result.rows;
      const counts = countJudged(judged);
      outcome = outcomeOf(corrected, states, ours, judged, counts);
      // Where nothing changes, a batch in the ledger would only say that somebody tried.
      if (counts.inserted + counts.duplicate === 0) return undefined;
      const columns = target.table.header.known;
      return {
        loadPath: 'replay',
        columns,
        feed: undefined,
        parts: [],
        counts,
        skipped: 0,
        bytes: result.bytes,
        enteredLoaded: new Set(),
      };
    },
    beforeCommit: (batchId) => resolveRejects(connection, batchId, judged),
  });
  assert(outcome !== undefined, 'the rows were looked at');
  return { ...outcome, batchId: committed?.batchId ?? ours[0]?.resolvedBatchId ?? undefined };
}

/**
 * The columns that a corrected row has a word in: those of its file, so that all others are filled as for its neighbours
 * there, and those that the correction gives a value.
 */
function withColumns({ columns, fields, ...row }: CorrectedRow, ofFile: readonly string[] | undefined): CorrectedRow {
  const kept = columns.flatMap((name, index) =>
    ofFile === undefined || ofFile.includes(name) || (fields[index] ?? null) !== null ? [index] : [],
  );
  const pick = <T>(list: readonly T[]): T[] => list.filter((_, index) => kept.includes(index));
  return { ...row, columns: pick(columns), fields: pick(fields) };
}

function countJudged(judged: readonly JudgedRow[]): RowCounts {
  const count = (kind: JudgedRow['kind']): number => judged.filter((row) => row.kind === kind).length;
  return {
    read: judged.length,
    inserted: count('inserted'),
    duplicate: count('duplicate'),
    rejected: count('rejected'),
  };
}

function outcomeOf(
  corrected: readonly CorrectedRow[],
  states: ReadonlyMap<number, RejectState>,
  ours: readonly RejectState[],
  judged: readonly JudgedRow[],
  counts: RowCounts,
): Omit<BatchOutcome, 'batchId'> {
  const unknown = corrected.filter(({ rejectId }) => !states.has(rejectId)).length;
  const settled = {
    ...NO_ROWS,
    read: ours.length,
    inserted: ours.filter(({ resolution }) => resolution === 'inserted').length,
    duplicate: ours.filter(({ resolution }) => resolution === 'duplicate').length,
  };
  return {
    rows: addCounts(counts, settled),
    resolvedBefore: corrected.length - judged.length - unknown - ours.length,
    unknown,
    rejectedAgain: judged.flatMap(({ kind, rejectId, line, reason }) =>
      kind === 'rejected' && reason !== undefined ? [{ rejectId, line, reason }] : [],
    ),
  };
}

/** The rejects as they are, locked in one order so that two replays at once wait for each other instead of for ever. */
async function lockRejects({ client }: Connection, rejectIds: readonly number[]): Promise<Map<number, RejectState>> {
  const { rows } = await client.query<RejectState>(
    `select r.reject_id as "rejectId", r.resolved_batch_id as "resolvedBatchId", r.resolution, ecompipe.columns_of(b) as columns, b.target
     from ecompipe.rejected_rows r join ecompipe.batches b on b.batch_id = r.batch_id
     where r.reject_id = any ($1)
     order by r.reject_id
     for update of r`,
    [rejectIds],
  );
  const other = rows.find(({ target }) => target !== null);
  if (other !== undefined)
    throw new EcompipeError(EXIT.usage, {
      what: `reject ${other.rejectId} is of ${other.target ?? ''}, and only those of ${EVENTS_TABLE} can be replayed`,
      outcome: 'nothing was changed',
      hint: 'correct the record in a new file, and load that by the feed',
    });
  return new Map(rows.map((row) => [row.rejectId, row]));
}

async function resolveRejects({ client }: Connection, batchId: number, judged: readonly JudgedRow[]): Promise<void> {
  const accepted = judged.filter(({ kind }) => kind !== 'rejected');
  const { rowCount } = await client.query(
    `update ecompipe.rejected_rows r
     set resolved_at = clock_timestamp(), resolved_by = session_user, resolved_batch_id = $1, resolution = n.resolution, resolved_key = n.key
     from unnest ($2::bigint[], $3::text[], $4::text[]) as n (reject_id, resolution, key)
     where r.reject_id = n.reject_id and r.resolved_at is null`,
    [
      batchId,
      accepted.map(({ rejectId }) => rejectId),
      accepted.map(({ kind }) => kind),
      accepted.map(({ key }) => key),
    ],
  );
  assert.equal(rowCount, accepted.length, 'the rejects are locked, and were open');
}
