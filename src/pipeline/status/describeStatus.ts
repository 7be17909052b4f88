import type { Backlog } from '../../contract/backlog.js';
import { describeLeftAlone } from '../../contract/leftAlone.js';
import { clip } from '../../platform/clip.js';
import { countOf, formatBytes, formatCount, formatSpan, shortName } from '../../platform/format.js';
import type { ErrorFacts } from '../../platform/errors.js';
import { printableLine } from '../../platform/printable.js';
import type { BatchStatus } from './ledger.js';
import type { Violation } from './limits.js';
import type { LedgerStatus, Status } from './runStatus.js';

const NAME_WIDTH = 11;

/** The status on one screen, no line longer than `columns`; Infinity: nothing is cut. */
export function describeStatus(status: Status, violations: readonly Violation[] | undefined, columns: number): string {
  const { ledger, unavailable } = status;
  const nowMs = Date.parse(status.at);
  const lines = [
    `ecompipe  ${status.at.slice(0, 19).replace('T', ' ')} UTC  ${status.database}`,
    '',
    line('incoming', describeBacklog(status.incoming, nowMs)),
    line('processing', describeBacklog(status.processing, nowMs)),
    ...(ledger === undefined ? [] : ledgerLines(ledger)),
    ...(unavailable === undefined ? [] : ['', ...unavailableLines(unavailable.facts)]),
    ...(violations === undefined
      ? []
      : [
          '',
          ...(violations.length === 0
            ? [line('check', unavailable === undefined ? 'all is well' : 'failed: the ledger can not be asked')]
            : violations.map(({ message }) => line('check', `failed: ${message}`))),
        ]),
  ];
  return lines.map((text) => clip(printableLine(text), columns)).join('\n');
}

function ledgerLines({ totals, throughput, freshnessMs, latency, problems, batches, owners }: LedgerStatus): string[] {
  const { lastReject, lastQuarantine } = problems;
  return [
    line(
      'loaded',
      `${countOf(totals.inserted, 'row')} from ${countOf(totals.loadedFiles, 'file')}${totals.loadingFiles === 0 ? '' : `, ${formatCount(totals.loadingFiles)} more begun`}`,
    ),
    line(
      'not loaded',
      `${countOf(totals.duplicate, 'duplicate')}, ${formatCount(totals.rejected)} rejected; ${countOf(totals.redeliveries, 'file')} again, ${formatCount(totals.quarantinedFiles)} in quarantine`,
    ),
    line(
      'speed',
      `${formatCount(throughput.rowsPerSecond)} rows/s, ${formatBytes(throughput.bytesPerSecond)}/s in ${countOf(throughput.batches, 'batch', 'batches')} over ${throughput.windowMs >= 60_000 ? 'the last minute' : `the last ${formatSpan(throughput.windowMs)}`}`,
    ),
    line('freshness', freshnessMs === null ? 'nothing was ever loaded' : `last commit ${formatSpan(freshnessMs)} ago`),
    line(
      'latency',
      latency === undefined
        ? 'no file loaded yet'
        : `p50 ${formatSpan(latency.p50Ms)}, p99 ${formatSpan(latency.p99Ms)} from written to visible, last ${countOf(latency.files, 'file')}`,
    ),
    ...(owners.length === 0
      ? [line('loader', 'none is running')]
      : owners.map(({ client, forMs, isOurs }) =>
          line(
            'loader',
            `running${forMs === null ? '' : ` for ${formatSpan(forMs)}`}${client === null ? '' : ` on ${client}`}${isOurs ? ', owns the checkpoint here' : ', with another checkpoint directory'}`,
          ),
        )),
    ...(lastReject === undefined
      ? []
      : [
          line(
            'last reject',
            `${formatSpan(lastReject.ageMs)} ago, ${shortName(lastReject.file)}:${lastReject.line}: ${oneLine(lastReject.message)}`,
          ),
        ]),
    ...(lastQuarantine === undefined
      ? []
      : [
          line(
            'quarantine',
            `${formatSpan(lastQuarantine.ageMs)} ago, ${shortName(lastQuarantine.file)}: ${oneLine(lastQuarantine.reason)}`,
          ),
        ]),
    ...(batches.length === 0 ? [] : ['', ...batchTable(batches)]),
  ];
}

function unavailableLines({ what, why, hint }: ErrorFacts): string[] {
  return [
    line('database', oneLine(what)),
    ...[why, hint === undefined ? undefined : `hint: ${hint}`]
      .filter((text) => text !== undefined)
      .map((text) => line('', oneLine(text))),
  ];
}

function describeBacklog({ files, bytes, oldestSinceMs, leftAlone, directory, errno }: Backlog, nowMs: number): string {
  if (errno === 'ENOENT') return `${directory} does not exist`;
  if (errno !== undefined) return `${directory} cannot be read: ${errno}`;
  const others = leftAlone.entries === 0 ? '' : `; left alone: ${describeLeftAlone(leftAlone)}`;
  if (oldestSinceMs === undefined) return `nothing waits in ${directory}${others}`;
  return `${countOf(files, 'file')}, ${formatBytes(bytes)}, waiting for up to ${formatSpan(Math.max(0, nowMs - oldestSinceMs))}${others}`;
}

function batchTable(batches: readonly BatchStatus[]): string[] {
  const head = ['batch', 'rows', 'loaded', 'rejected', 'size', 'took', 'path', 'ago'];
  const rows = batches.map(({ batchId, read, inserted, rejected, bytes, durationMs, loadPath, engine, ageMs }) => [
    String(batchId),
    formatCount(read),
    formatCount(inserted),
    formatCount(rejected),
    formatBytes(bytes),
    formatSpan(durationMs),
    engine === 'native' ? loadPath : engine,
    formatSpan(ageMs),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  return [head, ...rows].map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '));
}

function line(name: string, text: string): string {
  return `${name.padEnd(NAME_WIDTH)} ${text}`.trimEnd();
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}

/** The status as one JSON document; its keys are stable. */
export function statusJson(
  { at, incoming, processing, database, ledger, unavailable }: Status,
  violations: readonly Violation[] | undefined,
): Record<string, unknown> {
  return {
    at,
    incoming: backlogJson(incoming, Date.parse(at)),
    processing: backlogJson(processing, Date.parse(at)),
    database: {
      label: database,
      available: unavailable === undefined,
      ...(unavailable === undefined
        ? {}
        : { what: unavailable.facts.what, why: unavailable.facts.why, hint: unavailable.facts.hint }),
    },
    ...(ledger === undefined
      ? {}
      : {
          ledger: {
            ...ledger,
            latency: ledger.latency ?? null,
            problems: {
              ...ledger.problems,
              lastReject: ledger.problems.lastReject ?? null,
              lastQuarantine: ledger.problems.lastQuarantine ?? null,
            },
          },
        }),
    ...(violations === undefined
      ? {}
      : { check: { ok: violations.length === 0 && unavailable === undefined, violations } }),
  };
}

function backlogJson(
  { directory, files, bytes, oldestSinceMs, leftAlone, errno }: Backlog,
  nowMs: number,
): Record<string, unknown> {
  return {
    directory,
    files,
    bytes,
    oldestMs: oldestSinceMs === undefined ? null : Math.max(0, nowMs - oldestSinceMs),
    leftAlone,
    errno: errno ?? null,
  };
}
