/**
 * Waits `ms` milliseconds, or less when one of the signals aborts. Never rejects: the caller looks at its signals.
 */
export async function pause(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
  if (signals.some((signal) => signal.aborted)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) signal.addEventListener('abort', done, { once: true });
  });
}

/** A bell that can be rung by anyone and waited for by one: a ring before the wait is not lost. */
export class Bell {
  private rung = false;
  private wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.rung = true;
    this.wake?.();
  };

  /** Resolves at the next ring, after `ms` milliseconds, or when a signal aborts, whichever is first. */
  async wait(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
    if (!this.rung) {
      const rang = new AbortController();
      this.wake = () => rang.abort();
      await pause(ms, rang.signal, ...signals);
      this.wake = undefined;
    }
    this.rung = false;
  }
}

/** Resolves when one of the signals aborts. */
export async function untilAborted(...signals: readonly AbortSignal[]): Promise<void> {
  if (signals.some((signal) => signal.aborted)) return;
  await new Promise<void>((resolve) => {
    for (const signal of signals) signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
