import { pause } from '../../platform/wait.js';
import type { Pace } from './settings.js';

/** Lets files out on a fixed schedule. It is counted from the start, so that late files never add up to a lower rate. */
export class Pacer {
  private readonly startedMs = performance.now();

  constructor(private readonly pace: Pace | undefined) {}

  /** Waits until the `sequence`-th file (from 0) is due, or a signal aborts. The first one is due at once. */
  async untilDue(sequence: number, ...signals: readonly AbortSignal[]): Promise<void> {
    if (this.pace === undefined) return;
    const dueMs = this.startedMs + sequence * this.pace.fileIntervalMs;
    const waitMs = dueMs - performance.now();
    // Timers count whole milliseconds, and 2³¹ of them at most.
    if (waitMs >= 1) await pause(Math.min(waitMs, 2 ** 31 - 1), ...signals);
  }
}
