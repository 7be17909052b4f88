import { setImmediate } from 'node:timers/promises';

/**
 * Waits `ms` milliseconds, or less when one of the signals aborts. Never rejects: the caller looks at its signals.
 */
export async function pause(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
  await pauseUntil(ms, signals, () => undefined);
}

/** @param onStart gets what ends the pause, unless a signal has ended it already. */
async function pauseUntil(
  ms: number,
  signals: readonly AbortSignal[],
  onStart: (end: () => void) => void,
): Promise<void> {
  if (signals.some((signal) => signal.aborted)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) signal.addEventListener('abort', done, { once: true });
    onStart(done);
  });
}

/** Wakes one waiting loop; anyone may notify it, and a notification before the wait is not lost. */
export class WakeSignal {
  private notified = false;
  private wake: (() => void) | undefined;

  readonly notify = (): void => {
    this.notified = true;
    this.wake?.();
  };

  /** Resolves at the next notification, after `ms` milliseconds, or when a signal aborts, whichever is first. */
  async wait(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
    if (!this.notified) {
      await pauseUntil(ms, signals, (end) => (this.wake = end));
      this.wake = undefined;
    }
    this.notified = false;
  }
}

/** Resolves when one of the signals aborts. */
export async function untilAborted(...signals: readonly AbortSignal[]): Promise<void> {
  if (signals.some((signal) => signal.aborted)) return;
  await new Promise<void>((resolve) => {
    for (const signal of signals) signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Lets other work of the process run when a loop of synchronous calls has held the event loop for `sliceMs`. */
export class EventLoopYielder {
  private sliceStart = performance.now();

  constructor(private readonly sliceMs = 5) {}

  /** Cheap enough to ask for every item; await {@link yield} when true. */
  get shouldYield(): boolean {
    return performance.now() - this.sliceStart >= this.sliceMs;
  }

  async yield(): Promise<void> {
    await setImmediate();
    this.sliceStart = performance.now();
  }
}
