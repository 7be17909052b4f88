import type { Fingerprint, TypeTotals } from './checksum.js';

/**
 * The generator's manifest: what the database must contain once everything it published is loaded. One run writes one
 * file of JSON lines, `<manifest directory>/<runId>.jsonl`, in this order:
 *
 *     run    once, first
 *     fault  for every row that dirt touched, in front of the `file` line of the file that holds it (without one it
 *            means nothing: the generator was killed while it wrote the file)
 *     file   for every CSV file, written before the file can be seen
 *     end    once, when the run ended in good order
 *
 * **Killed at any moment** the manifest still tells the truth: all files but the last `file` line are published. The
 * last one, when no `end` follows, is published unless its bytes still lie under `staged`; and a line without
 * its newline was never finished, so nothing after the line before it was published. (The generator removes a staged
 * file only after a `withdrawn` line for it.)
 *
 * **Given more than once**: a content is loaded once per SHA-256, whatever it is called, so of several `file` lines with
 * one `sha256` (also of several manifests: the same seed run again) only one counts.
 */
export type ManifestLine = RunLine | FaultLine | FileLine | WithdrawnLine | EndLine;

export const MANIFEST_VERSION = 1;

export interface RunLine {
  readonly line: 'run';
  readonly manifestVersion: typeof MANIFEST_VERSION;
  readonly runId: string;
  /** Version of ecompipe that made it. */
  readonly version: string;
  /** With the rest of this line, everything that it takes to make the same bytes again. */
  readonly seed: number;
  /** First moment of the simulated time, ISO 8601. */
  readonly start: string;
  /** First moment of the events that lead up to `start`, ISO 8601; null without any. Manifests before 1.1 lack it. */
  readonly historyStart?: string | null;
  readonly profile: string;
  readonly products: number;
  /** Upper bound of different users, or null. */
  readonly users: number | null;
  readonly batchSize: number;
  readonly batches: number | null;
  readonly events: number | null;
  /** Events a second of simulated time that were asked for; null when the profile's rhythm decides. */
  readonly ratePerSecond: number | null;
  readonly visitsPerDay: number;
  /** Rates by kind; empty for clean data. */
  readonly dirt: Readonly<Record<string, number>>;
  /** Where the files were published. */
  readonly outputDir: string;
}

/** What must become of a row. `held`: it is not in this file but will come in a later one, with a line of its own there. */
export type Outcome = 'loaded' | 'duplicate' | 'rejected' | 'held';

export interface FaultLine {
  readonly line: 'fault';
  /** One of the kinds of `--dirt`. */
  readonly kind: string;
  /** Name of the CSV file, as published. */
  readonly file: string;
  /** Physical line in it, from 1, where the row begins; the header is line 1. Null for a row that is held. */
  readonly fileLine: number | null;
  /** The row's event_id; null when the row has none that can be read. */
  readonly eventId: string | null;
  readonly outcome: Outcome;
}

/**
 * Sums over the rows of one file. Each row is counted in the file that holds it; of an event that comes twice, the row
 * that was written first counts as loaded and the other one as duplicate. The loader promises no order across files and
 * may see it the other way round: only the sums over all files must agree. (Of contradicting rows the first one must
 * win. That's why both are in one file.)
 */
export interface FileLine extends Fingerprint {
  readonly line: 'file';
  readonly file: string;
  /** Counts the files of the run from 0. */
  readonly sequence: number;
  readonly sha256: string;
  readonly bytes: number;
  /** Data rows as the loader must count them: loaded + duplicates + rejects. */
  readonly rows: number;
  /** Different ids among the file's readable rows. */
  readonly distinctIds: number;
  /** Sequence number of the first of the `events` that the run made for this file; their ids follow from it. */
  readonly firstEvent: number;
  readonly events: number;
  /** Rows that the table must hold because of this file. */
  readonly loaded: number;
  readonly loadedByType: Readonly<Record<string, TypeTotals>>;
  readonly duplicates: Readonly<Record<string, number>>;
  readonly rejects: Readonly<Record<string, number>>;
  /** Kind of the fault for which the file must be quarantined whole; its rows are in none of the counts above. */
  readonly quarantined: string | null;
  /** Name of the file whose bytes these are once more; nothing of it is loaded. */
  readonly redeliveryOf: string | null;
  /** Kinds of faults of the whole file, harmless ones included. */
  readonly fileFaults: readonly string[];
  readonly firstEventTime: string | null;
  readonly lastEventTime: string | null;
  /** Where the bytes lie until the file is published: relative to the output directory. */
  readonly staged: string;
}

/** The file could not be published, and its staged bytes may be gone. It counts for nothing. */
export interface WithdrawnLine {
  readonly line: 'withdrawn';
  readonly file: string;
}

export interface EndLine {
  readonly line: 'end';
  readonly files: number;
  readonly events: number;
  readonly rows: number;
}
