import { randomBytes } from 'node:crypto';

/** Whether the last part of a name begins with a dot. */
export function isHiddenName(name: string): boolean {
  return name.startsWith('.', name.lastIndexOf('/') + 1);
}

/** Names of files that a stage takes for finished CSV: `*.csv` and `*.csv.gz` in any case, not hidden. */
export function isLoadableName(name: string): boolean {
  return !isHiddenName(name) && /\.csv(\.gz)?$/i.test(name);
}

/** Names under which editors, browsers, rsync and upload servers keep what they are still writing. */
export function isUnfinishedName(name: string): boolean {
  return name.startsWith('.') || /(~|\.(tmp|part|partial|filepart|crdownload|download|swp))$/i.test(name);
}

/**
 * Names one run of the generator. It sorts by start time and never repeats: two runs in one millisecond, or after the
 * clock was set back, still differ in 32 random bits.
 */
export function createRunId(startedAt: Date): string {
  return `${startedAt.toISOString().replace(/[-:.]/g, '')}-${randomBytes(4).toString('hex')}`;
}

/**
 * The name of a run's `sequence`-th file (from 0): `events-20261122T133000123Z-1f2e3d4c-000000000.csv`. Only characters
 * that every file system allows, and no two that differ by case alone.
 */
export function generatedFileName(runId: string, sequence: number): string {
  return `events-${runId}-${String(sequence).padStart(9, '0')}.csv`;
}

/**
 * Whether the name is one that our generator gives. It does not prove that the file is whole: whoever copies it writes
 * under this name from the first byte on. Only, an empty file of this name may be meant to be empty (a fault of `--dirt`).
 */
export function isGeneratedName(name: string): boolean {
  return /^events-\d{8}T\d{9}Z-[0-9a-f]{8}-\d{9,}\.csv$/.test(name);
}
