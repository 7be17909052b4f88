import assert from 'node:assert/strict';
import { bindFeed, type BoundFeed } from '../../contract/feeds/bindFeed.js';
import type {
  CorrectedBatch,
  CorrectedLoad,
  CorrectedRecord,
  CorrectedRow,
  RejectedAgain,
} from '../../contract/stageServices.js';
import type { Connection } from '../../platform/db/client.js';
import type { Database } from '../../platform/db/target.js';
import { InterruptedError } from '../../platform/errors.js';
import { countOf } from '../../platform/format.js';
import { addCounts, NO_ROWS, type RowCounts } from './batch.js';
import { ConnectionPool } from './connectionPool.js';
import { checkFeed } from './feeds/checkFeed.js';
import { insertCorrectedRecords } from './feeds/replayFeed.js';
import { reopenFeed } from './feeds/storedFeed.js';
import { isContention } from './loadBatch.js';
import { runLoad, type PutRows } from './loadTransaction.js';
import { MAX_CONTENTIONS, pauseBeforeRepeat } from './notAccepted.js';
import { NO_LIMITS } from './rejectLimit.js';
import { lockRejects, mainRows, resolveRejects, type RejectState } from './resolveRejects.js';
import { insertCorrected, type JudgedRow } from './staged/corrected.js';
import { Target } from './targetTable.js';

const MAX_REPORTED = 1000;

/**
 * Loads corrected rows, exactly once: a batch of them is one transaction that inserts the rows, enters a batch without
 * ranges into the ledger, and resolves the rejects, each by compare-and-set from open to resolved. Doing it again, in
 * parallel, or after a kill finds those resolved and leaves them alone; an equal row that came in another way makes the
 * row a duplicate. Records of a feed's files become rows by the feed that loaded their file, as the ledger keeps it.
 *
 * It is a third way of loading beside the direct and the staged path, and lives here because only this stage writes rows.
 * @throws InterruptedError when stopped between two batches; what was committed stays.
 */
export async function replayRows(
  batches: AsyncIterable<CorrectedBatch>,
  database: Database,
  stop: AbortSignal,
): Promise<CorrectedLoad> {
  const pool = new ConnectionPool(database, 1);
  const sources = new ReplaySources(pool);
  const rows = { read: 0, inserted: 0, duplicate: 0, rejected: 0 };
  const result = {
    rows,
    resolvedBefore: 0,
    unknown: 0,
    batchIds: [] as number[],
    rejectedAgain: [] as RejectedAgain[],
  };
  try {
    for await (const corrected of batches) {
      if (stop.aborted)
        throw new InterruptedError({
          what: 'the replay was interrupted',
          outcome: `${countOf(rows.inserted + rows.duplicate, 'reject is', 'rejects are')} resolved, the others stay open`,
          hint: 'run it again with the same file: resolved rejects are skipped',
        });
      // None of its rows was corrected.
      if (corrected.rows.length === 0) continue;
      const outcome = await replayBatch(pool, await sources.of(corrected), corrected);
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

/** Where corrected rows go, and the feed that makes them, if they are made by one. */
interface ReplaySource {
  readonly target: Target;
  readonly bound: BoundFeed | undefined;
}

/** The sources of a replay: each is opened once. */
class ReplaySources {
  private readonly opened = new Map<string, ReplaySource>();

  constructor(private readonly pool: ConnectionPool) {}

  async of(batch: CorrectedBatch): Promise<ReplaySource> {
    const key = batch.feed === undefined ? '' : JSON.stringify([batch.feed.name, batch.feed.text, batch.fields]);
    const source = this.opened.get(key) ?? (await this.open(batch));
    this.opened.set(key, source);
    return source;
  }

  private async open(batch: CorrectedBatch): Promise<ReplaySource> {
    return await this.pool.use('bulk', 'cannot look at the table', async (connection) => {
      if (batch.feed === undefined) return { target: await Target.open(connection), bound: undefined };
      const { feed, table, sqlFields } = await reopenFeed(connection, batch.feed, checkFeed);
      return { target: new Target(table), bound: bindFeed(feed, batch.fields, sqlFields) };
    });
  }
}

interface BatchOutcome extends Pick<CorrectedLoad, 'rows' | 'resolvedBefore' | 'unknown' | 'rejectedAgain'> {
  readonly batchId: number | undefined;
}

async function replayBatch(
  pool: ConnectionPool,
  source: ReplaySource,
  corrected: CorrectedBatch,
): Promise<BatchOutcome> {
  const attempted = new Set<number>();
  const [first] = corrected.rows;
  assert(first !== undefined, 'a batch has rows');
  return await pool.use('bulk', `cannot replay the rows from line ${first.line} on`, async (connection) => {
    for (let contentions = 0; ; contentions++) {
      try {
        await source.target.refresh(connection);
        return await attempt(connection, source, corrected, attempted);
      } catch (error) {
        // A stream was at the same rows at this moment: the next look finds them.
        if (!isContention(error) || contentions >= MAX_CONTENTIONS) throw error;
        await pauseBeforeRepeat(contentions);
      }
    }
  });
}

async function attempt(
  connection: Connection,
  { target: { table }, bound }: ReplaySource,
  corrected: CorrectedBatch,
  attempted: Set<number>,
): Promise<BatchOutcome> {
  let outcome: Omit<BatchOutcome, 'batchId'> | undefined;
  let ours: readonly RejectState[] = [];
  let judged: readonly JudgedRow[] = [];
  const committed = await runLoad(connection, {
    target: table,
    engine: 'native',
    isDurable: true,
    lockTimeoutMs: 0,
    limits: NO_LIMITS,
    onAttempt: (batchId) => attempted.add(batchId),
    putRows: async (): Promise<PutRows | undefined> => {
      const states = await lockRejects(
        connection,
        corrected.rows.map(({ rejectId }) => rejectId),
      );
      // Resolved by an attempt of ours whose COMMIT went through although its reply was lost.
      ours = [...states.values()].filter(
        ({ resolvedBatchId }) => resolvedBatchId !== null && attempted.has(resolvedBatchId),
      );
      const result = await insertOpen(connection, { table, bound }, corrected, states);
      judged = result.rows;
      outcome = outcomeOf(corrected.rows, states, ours, judged);
      const counts = countRows(judged);
      // Where nothing changes, a batch in the ledger would only say that somebody tried.
      if (counts.inserted + counts.duplicate === 0) return undefined;
      return {
        loadPath: 'replay',
        columns: table.header.known,
        feed: bound,
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

/** Inserts the rows of those rejects that are open. */
async function insertOpen(
  connection: Connection,
  { table, bound }: { readonly table: Target['table']; readonly bound: BoundFeed | undefined },
  corrected: CorrectedBatch,
  states: ReadonlyMap<number, RejectState>,
): Promise<{ rows: readonly JudgedRow[]; bytes: number }> {
  const isOpen = ({ rejectId }: CorrectedRow | CorrectedRecord): boolean => states.get(rejectId)?.resolution === null;
  if (corrected.feed === undefined)
    return await insertCorrected(
      connection,
      table,
      corrected.rows.filter(isOpen).map((row) => withColumns(row, states.get(row.rejectId)?.columns ?? undefined)),
    );
  assert(bound !== undefined, 'records of a feed are replayed by it');
  const records = corrected.rows.filter(isOpen);
  return {
    rows: await insertCorrectedRecords(connection, { bound, table }, records),
    bytes: records.flatMap(({ fields }) => fields).reduce((sum, field) => sum + Buffer.byteLength(field ?? ''), 0),
  };
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

function countRows(judged: readonly Pick<JudgedRow, 'kind'>[]): RowCounts {
  const count = (kind: JudgedRow['kind']): number => judged.filter((row) => row.kind === kind).length;
  return {
    read: judged.length,
    inserted: count('inserted'),
    duplicate: count('duplicate'),
    rejected: count('rejected'),
  };
}

function outcomeOf(
  corrected: readonly Pick<CorrectedRow, 'rejectId'>[],
  states: ReadonlyMap<number, RejectState>,
  ours: readonly RejectState[],
  judged: readonly JudgedRow[],
): Omit<BatchOutcome, 'batchId'> {
  const unknown = corrected.filter(({ rejectId }) => !states.has(rejectId)).length;
  const settled = {
    ...NO_ROWS,
    read: ours.length,
    inserted: ours.filter(({ resolution }) => resolution === 'inserted').length,
    duplicate: ours.filter(({ resolution }) => resolution === 'duplicate').length,
  };
  const counts = countRows([...mainRows(judged).values()]);
  return {
    rows: addCounts(counts, settled),
    resolvedBefore: corrected.length - counts.read - unknown - ours.length,
    unknown,
    rejectedAgain: judged.flatMap(({ kind, rejectId, line, reason }) =>
      kind === 'rejected' && reason !== undefined ? [{ rejectId, line, reason }] : [],
    ),
  };
}
