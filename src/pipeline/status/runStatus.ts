import type { QueryFn, ReadOnlyClient } from '../../platform/db/readOnlyClient.js';
import { readBacklog, type Backlog } from '../../contract/backlog.js';
import { listOptions, type PipelineDirectories } from '../../contract/listFiles.js';
import type { FileSelection } from '../../contract/leftAlone.js';
import { EcompipeError } from '../../platform/errors.js';
import { LOCK_SPACE, ownershipKey, readPolledAge } from '../../contract/streamOwner.js';
import {
  readLatency,
  readLatestBatches,
  readOwners,
  readThroughput,
  readTotals,
  type BatchStatus,
  type Latency,
  type Owner,
  type Throughput,
  type Totals,
  readProblems,
  type Problems,
} from './ledger.js';

export interface StatusPlaces extends FileSelection, PipelineDirectories {
  /** Where files wait to be moved. @default 'data/incoming' */
  readonly incomingDir: string;
  /** Where files wait to be loaded. @default 'data/processing' */
  readonly processingDir: string;
  /** Directory of the checkpoint whose owner is looked for. @default 'checkpoints' */
  readonly checkpointDir: string;
}

export interface LedgerStatus {
  readonly totals: Totals;
  readonly throughput: Throughput;
  /** Age of the last commit; null when nothing was ever loaded. */
  readonly freshnessMs: number | null;
  readonly latency: Latency | undefined;
  readonly problems: Problems;
  readonly batches: readonly BatchStatus[];
  readonly owners: readonly Owner[];
}

/** How the pipeline is doing. */
export interface Status {
  /** ISO 8601. */
  readonly at: string;
  readonly incoming: Backlog;
  readonly processing: Backlog;
  /** How long ago a loader with this checkpoint directory last looked for files or ended; null when none ever did. */
  readonly polledMs: number | null;
  /** Where the database is, for people. */
  readonly database: string;
  /** Undefined when it could not be asked; then `unavailable` says why. */
  readonly ledger: LedgerStatus | undefined;
  readonly unavailable: EcompipeError | undefined;
}

const BATCHES_SHOWN = 5;
const WINDOW_SECONDS = 60;

/**
 * Looks at the directories and the ledger. A database that is away takes nothing from what the directories say.
 * @param observer undefined when there is no database, for the reason given instead.
 */
export async function readStatus(
  places: StatusPlaces,
  label: string,
  database: ReadOnlyClient | EcompipeError,
): Promise<Status> {
  const listing = listOptions(places);
  const [incoming, processing] = await Promise.all([
    readBacklog(places.incomingDir, listing),
    readBacklog(places.processingDir, listing),
  ]);
  const at = new Date();
  const polledMs = await readPolledAge(places.checkpointDir, at.getTime());
  const directories = { at: at.toISOString(), incoming, processing, polledMs, database: label };
  if (database instanceof EcompipeError) return { ...directories, ledger: undefined, unavailable: database };
  try {
    const key = await ownershipKey(places.checkpointDir).catch(() => undefined);
    const ledger = await database.run('cannot read the ledger', (ask) => readLedgerStatus(ask, key));
    return { ...directories, ledger, unavailable: undefined };
  } catch (error) {
    if (!(error instanceof EcompipeError)) throw error;
    return { ...directories, ledger: undefined, unavailable: error };
  }
}

async function readLedgerStatus(ask: QueryFn, key: number | undefined): Promise<LedgerStatus> {
  const { freshnessMs, ...throughput } = await readThroughput(ask, WINDOW_SECONDS);
  return {
    totals: await readTotals(ask),
    throughput,
    freshnessMs,
    latency: await readLatency(ask),
    problems: await readProblems(ask),
    batches: await readLatestBatches(ask, BATCHES_SHOWN),
    owners: await readOwners(ask, LOCK_SPACE, key),
  };
}
