import { stringify } from 'csv-stringify/sync';
import type { Connection } from '../../platform/db/client.js';
import { TransientError } from '../../platform/db/sqlState.js';
import type { Database } from '../../platform/db/target.js';
import { EVENT_COLUMNS } from '../../contract/columns.js';
import { InterruptedError } from '../../platform/errors.js';
import { failpoint } from '../../platform/failpoint.js';
import type { Batch } from './batch.js';
import { ConnectionPool } from './connectionPool.js';
import { beginBatch, commit, isContention } from './loadBatch.js';
import { insertAccepted } from './slow/loadSlow.js';
import { splitRecords } from './slow/records.js';
import type { Reason } from './slow/reject.js';
import { readEventRules, type EventRules } from './slow/rules.js';

/** A rejected row as a person has corrected it: a text or NULL for each of EVENT_COLUMNS. */
export interface CorrectedRow {
  readonly rejectId: number;
  /** Where it stands in the file of corrections. */
  readonly line: number;
  readonly fields: readonly (string | null)[];
}

/** A row that is still none: its reject stays open. */
export interface RejectedAgain {
  readonly rejectId: number;
  readonly line: number;
  readonly reason: Reason;
}

export interface ReplayResult {
  readonly rows: {
    readonly read: number;
    readonly inserted: number;
    readonly duplicate: number;
    readonly rejected: number;
  };
  /** Rows whose reject another replay had resolved before: nothing was done with them. */
  readonly resolvedBefore: number;
  /** Rows whose reject is not there (any more). */
  readonly unknown: number;
  readonly batchIds: readonly number[];
  /** At most a thousand. */
  readonly rejectedAgain: readonly RejectedAgain[];
}

const MAX_REPORTED = 1000;
const EVENT_ID = EVENT_COLUMNS.indexOf('event_id');

/**
 * Loads corrected rows, exactly once: a batch of them is one transaction that inserts the rows, enters a batch without
 * ranges into the ledger, and resolves the rejects, each by compare-and-set from open to resolved. Doing it again, in
 * parallel, or after a kill finds those resolved and leaves them alone; an equal event that came in another way makes the
 * row a duplicate.
 *
 * It is a third way of loading beside the fast and the slow path, and lives here because only this stage writes events.
 * @throws InterruptedError when stopped between two batches; what was committed stays.
 */
export async function replayRows(
  batches: AsyncIterable<readonly CorrectedRow[]>,
  database: Database,
  stop: AbortSignal,
): Promise<ReplayResult> {
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
    const rules = await pool.use('bulk', 'cannot read the rules of events', readEventRules);
    for await (const corrected of batches) {
      if (stop.aborted)
        throw new InterruptedError({
          what: 'the replay was interrupted',
          outcome: `${rows.inserted + rows.duplicate} rejects are resolved, the others stay open`,
          hint: 'run it again with the same file: what is resolved is left alone',
        });
      const outcome = await replayBatch(pool, rules, corrected);
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

interface BatchOutcome extends Pick<ReplayResult, 'rows' | 'resolvedBefore' | 'unknown' | 'rejectedAgain'> {
  readonly batchId: number | undefined;
}

async function replayBatch(
  pool: ConnectionPool,
  rules: EventRules,
  corrected: readonly CorrectedRow[],
): Promise<BatchOutcome> {
  const attempted = new Set<number>();
  return await pool.use(
    'bulk',
    `cannot replay the rows from line ${corrected[0]?.line ?? 0} on`,
    async (connection) => {
      for (;;) {
        try {
          return await attempt(connection, rules, corrected, attempted);
        } catch (error) {
          await connection.client.query('rollback').catch(() => undefined);
          // A stream loaded one of the events at this moment: the next look finds it.
          if (!isContention(error)) throw error;
        }
      }
    },
  );
}

interface RejectState {
  readonly rejectId: number;
  readonly resolvedBatchId: number | null;
  readonly resolution: 'inserted' | 'duplicate' | null;
}

async function attempt(
  connection: Connection,
  rules: EventRules,
  corrected: readonly CorrectedRow[],
  attempted: Set<number>,
): Promise<BatchOutcome> {
  const startedAt = new Date();
  const batchId = await beginBatch(connection, { rules, lockTimeoutMs: 0, isDurable: true });
  attempted.add(batchId);
  const states = await lockRejects(
    connection,
    corrected.map(({ rejectId }) => rejectId),
  );
  const open = corrected.filter(({ rejectId }) => states.get(rejectId)?.resolution === null);
  const unknown = corrected.filter(({ rejectId }) => !states.has(rejectId)).length;
  // Resolved by an attempt of ours whose COMMIT went through although its reply was lost.
  const ours = [...states.values()].filter(
    ({ resolvedBatchId }) => resolvedBatchId !== null && attempted.has(resolvedBatchId),
  );
  const settled = {
    inserted: ours.filter(({ resolution }) => resolution === 'inserted').length,
    duplicate: ours.filter(({ resolution }) => resolution === 'duplicate').length,
  };
  const resolvedBefore = corrected.length - open.length - unknown - ours.length;
  const batch = asBatch(open);
  const records = splitRecords(batch);
  const { reasons, duplicates } = await insertAccepted(connection, batch, records, rules, () => Promise.resolve());
  failpoint('copied');
  const rejectedAgain = [...reasons]
    .sort(([a], [b]) => a - b)
    .flatMap(([ordinal, reason]) => {
      const row = open[ordinal];
      return row === undefined ? [] : [{ rejectId: row.rejectId, line: row.line, reason }];
    });
  const accepted = open.map((row, ordinal) => ({ ...row, ordinal })).filter(({ ordinal }) => !reasons.has(ordinal));
  const counts = {
    read: records.length,
    inserted: accepted.length - duplicates.size,
    duplicate: duplicates.size,
    rejected: reasons.size,
  };
  const told = {
    rows: {
      read: counts.read + ours.length,
      inserted: counts.inserted + settled.inserted,
      duplicate: counts.duplicate + settled.duplicate,
      rejected: counts.rejected,
    },
    resolvedBefore,
    unknown,
    rejectedAgain,
  };
  if (accepted.length === 0) {
    // Nothing changed: a batch in the ledger would only say that somebody tried.
    await connection.client.query('rollback');
    return { ...told, batchId: ours[0]?.resolvedBatchId ?? undefined };
  }
  await writeReplay(connection, { batchId, startedAt, counts, bytes: batch.parts[0]?.body.length ?? 0 });
  await resolveRejects(
    connection,
    batchId,
    accepted.map(({ rejectId, ordinal, fields }) => ({
      rejectId,
      resolution: duplicates.has(ordinal) ? 'duplicate' : 'inserted',
      eventId: fields[EVENT_ID] ?? '',
    })),
  );
  await commit(connection);
  return { ...told, batchId };
}

/** The rejects as they are, locked in one order so that two replays at once wait for each other instead of for ever. */
async function lockRejects({ client }: Connection, rejectIds: readonly number[]): Promise<Map<number, RejectState>> {
  const { rows } = await client.query<RejectState>(
    `select reject_id as "rejectId", resolved_batch_id as "resolvedBatchId", resolution
     from ecompipe.rejected_rows
     where reject_id = any ($1)
     order by reject_id
     for update`,
    [rejectIds],
  );
  return new Map(rows.map((row) => [row.rejectId, row]));
}

/** The rows as CSV of all columns, so that they go the same way as those of a file. NULL is an empty field, '' a quoted one. */
function asBatch(rows: readonly CorrectedRow[]): Batch {
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
    rows: rows.length,
    plain: false,
  };
  return { columns: EVENT_COLUMNS, parts: [{ ...place, ...part, body }], isDurable: true };
}

interface ReplayEntry {
  readonly batchId: number;
  readonly startedAt: Date;
  readonly counts: {
    readonly read: number;
    readonly inserted: number;
    readonly duplicate: number;
    readonly rejected: number;
  };
  readonly bytes: number;
}

async function writeReplay({ client }: Connection, { batchId, startedAt, counts, bytes }: ReplayEntry): Promise<void> {
  await client.query(
    `insert into ecompipe.batches (batch_id, engine, load_path, started_at, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, columns)
     values ($1, 'native', 'replay', $2, $3, $4, $5, $6, $7, $8)`,
    [batchId, startedAt, counts.read, counts.inserted, counts.duplicate, counts.rejected, bytes, EVENT_COLUMNS],
  );
}

interface Resolution {
  readonly rejectId: number;
  readonly resolution: 'inserted' | 'duplicate';
  readonly eventId: string;
}

async function resolveRejects(
  { client }: Connection,
  batchId: number,
  resolutions: readonly Resolution[],
): Promise<void> {
  const { rowCount } = await client.query(
    `update ecompipe.rejected_rows r
     set resolved_at = clock_timestamp(), resolved_by = session_user, resolved_batch_id = $1, resolution = n.resolution, resolved_event_id = n.event_id
     from unnest ($2::bigint[], $3::text[], $4::uuid[]) as n (reject_id, resolution, event_id)
     where r.reject_id = n.reject_id and r.resolved_at is null`,
    [
      batchId,
      resolutions.map(({ rejectId }) => rejectId),
      resolutions.map(({ resolution }) => resolution),
      resolutions.map(({ eventId }) => eventId),
    ],
  );
  if (rowCount !== resolutions.length)
    throw new TransientError(`${rowCount ?? 0} of ${resolutions.length} rejects were open`);
}
