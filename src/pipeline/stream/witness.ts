import type { Connection } from '../../platform/db/client.js';
import { sqlStateOf, TransientError } from '../../platform/db/sqlState.js';
import { boolean, integer, queryRows } from '../../platform/db/decodeRows.js';

/** A batch that this stream, or an earlier one with its checkpoint, saw committed and on disk. */
export interface WitnessedBatch {
  readonly batchId: number;
  /** Null where an older version wrote the checkpoint: then the id has to do. */
  readonly token: string | null;
  /** When its commit was seen, or when the ledger says that it was, as an ISO 8601 time. */
  readonly seenAt: string;
}

/**
 * More batches than can commit at the same moment. The last one alone would not do: commits are seen in another order than
 * they happened in, and a restore may end between two of them.
 */
export const MAX_WITNESSED = 32;

/**
 * Remembers which batches were seen committed, and compares that with the ledger: whenever a connection is opened, before
 * anything is done on it. A database that was restored, or whose standby took over without having received everything,
 * looks like any other after a reconnect, and would take the next files while those in archive/ are in no table.
 */
export class Witness {
  private batches: WitnessedBatch[];

  constructor(
    batches: readonly WitnessedBatch[],
    /** Told what is missing when the database does not have all of the batches. @returns what to throw. */
    private readonly explainLoss: (connection: Connection, missing: readonly WitnessedBatch[]) => Promise<Error>,
  ) {
    this.batches = batches.slice(-MAX_WITNESSED);
  }

  get recent(): readonly WitnessedBatch[] {
    return this.batches;
  }

  /** The newest by id are kept: those are what a restore loses first, and files that come again are of old ones. */
  saw(batch: WitnessedBatch): void {
    if (this.batches.some(({ batchId, token }) => batchId === batch.batchId && token === batch.token)) return;
    this.batches = [...this.batches, batch].sort((a, b) => a.batchId - b.batchId).slice(-MAX_WITNESSED);
  }

  /**
   * @throws what `explainLoss` makes of it when the ledger does not have every batch; TransientError on a standby, which may
   *   only be behind.
   */
  readonly assertKnown = async (connection: Connection): Promise<void> => {
    const missing = await findMissingBatches(connection, this.batches);
    if (missing.length > 0) throw await this.explainLoss(connection, missing);
  };
}

/** How far this machine's clock, by which a commit was seen, may be ahead of the server's, by which it was pruned. */
const CLOCK_SLACK = '1 hour';

/** A ledger from before there was one, or before it had tokens: undefined table, schema or column. */
export const BEFORE_TOKENS: ReadonlySet<string | undefined> = new Set(['42P01', '3F000', '42703']);

/** Those of the batches that the ledger does not have. What was pruned since is not missing. */
async function findMissingBatches(
  { client }: Connection,
  batches: readonly WitnessedBatch[],
): Promise<readonly WitnessedBatch[]> {
  if (batches.length === 0) return [];
  try {
    const rows = await queryRows(
      client,
      { place: integer, isStandby: boolean },
      `select w.place, pg_is_in_recovery() as is_standby
       from unnest ($1::bigint[], $2::uuid[], $3::timestamptz[]) with ordinality as w (batch_id, token, seen_at, place)
       left join ecompipe.batches b on b.batch_id = w.batch_id and b.token = coalesce(w.token, b.token)
       where b.batch_id is null and not exists (select from ecompipe.prunes p where p.ledger_before > w.seen_at - $4::interval)`,
      [
        batches.map(({ batchId }) => batchId),
        batches.map(({ token }) => token),
        batches.map(({ seenAt }) => seenAt),
        CLOCK_SLACK,
      ],
    );
    if (rows.some(({ isStandby }) => isStandby))
      throw new TransientError('the server is a standby that has not received everything yet');
    const places = new Set(rows.map(({ place }) => place));
    return batches.filter((_, index) => places.has(index + 1));
  } catch (error) {
    if (BEFORE_TOKENS.has(sqlStateOf(error))) return batches;
    throw error;
  }
}
