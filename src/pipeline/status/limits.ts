import { countOf, formatCount, formatSpan } from '../../platform/format.js';
import type { Status } from './runStatus.js';

/** What must hold for all to be well; undefined: not looked at. */
export interface Limits {
  /** Files that wait in incoming/ and processing/ together. @default no limit */
  readonly maxPending: number | undefined;
  /** How long a file may have waited, in milliseconds. @default no limit */
  readonly maxPendingMs: number | undefined;
  /** Age of the last commit, in milliseconds. @default no limit */
  readonly maxFreshnessMs: number | undefined;
  /** How long ago any loader may have committed or looked for files last, in milliseconds. @default no limit */
  readonly maxIdleMs: number | undefined;
  /** Of the rows that the last hour's batches read, from 0 to 1. @default no limit */
  readonly maxRejectShare: number | undefined;
  /** Files that went to quarantine within the last hour. @default no limit */
  readonly maxQuarantined: number | undefined;
}

export interface Violation {
  readonly limit: keyof Limits | 'directory';
  readonly message: string;
}

/** Which limits do not hold. Those on the ledger are left out while the database is away, which is worse. */
export function findViolations(
  { incoming, processing, polledMs, ledger }: Status,
  limits: Limits,
  nowMs = Date.now(),
): Violation[] {
  const found: Violation[] = [];
  const check = (
    limit: keyof Limits,
    value: number | undefined,
    message: (value: number, allowed: number) => string,
  ): void => {
    const allowed = limits[limit];
    if (allowed !== undefined && value !== undefined && value > allowed)
      found.push({ limit, message: message(value, allowed) });
  };
  for (const { directory, errno } of [incoming, processing]) {
    if (errno !== undefined)
      found.push({
        limit: 'directory',
        message: errno === 'ENOENT' ? `${directory} does not exist` : `${directory} cannot be read (${errno})`,
      });
  }
  const oldestSinceMs = Math.min(incoming.oldestSinceMs ?? Infinity, processing.oldestSinceMs ?? Infinity);
  check(
    'maxPending',
    incoming.files + processing.files,
    (value, allowed) => `${countOf(value, 'file waits', 'files wait')} (limit ${formatCount(allowed)})`,
  );
  check(
    'maxPendingMs',
    oldestSinceMs === Infinity ? undefined : nowMs - oldestSinceMs,
    (value, allowed) => `a file has waited for ${formatSpan(value)} (limit ${formatSpan(allowed)})`,
  );
  check(
    'maxIdleMs',
    Math.min(polledMs ?? Infinity, ledger?.freshnessMs ?? Infinity),
    (value, allowed) =>
      `${value === Infinity ? 'no loader has ever run here' : `no loader has committed or looked for files for ${formatSpan(value)}`} (limit ${formatSpan(allowed)})`,
  );
  if (ledger === undefined) return found;
  const { recentRead, recentRejected, recentQuarantined } = ledger.problems;
  check(
    'maxFreshnessMs',
    ledger.freshnessMs ?? Infinity,
    (value, allowed) =>
      `${value === Infinity ? 'nothing was ever loaded' : `the last commit is ${formatSpan(value)} old`} (limit ${formatSpan(allowed)})`,
  );
  check(
    'maxRejectShare',
    recentRead === 0 ? 0 : recentRejected / recentRead,
    (value, allowed) => `${percent(value)} of the last hour's rows were rejected (limit ${percent(allowed)})`,
  );
  check(
    'maxQuarantined',
    recentQuarantined,
    (value, allowed) =>
      `${countOf(value, 'file')} went to quarantine within the last hour (limit ${formatCount(allowed)})`,
  );
  return found;
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}
