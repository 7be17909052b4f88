import { countOf, formatSpan } from '../../platform/format.js';
import type { Finding, FindingKind, VerifyResult, VerifyEvent } from './verifyEvents.js';
import { printableLine } from '../../platform/printable.js';
import type { Logger } from '../../platform/log.js';

const SHOWN = 20;

const WORDS: Readonly<Record<FindingKind, string>> = {
  lost: 'lost',
  duplicated: 'duplicated',
  corrupted: 'corrupted',
  wronglyAccepted: 'wrongly accepted',
  wronglyRejected: 'wrongly rejected',
  wronglyQuarantined: 'wrongly quarantined',
  wronglyLoaded: 'wrongly loaded',
  miscounted: 'miscounted',
  unproven: 'unproven',
};

const ALWAYS: ReadonlySet<FindingKind> = new Set(['lost', 'duplicated', 'corrupted']);

/** The result for people: the verdict in one line, what it is about, and what is off. */
export function describeVerify(result: VerifyResult): string {
  const {
    counts,
    files,
    rows,
    runs,
    duplicates,
    rejects,
    quarantined,
    pendingFiles,
    pendingRows,
    prunedFiles,
    prunedRows,
    durationMs,
    findings,
  } = result;
  const verdict = (Object.keys(WORDS) as FindingKind[])
    .filter((kind) => ALWAYS.has(kind) || counts[kind] > 0)
    .map((kind) => `${WORDS[kind]} ${counts[kind]}`);
  const also = [
    duplicates > 0 ? countOf(duplicates, 'duplicate') : undefined,
    rejects > 0 ? countOf(rejects, 'reject') : undefined,
    quarantined > 0 ? `${countOf(quarantined, 'file')} in quarantine` : undefined,
  ].filter((part) => part !== undefined);
  const lines = [
    verdict.join(' · '),
    `${countOf(rows, 'row')} of ${countOf(files, 'file')} from ${countOf(runs, 'run')}${also.length === 0 ? '' : `, ${also.join(', ')}`}; ${formatSpan(durationMs)}`,
  ];
  if (pendingFiles > 0)
    lines.push(
      `not all is loaded yet: ${countOf(pendingFiles, 'file')} with ${countOf(pendingRows, 'row')} ${pendingFiles === 1 ? 'is' : 'are'} pending (--allow-pending leaves them out of the verdict)`,
    );
  if (prunedFiles > 0)
    lines.push(
      `${countOf(prunedFiles, 'file')} with ${countOf(prunedRows, 'row')} left out: events of them were pruned`,
    );
  lines.push(...findings.slice(0, SHOWN).map(describeFinding));
  if (findings.length > SHOWN) lines.push(`  and more: --json shows the first ${findings.length}`);
  return lines.join('\n');
}

function describeFinding({ kind, file, line, eventId, detail }: Finding): string {
  const place = file === undefined ? undefined : line === undefined ? file : `${file}:${line}`;
  const head = [WORDS[kind], place, eventId === undefined ? undefined : `event ${eventId}`];
  return `  ${printableLine(`${head.filter((part) => part !== undefined).join(', ')}: ${detail}`)}`;
}

const PROGRESS_INTERVAL_MS = 10_000;

/** Writes what verify does to a log: progress every 10 s. */
export function createVerifyEventLogger(log: Logger): (event: VerifyEvent) => void {
  let lastProgressMs = performance.now();
  return (event) => {
    const { type, ...fields } = event;
    if (type === 'manifestsRead') {
      log.debug(
        'manifests_read',
        `${countOf(event.files, 'file')} of ${countOf(event.runs, 'run')}, ${countOf(event.faults, 'fault')}`,
        fields,
      );
      return;
    }
    const nowMs = performance.now();
    if (nowMs - lastProgressMs < PROGRESS_INTERVAL_MS) return;
    lastProgressMs = nowMs;
    if (type === 'tableScanned')
      log.info(
        'verify_progress',
        `${Math.round(event.share * 100)} % of the table read, ${countOf(event.rows, 'row')}`,
        fields,
      );
    else log.info('verify_progress', `${event.files} of ${countOf(event.of, 'file')} compared row by row`, fields);
  };
}
