import type { QueryFn, ReadOnlyClient } from '../../platform/db/readOnlyClient.js';
import { readBacklog, type Backlog } from '../../contract/backlog.js';
import type { ListOptions } from '../../contract/listFiles.js';
import { EcompipeError } from '../../platform/errors.js';
import { pause } from '../../platform/wait.js';
import {
  readLatency,
  readLatestBatches,
  readThroughput,
  type BatchStatus,
  type Latency,
  type Throughput,
} from '../status/ledger.js';
import { History } from './history.js';
import { readLatencies, readRates, readRejects, type RejectFigures, type Series } from './pipeline.js';
import type { RefreshNeeds } from './refresh.js';
import { readShop, type ShopFigures } from './shop.js';
import { StageRates, type StageCounts, type StageRate } from './stageRates.js';

/** Everything that the page shows. Parts of the database stay as they were while it is away. */
export interface Snapshot {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly database: {
    readonly label: string;
    readonly problem: {
      readonly what: string;
      readonly why: string | null;
      readonly hint: string | null;
      readonly sinceMs: number;
    } | null;
  };
  readonly backlog: {
    readonly incoming: BacklogFigures;
    readonly processing: BacklogFigures;
    readonly series: Series<'incoming' | 'processing'>;
  };
  readonly stages: readonly StageRate[];
  readonly throughput: Throughput | null;
  readonly freshnessMs: number | null;
  readonly rates: Series<'inserted' | 'duplicate' | 'rejected'> | null;
  readonly latency:
    (Series<'p50' | 'p99'> & { readonly filesPerSecond: number; readonly latest: Latency | null }) | null;
  readonly batches: readonly BatchStatus[];
  readonly rejects: RejectFigures | null;
  readonly shop: ShopFigures | null;
}

export type BacklogFigures = Pick<Backlog, 'files' | 'bytes'> & {
  readonly oldestMs: number | null;
  readonly errno: string | null;
};

export interface FeedSettings {
  readonly incomingDir: string;
  readonly processingDir: string;
  /** Which files wait there. Default: those that are loaded without feeds. */
  readonly listing?: ListOptions | undefined;
  readonly label: string;
  /** Counts of the stages that run in this process; others' are not known. */
  readonly stageCounts?: (() => StageCounts) | undefined;
}

const LOOK_INTERVAL_MS = 1000;
const BATCHES_SHOWN = 15;
/** Two files of the generator's default interval. */
const WINDOW_SECONDS = 10;
/** A look that is slow, because the tables are huge or the server is busy, comes more seldom: looking takes a twentieth at most. */
const PAUSE_PER_LOOK = 19;

type Part = 'ledger' | 'latency' | 'rejects' | 'shop';
const PART_INTERVAL_MS: Readonly<Record<Part, number>> = { ledger: 1000, latency: 2000, rejects: 3000, shop: 2000 };

/** Looks again and again while somebody watches, and tells each time what it saw. */
export class Feed implements RefreshNeeds {
  private readonly watchers = new Set<(snapshot: Snapshot) => void>();
  private readonly backlogHistory = new History<'incoming' | 'processing'>();
  private readonly stageRates: StageRates;
  private readonly dueMs: Record<Part, number> = { ledger: 0, latency: 0, rejects: 0, shop: 0 };
  private wake = new AbortController();
  private looking: Promise<Snapshot> | undefined;
  private problemSinceMs: number | undefined;
  private latest: Snapshot;

  constructor(
    private readonly observer: ReadOnlyClient,
    private readonly settings: FeedSettings,
  ) {
    this.stageRates = new StageRates(settings.stageCounts);
    const nothing = { files: 0, bytes: 0, oldestMs: null, errno: null };
    const series = { times: [], values: { incoming: [], processing: [] } };
    this.latest = {
      atMs: 0,
      database: { label: settings.label, problem: null },
      backlog: { incoming: nothing, processing: nothing, series },
      stages: [],
      throughput: null,
      freshnessMs: null,
      rates: null,
      latency: null,
      batches: [],
      rejects: null,
      shop: null,
    };
  }

  get isWatched(): boolean {
    return this.watchers.size > 0;
  }

  /** Rows were committed in the last seconds. */
  get isLoading(): boolean {
    return (this.latest.freshnessMs ?? Infinity) < 10_000;
  }

  /** Rows that the figures of the shop do not hold yet. */
  get pendingRows(): number {
    return this.latest.shop?.behind.rows ?? 0;
  }

  /** Calls `onSnapshot` with every look from now on; the returned function ends that. */
  watch(onSnapshot: (snapshot: Snapshot) => void): () => void {
    this.watchers.add(onSnapshot);
    this.wake.abort();
    return () => this.watchers.delete(onSnapshot);
  }

  /** What was seen last, when that is recent; else a new look. */
  async snapshot(): Promise<Snapshot> {
    return Date.now() - this.latest.atMs < LOOK_INTERVAL_MS ? this.latest : await this.look();
  }

  async run(stop: AbortSignal): Promise<void> {
    // The first page, too, is answered at once.
    await this.look();
    while (!stop.aborted) {
      if (!this.isWatched) {
        this.wake = new AbortController();
        await pause(60_000, stop, this.wake.signal);
        continue;
      }
      const startMs = performance.now();
      const snapshot = await this.look();
      for (const tell of this.watchers) tell(snapshot);
      await pause(Math.max(0, LOOK_INTERVAL_MS - (performance.now() - startMs)), stop);
    }
  }

  /** One look at a time, whoever asks. */
  private look(): Promise<Snapshot> {
    return (this.looking ??= this.lookOnce().finally(() => (this.looking = undefined)));
  }

  private async lookOnce(): Promise<Snapshot> {
    const { incomingDir, processingDir, listing, label } = this.settings;
    const [incoming, processing] = await Promise.all([
      readBacklog(incomingDir, listing),
      readBacklog(processingDir, listing),
    ]);
    const atMs = Date.now();
    this.backlogHistory.add(atMs, { incoming: incoming.files, processing: processing.files });
    const backlog = {
      incoming: figuresOf(incoming, atMs),
      processing: figuresOf(processing, atMs),
      series: this.backlogHistory.series(),
    };
    const { problem, ...parts } = await this.askDatabase();
    this.problemSinceMs = problem === null ? undefined : (this.problemSinceMs ?? atMs);
    const shownProblem =
      problem === null
        ? null
        : {
            what: problem.facts.what,
            why: problem.facts.why ?? null,
            hint: problem.facts.hint ?? null,
            sinceMs: this.problemSinceMs ?? atMs,
          };
    const merged = { ...this.latest, ...parts };
    this.latest = {
      ...merged,
      atMs,
      database: { label, problem: shownProblem },
      backlog,
      stages: this.stageRates.next(atMs, {
        rowsPerSecond: merged.throughput?.rowsPerSecond ?? null,
        filesPerSecond: merged.latency?.filesPerSecond ?? null,
      }),
    };
    return this.latest;
  }

  private async askDatabase(): Promise<Partial<Snapshot> & { problem: EcompipeError | null }> {
    try {
      return { problem: null, ...(await this.observer.run('cannot read the tables', (ask) => this.askParts(ask))) };
    } catch (error) {
      if (!(error instanceof EcompipeError)) throw error;
      return { problem: error };
    }
  }

  private async askParts(ask: QueryFn): Promise<Partial<Snapshot>> {
    const ledger = await this.part('ledger', async () => {
      const { freshnessMs, ...throughput } = await readThroughput(ask, WINDOW_SECONDS);
      return {
        freshnessMs,
        throughput,
        rates: await readRates(ask),
        batches: await readLatestBatches(ask, BATCHES_SHOWN),
      };
    });
    const latency = await this.part('latency', async () => ({
      latency: { ...(await readLatencies(ask)), latest: (await readLatency(ask)) ?? null },
    }));
    const rejects = await this.part('rejects', async () => ({ rejects: await readRejects(ask) }));
    const shop = await this.part('shop', async () => ({ shop: await readShop(ask) }));
    return { ...ledger, ...latency, ...rejects, ...shop };
  }

  private async part(name: Part, read: () => Promise<Partial<Snapshot>>): Promise<Partial<Snapshot>> {
    const startMs = performance.now();
    if (startMs < this.dueMs[name]) return {};
    const found = await read();
    this.dueMs[name] = startMs + Math.max(PART_INTERVAL_MS[name] - 100, PAUSE_PER_LOOK * (performance.now() - startMs));
    return found;
  }
}

function figuresOf({ files, bytes, oldestSinceMs, errno }: Backlog, nowMs: number): BacklogFigures {
  return {
    files,
    bytes,
    oldestMs: oldestSinceMs === undefined ? null : Math.max(0, nowMs - oldestSinceMs),
    errno: errno ?? null,
  };
}
