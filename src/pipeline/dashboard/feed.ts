import { setImmediate as nextTurn } from 'node:timers/promises';
import { readBacklog, type Backlog } from '../../contract/backlog.js';
import type { ListOptions } from '../../contract/listFiles.js';
import type { ReadOnlyClient } from '../../platform/db/readOnlyClient.js';
import { DatabaseError } from '../../platform/db/errors.js';
import { EcompipeError, EXIT } from '../../platform/errors.js';
import { WakeSignal } from '../../platform/wait.js';
import { Figures } from './figures.js';
import { History, StageRates, type StageCounts } from './history.js';
import { DEFAULT_RANGE, type TimeRange } from './ranges.js';
import type { RefreshNeeds } from './watchedRefresh.js';
import type { BacklogFigures, DatabaseProblem, Snapshot } from './snapshot.js';

export interface SnapshotFeedSettings {
  /** Where files wait to be moved. @default 'data/incoming' */
  readonly incomingDir: string;
  /** Where files wait to be loaded. @default 'data/processing' */
  readonly processingDir: string;
  /** Which files wait there. @default those that are loaded without feeds */
  readonly listing?: ListOptions | undefined;
  readonly label: string;
  /** Counts of the stages that run in this process; others' are not known. @default none */
  readonly stageCounts?: (() => StageCounts) | undefined;
  /** Give up when the database has been away for so many milliseconds. @default never */
  readonly retryForMs?: number | undefined;
}

const LOOK_INTERVAL_MS = 1000;
/** How often somebody who may have to give up looks while nobody watches. */
const UNWATCHED_INTERVAL_MS = 60_000;

/** A single snapshot that was asked for keeps its range up to date for so long: whoever asks may ask again. */
const ASKED_FOR_MS = 5000;

interface Seen {
  readonly atMs: number;
  readonly incoming: Backlog;
  readonly processing: Backlog;
  readonly problem: DatabaseProblem | null;
}

const NO_BACKLOG: Backlog = {
  directory: '',
  files: 0,
  bytes: 0,
  compressed: 0,
  oldestSinceMs: undefined,
  leftAlone: { entries: 0, first: [] },
  errno: undefined,
};
const NOTHING_SEEN: Seen = { atMs: 0, incoming: NO_BACKLOG, processing: NO_BACKLOG, problem: null };

/** Looks again and again while somebody watches, and tells each time what it saw. */
export class SnapshotFeed implements RefreshNeeds {
  private readonly watchers = new Map<(snapshot: Snapshot) => void, TimeRange>();
  private readonly backlogHistory = new History<'incoming' | 'processing'>(['incoming', 'processing']);
  private readonly figures = new Figures();
  private readonly stageRates: StageRates;
  private readonly wake = new WakeSignal();
  private readonly ended = new AbortController();
  private looking: Promise<void> | undefined;
  private lastError: EcompipeError | undefined;
  private asked: { readonly range: TimeRange; readonly atMs: number } = { range: DEFAULT_RANGE, atMs: 0 };
  private seen: Seen | undefined;

  constructor(
    private readonly observer: ReadOnlyClient,
    private readonly settings: SnapshotFeedSettings,
  ) {
    this.stageRates = new StageRates(settings.stageCounts);
  }

  /** Aborts, with the error as its reason, when looking on makes no sense: only a person can help, or it took too long. */
  get failed(): AbortSignal {
    return this.ended.signal;
  }

  get isWatched(): boolean {
    return this.watchers.size > 0;
  }

  /** Rows were committed in the last seconds. */
  get isLoading(): boolean {
    return (this.figures.common.freshnessMs ?? Infinity) < 10_000;
  }

  /** Rows that the figures of the shop do not hold yet. */
  get pendingRows(): number {
    return this.figures.common.behind?.rows ?? 0;
  }

  /** Calls `onSnapshot` with every look from now on; the returned function ends that. */
  watch(range: TimeRange, onSnapshot: (snapshot: Snapshot) => void): () => void {
    this.watchers.set(onSnapshot, range);
    this.wake.notify();
    return () => this.watchers.delete(onSnapshot);
  }

  /** What was seen last, when that is recent; else a new look. */
  async snapshot(range: TimeRange): Promise<Snapshot> {
    const isKnown = this.ranges().has(range);
    this.asked = { range, atMs: Date.now() };
    // One that is under way knows nothing of this range.
    if (!isKnown) await this.looking;
    if (!isKnown || Date.now() - (this.seen?.atMs ?? 0) >= LOOK_INTERVAL_MS) await this.look();
    return this.snapshotOf(range);
  }

  async run(stop: AbortSignal): Promise<void> {
    const { retryForMs } = this.settings;
    // The first page, too, is answered at once.
    await this.look();
    while (!stop.aborted) {
      const startMs = performance.now();
      if (this.isWatched || retryForMs !== undefined) await this.look();
      for (const [tell, range] of this.watchers) tell(this.snapshotOf(range));
      // What was sent to the pages leaves this process only with the next turn of the event loop, and may be the last word.
      await nextTurn();
      this.failIfHopeless();
      const isAway = this.seen !== undefined && this.seen.problem !== null;
      const isIdle = !this.isWatched && !(isAway && retryForMs !== undefined);
      const intervalMs = isIdle ? UNWATCHED_INTERVAL_MS : LOOK_INTERVAL_MS;
      await this.wake.wait(Math.max(0, intervalMs - (performance.now() - startMs)), stop);
    }
  }

  private failIfHopeless(): void {
    const { seen, lastError } = this;
    if (seen === undefined || seen.problem === null || lastError === undefined) return;
    const { kind, sinceMs } = seen.problem;
    const awayMs = seen.atMs - sinceMs;
    if (kind === 'final') this.ended.abort(lastError);
    else if (kind === 'away' && awayMs >= (this.settings.retryForMs ?? Infinity))
      this.ended.abort(
        new EcompipeError(EXIT.unavailable, {
          ...lastError.facts,
          outcome: `gave up after ${Math.round(awayMs / 1000)} s of retries; nothing is lost, start again when the database is back`,
        }),
      );
  }

  /** One look at a time, whoever asks. */
  private look(): Promise<void> {
    return (this.looking ??= this.lookOnce().finally(() => (this.looking = undefined)));
  }

  private async lookOnce(): Promise<void> {
    const { incomingDir, processingDir, listing } = this.settings;
    const [incoming, processing] = await Promise.all([
      readBacklog(incomingDir, listing),
      readBacklog(processingDir, listing),
    ]);
    const atMs = Date.now();
    this.stageRates.count(atMs);
    this.backlogHistory.add(atMs, { incoming: incoming.files, processing: processing.files });
    this.lastError = await this.askDatabase();
    const sinceMs = this.seen?.problem?.sinceMs ?? atMs;
    const problem = this.lastError === undefined ? null : problemOf(this.lastError, sinceMs);
    this.seen = { atMs, incoming, processing, problem };
  }

  private async askDatabase(): Promise<EcompipeError | undefined> {
    try {
      await this.observer.run('cannot read the tables', (ask) => this.figures.read(ask, this.ranges()));
      return undefined;
    } catch (error) {
      if (!(error instanceof EcompipeError)) throw error;
      return error;
    }
  }

  /** Those of the pages, and what somebody asked for without a page. */
  private ranges(): Set<TimeRange> {
    const { range, atMs } = this.asked;
    const isAsked = !this.isWatched || Date.now() - atMs < ASKED_FOR_MS;
    return new Set([...this.watchers.values(), ...(isAsked ? [range] : [])]);
  }

  private snapshotOf(range: TimeRange): Snapshot {
    const { common } = this.figures;
    const { atMs, incoming, processing, problem } = this.seen ?? NOTHING_SEEN;
    return {
      atMs,
      range,
      database: { label: this.settings.label, problem },
      backlog: {
        incoming: figuresOf(incoming, atMs),
        processing: figuresOf(processing, atMs),
        series: this.backlogHistory.series(range, atMs),
      },
      stages: this.stageRates.rates({
        rowsPerSecond: common.throughput?.rowsPerSecond ?? null,
        filesPerSecond: common.filesPerSecond,
      }),
      ...common,
      ...this.figures.of(range),
    };
  }
}

/** The tables of a database that nobody has migrated. */
const NO_SCHEMA: readonly (string | undefined)[] = ['3F000', '42P01', '42883'];

function problemOf(error: EcompipeError, sinceMs: number): DatabaseProblem {
  const { what, why, hint } = error.facts;
  if (error instanceof DatabaseError && NO_SCHEMA.includes(error.sqlState))
    return {
      kind: 'schema',
      what: 'the database does not have the tables of ecompipe yet',
      why: null,
      hint: '`ecompipe migrate` creates them; the page goes on by itself then',
      sinceMs,
    };
  const kind = error.exitCode === EXIT.unavailable ? 'away' : 'final';
  return { kind, what, why: why ?? null, hint: hint ?? null, sinceMs };
}

function figuresOf({ files, bytes, oldestSinceMs, errno }: Backlog, nowMs: number): BacklogFigures {
  return {
    files,
    bytes,
    oldestMs: oldestSinceMs === undefined ? null : Math.max(0, nowMs - oldestSinceMs),
    errno: errno ?? null,
  };
}
