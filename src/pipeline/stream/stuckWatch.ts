import { readBacklog } from '../../contract/backlog.js';
import type { ListOptions } from '../../contract/listFiles.js';
import { DatabaseAvailability, type DatabaseEvent } from '../../platform/db/retry.js';
import { countOf, formatSpan } from '../../platform/format.js';
import type { Notice } from '../../platform/notify/notifier.js';
import type { StreamEvent } from './streamEvents.js';

export interface StuckSettings {
  /** Without progress for so long, in milliseconds, the loader is stuck. */
  readonly stuckAfterMs: number;
  /** Files wait here to be loaded; undefined where loaded files stay there, or it is not a local directory. */
  readonly inputDir: string | undefined;
  /** Which files there are loaded. Default: those that are without feeds. */
  readonly listing?: ListOptions;
}

const MIN_CHECK_INTERVAL_MS = 100;
const MAX_CHECK_INTERVAL_MS = 30_000;
/** What says that files are dealt with. */
const PROGRESS: ReadonlySet<StreamEvent['type']> = new Set<StreamEvent['type']>([
  'batchCommitted',
  'fileLoaded',
  'fileRedelivered',
  'fileQuarantined',
]);

/**
 * Notices a loader that goes on and gets nowhere: its database is away, or files wait and none of them is dealt with,
 * whatever the reason (a lock, a file that always fails). Says so once, and once that it goes on.
 */
export class StuckWatch {
  private readonly availability = new DatabaseAvailability();
  private readonly timer: NodeJS.Timeout;
  private progressAtMs = performance.now();
  private isStuck = false;
  private isChecking = false;

  constructor(
    private readonly settings: StuckSettings,
    private readonly notify: (notice: Notice) => void,
  ) {
    const intervalMs = Math.max(MIN_CHECK_INTERVAL_MS, Math.min(MAX_CHECK_INTERVAL_MS, settings.stuckAfterMs / 4));
    this.timer = setInterval(() => void this.check(), intervalMs).unref();
  }

  observe({ type }: StreamEvent): void {
    if (PROGRESS.has(type)) this.progressAtMs = performance.now();
  }

  observeDatabase(event: DatabaseEvent): void {
    this.availability.observe(event);
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async check(): Promise<void> {
    if (this.isChecking) return;
    this.isChecking = true;
    const reason = await this.reason();
    this.isChecking = false;
    if ((reason !== undefined) === this.isStuck) return;
    this.isStuck = reason !== undefined;
    this.notify(
      reason === undefined
        ? { event: 'stream_recovered', text: 'it goes on', facts: {} }
        : { event: 'stream_stuck', text: `it is stuck: ${reason}`, facts: { reason } },
    );
  }

  private async reason(): Promise<string | undefined> {
    const { stuckAfterMs, inputDir, listing } = this.settings;
    const nowMs = performance.now();
    const { awaySinceMs } = this.availability;
    if (awaySinceMs !== undefined && nowMs - awaySinceMs >= stuckAfterMs)
      return `the database has been away for ${formatSpan(nowMs - awaySinceMs)}`;
    const idleMs = nowMs - this.progressAtMs;
    if (inputDir === undefined || idleMs < stuckAfterMs) return undefined;
    // A file that has only just come says nothing.
    const { files, oldestSinceMs = Infinity } = await readBacklog(inputDir, listing);
    return Date.now() - oldestSinceMs >= stuckAfterMs
      ? `${countOf(files, 'file waits', 'files wait')} in ${inputDir}, and none has been dealt with for ${formatSpan(idleMs)}`
      : undefined;
  }
}
