import { EcompipeError, EXIT } from '../../platform/errors.js';
import type { BatchPart } from './batch.js';
import type { StreamSettings } from './streamEvents.js';
import type { CommittedTotals } from './ledger.js';

/** A file has more rejected rows than `--max-rejected` allows (exit 4). */
export class RejectLimitError extends EcompipeError {
  override readonly name = 'RejectLimitError';
}

/** Makes the check that runs before each commit of rejected rows; what it throws rolls the transaction back. */
export function assertRejectLimit({
  maxRejected,
  atomicFile,
}: Pick<StreamSettings, 'maxRejected' | 'atomicFile'>): (part: BatchPart, totals: CommittedTotals) => void {
  return (part, { read, rejected }) => {
    if (maxRejected === undefined) return;
    const allowed = 'rows' in maxRejected ? maxRejected.rows : maxRejected.share * read;
    if (rejected <= allowed) return;
    const limit = 'rows' in maxRejected ? String(maxRejected.rows) : `${maxRejected.share * 100} %`;
    throw new RejectLimitError(EXIT.rejectLimit, {
      what: `${part.name} has more rejected rows than --max-rejected ${limit}`,
      why: `${rejected} of ${read} rows up to byte ${part.endOffset}`,
      outcome: atomicFile
        ? 'the file was rolled back whole and is where it was'
        : `the last batch was rolled back; what was committed before it stays, and the file is where it was`,
      hint: 'look at the rows with a higher limit and `ecompipe rejects list`, or correct the file',
    });
  };
}
