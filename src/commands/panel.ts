import { Chalk, type ChalkInstance } from 'chalk';
import { readBacklog } from '../contract/backlog.js';
import type { ListOptions } from '../contract/listFiles.js';
import { countOf, formatCount } from '../platform/format.js';
import { type Logger } from '../platform/log.js';
import { terminalSize } from '../platform/terminal.js';
import { TimeWindow } from '../platform/timeWindow.js';
import type { SnapshotFeed } from '../pipeline/dashboard/feed.js';
import { DEFAULT_RANGE } from '../pipeline/dashboard/ranges.js';
import type { Snapshot } from '../pipeline/dashboard/snapshot.js';
import { historyProgress, type PipelineState } from '../pipeline/pipelineState.js';
import { panelText, type Waiting } from './panelText.js';
import { createSpinner, redrawOnResize } from './progress.js';
import { reportRejects } from './rejectReport.js';

const REFRESH_MS = 250;
const SECOND_MS = 1000;
const PLAIN_INTERVAL_MS = 10_000;
/** Speed over the last seconds. */
const WINDOW_MS = 5000;
/** More than the widest sparkline. */
const SECONDS_KEPT = 60;

/** Shows what the pipeline does while it runs. */
export interface ProgressDisplay {
  /** Shows the figures of shop and database, too, from what the dashboard shows. */
  follow(feed: Pick<SnapshotFeed, 'watch'>): void;
  /** Takes the display away so that something else can be printed. */
  stop(): void;
}

export interface DisplayOptions {
  readonly interactive: boolean;
  readonly color: boolean;
  readonly quiet: boolean;
  readonly log: Logger;
  /** Hears how much is drained, from 0 to 1: what a second Ctrl-C reports. */
  readonly onProgress: (share: number) => void;
  readonly incomingDir: string;
  readonly processingDir: string;
  readonly listing: ListOptions;
}

/** A live panel on a terminal; elsewhere a plain line every 10 s. */
export function showProgress(state: PipelineState, options: DisplayOptions): ProgressDisplay {
  const nothing = { follow: () => undefined, stop: () => undefined };
  if (options.quiet) return nothing;
  return options.interactive ? new Panel(state, options) : { ...nothing, stop: showLines(state, options.log) };
}

class Panel implements ProgressDisplay {
  private readonly chalk: ChalkInstance;
  private readonly spinner;
  private speed = new TimeWindow<'generated' | 'loaded'>(WINDOW_MS);
  private readonly loadedBySecond: number[] = [];
  private isLive = false;
  private readonly ends: (() => void)[] = [];
  private loadedBefore = 0;
  private waiting: Waiting = { incoming: 0, processing: 0 };
  private isLooking = false;
  private snapshot: Snapshot | undefined;

  constructor(
    private readonly state: PipelineState,
    private readonly options: DisplayOptions,
  ) {
    this.chalk = new Chalk({ level: options.color ? 1 : 0 });
    this.spinner = createSpinner(options.color);
    this.update();
    this.spinner.start();
    const timers = [setInterval(() => this.update(), REFRESH_MS), setInterval(() => this.everySecond(), SECOND_MS)];
    this.ends.push(redrawOnResize(this.spinner), reportRejects(state.stages.stream.figures, options.log), () =>
      timers.forEach((timer) => clearInterval(timer)),
    );
  }

  follow(feed: Pick<SnapshotFeed, 'watch'>): void {
    this.ends.push(feed.watch(DEFAULT_RANGE, (snapshot) => (this.snapshot = snapshot)));
  }

  stop(): void {
    for (const end of this.ends.splice(0)) end();
    this.spinner.stop();
  }

  private update(): void {
    const { generate, stream } = this.state.stages;
    const nowMs = performance.now();
    if (this.state.phase !== 'running')
      this.options.onProgress(1 - this.state.files.waiting.rows / Math.max(1, generate.figures.rows));
    this.speed.add(nowMs, { generated: generate.figures.rows, loaded: stream.figures.rows.inserted });
    const figures = {
      nowMs,
      rate: { generated: this.speed.perSecond('generated') ?? 0, loaded: this.speed.perSecond('loaded') ?? 0 },
      loadedBySecond: this.loadedBySecond,
      waiting: this.waiting,
      snapshot: this.snapshot,
    };
    const columns = terminalSize(process.stderr)?.columns ?? 80;
    this.spinner.text = panelText(this.state, figures, columns, this.chalk);
  }

  private everySecond(): void {
    const loaded = this.state.stages.stream.figures.rows.inserted;
    if (this.isLive) {
      this.loadedBySecond.push(loaded - this.loadedBefore);
      if (this.loadedBySecond.length > SECONDS_KEPT) this.loadedBySecond.shift();
    } else if (historyProgress(this.state)?.isLoaded !== false) {
      // Beside the speed of a bulk load, what is live would be a flat line: both begin anew.
      this.isLive = true;
      this.speed = new TimeWindow(WINDOW_MS);
    }
    this.loadedBefore = loaded;
    // What can't be listed counts as empty; a display must not end the pipeline.
    void this.lookAtDirectories().catch(() => undefined);
  }

  private async lookAtDirectories(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    const { incomingDir, processingDir, listing } = this.options;
    const [incoming, processing] = await Promise.all([
      readBacklog(incomingDir, listing),
      readBacklog(processingDir, listing),
    ]);
    this.waiting = { incoming: incoming.files, processing: processing.files };
    this.isLooking = false;
  }
}

/** @returns ends it. */
function showLines({ stages: { generate, stream } }: PipelineState, log: Logger): () => void {
  const timer = setInterval(() => {
    const { rows: generatedRows, files: generatedFiles } = generate.figures;
    const { rows, filesLoaded: loadedFiles } = stream.figures;
    log.info(
      'progress',
      `generated ${countOf(generatedRows, 'row')} in ${countOf(generatedFiles, 'file')}, loaded ${countOf(rows.inserted, 'row')} from ${countOf(loadedFiles, 'file')}, rejected ${formatCount(rows.rejected)}`,
      { generatedRows, insertedRows: rows.inserted, rejectedRows: rows.rejected, generatedFiles, loadedFiles },
    );
  }, PLAIN_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
