import type { Connection } from '../../platform/db/client.js';
import { EcompipeError, EXIT } from '../../platform/errors.js';
import type { BatchPart } from './batch.js';
import { quarantineRest, type CommittedPart, type CommittedTotals } from './ledger.js';
import type { StreamSettings } from './streamEvents.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

/** A file has more rejected rows than `--max-rejected` allows (exit 4). */
export class RejectLimitError extends EcompipeError {
  override readonly name = 'RejectLimitError';
}

/** Rejected rows of one file that are kept, where nobody set a limit: a file of garbage must not fill the disk. */
const MAX_KEPT_REJECTS = 1_000_000;
/** A file is not given up on before so many of its rows are read. */
const MIN_ROWS_TO_JUDGE = 10_000;
/** Share of rejected rows from which on a file counts as garbage. */
const GARBAGE_SHARE = 0.5;

/** What becomes of a file that has many rejected rows. Asked before each commit, with all that the file has had so far. */
export interface RejectLimits {
  /** @throws RejectLimitError, which rolls the transaction back, where a limit was set and is exceeded. */
  readonly assertAllowed: (part: BatchPart, totals: CommittedTotals) => void;
  /** Why the rest of the file is not worth loading, if it is not. What is read of it stays. */
  readonly reasonToStop: (totals: CommittedTotals) => string | undefined;
}

/** The limits that the settings ask for: `--max-rejected N`, `none`, or the ones that hold by default. */
export function rejectLimits(settings: Pick<StreamSettings, 'maxRejected' | 'atomicFile'>): RejectLimits {
  return {
    assertAllowed: (part, totals) => assertAllowed(settings, part, totals),
    reasonToStop: (totals) => (settings.maxRejected === undefined ? reasonToStop(totals) : undefined),
  };
}

/** A replay has no file that could be given up. */
export const NO_LIMITS: RejectLimits = { assertAllowed: () => undefined, reasonToStop: () => undefined };

function assertAllowed(
  { maxRejected, atomicFile }: Pick<StreamSettings, 'maxRejected' | 'atomicFile'>,
  part: BatchPart,
  { read, rejected }: CommittedTotals,
): void {
  if (maxRejected === undefined || maxRejected === 'none') return;
  const allowed = 'rows' in maxRejected ? maxRejected.rows : maxRejected.share * read;
  if (rejected <= allowed) return;
  const limit = 'rows' in maxRejected ? String(maxRejected.rows) : `${maxRejected.share * 100} %`;
  throw new RejectLimitError(EXIT.rejectLimit, {
    what: `${printableLine(part.name)} has more rejected rows than --max-rejected ${limit}`,
    why: `${rejected} of ${countOf(read, 'row')} up to byte ${part.endOffset}`,
    outcome: atomicFile
      ? 'the whole file was rolled back, and it was left in place'
      : `the last batch was rolled back; earlier batches stay committed, and the file was left in place`,
    hint: 'look at the rows with a higher limit and `ecompipe rejects list`, or correct the file',
  });
}

function reasonToStop({ read, rejected }: CommittedTotals): string | undefined {
  const isGarbage = read >= MIN_ROWS_TO_JUDGE && rejected > GARBAGE_SHARE * read;
  if (!isGarbage && rejected <= MAX_KEPT_REJECTS) return undefined;
  return `${rejected} of the first ${countOf(read, 'row')} were rejected, so the rest was not loaded; of these rows ${read - rejected} were good and stay (ecompipe undo --file removes them; --max-rejected none sets no limit)`;
}

/** Gives up, in the transaction that is about to commit, the rest of files that are mostly rejects. */
export async function stopRejectedFiles(
  connection: Connection,
  { reasonToStop: reasonOf }: RejectLimits,
  parts: readonly CommittedPart[],
  totals: readonly CommittedTotals[],
): Promise<void> {
  for (const total of totals) {
    const reason = reasonOf(total);
    const hasRest = parts.some(({ fileId, part }) => fileId === total.fileId && !part.isLast);
    if (reason !== undefined && hasRest) await quarantineRest(connection, total.fileId, reason);
  }
}
