import { describeLeftAlone, type LeftAloneSummary } from '../../contract/leftAlone.js';
import { countOf, formatBytes, withPace } from '../../platform/format.js';
import type { StreamResult } from './streamEvents.js';

/** What else is worth saying about where files are. */
export interface LeftBehind {
  /** Files that wait in the input directory: the run was stopped, or could not load them. */
  readonly inputFiles: number;
  /** What of them is not loaded; undefined where compressed files hide it. */
  readonly inputBytes: number | undefined;
  /** By the rows that this run read; undefined when it read none. */
  readonly bytesPerRow: number | undefined;
  readonly inputDir: string;
  /** Files that wait to be moved there. */
  readonly incomingFiles: number;
  readonly incomingDir: string;
  /** What lies in the input directory and is not loaded. */
  readonly leftAlone: LeftAloneSummary;
}

/** The result for people: how much, how long, how fast, and what was not loaded. */
export function describeStream(result: StreamResult, durationMs: number, left: LeftBehind | undefined): string {
  const { filesLoaded, filesRedelivered, filesQuarantined, rows, recordsSkipped } = result;
  const amount = `loaded ${countOf(rows.inserted, 'row')} from ${countOf(filesLoaded, 'file')}`;
  const lines = [withPace(amount, rows.inserted, durationMs)];
  if (rows.duplicate > 0) lines.push(`  ${countOf(rows.duplicate, 'row')} in the table already (duplicates)`);
  if (rows.rejected > 0)
    lines.push(`  ${countOf(rows.rejected, 'row')} rejected; kept in ecompipe.rejected_rows with the reasons`);
  if (recordsSkipped !== undefined) lines.push(`  ${countOf(recordsSkipped, 'record')} left out by their feed`);
  if (filesRedelivered > 0) lines.push(`  ${countOf(filesRedelivered, 'file')} loaded before and not loaded again`);
  if (filesQuarantined > 0)
    lines.push(`  ${countOf(filesQuarantined, 'file')} unreadable and in quarantine, each with a .reason.json`);
  return [...lines, ...(left === undefined ? [] : describeLeft(left, filesLoaded))].join('\n');
}

function describeLeft(left: LeftBehind, loaded: number): string[] {
  const { inputFiles, inputDir, incomingFiles, incomingDir, leftAlone } = left;
  const lines = [];
  if (leftAlone.entries > 0) lines.push(`  left alone in ${inputDir}: ${describeLeftAlone(leftAlone)}`);
  if (inputFiles > 0)
    lines.push(`  ${waiting(inputFiles)} in ${inputDir}${amountLeft(left)}: the next run loads what is left`);
  if (loaded === 0 && inputFiles === 0 && incomingFiles > 0)
    lines.push(`  ${waiting(incomingFiles)} in ${incomingDir}: \`ecompipe move --once\` brings them here`);
  return lines;
}

/** Two digits of an estimate: rows of one kind differ little in length. */
function amountLeft({ inputBytes, bytesPerRow }: LeftBehind): string {
  if (inputBytes === undefined) return '';
  if (bytesPerRow === undefined) return ` (${formatBytes(inputBytes)})`;
  return ` (about ${countOf(Number((inputBytes / bytesPerRow).toPrecision(2)), 'row')})`;
}

function waiting(files: number): string {
  return `${countOf(files, 'file')} ${files === 1 ? 'waits' : 'wait'}`;
}
