import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';

/**
 * Watches, from a connection of its own, for rows to become visible: asks for the ids that are still missing, again and
 * again while there are any.
 */
export class VisibilityProbe {
  private readonly pending = new Map<
    string,
    { readonly sinceMs: number; readonly seen: (latencyMs: number) => void }
  >();
  private wake: () => void = () => undefined;
  private isStopped = false;
  private readonly loop: Promise<void>;

  /** @param pauseMs between two looks; 0: none, which takes a core while something is pending. */
  constructor(
    private readonly client: pg.Client,
    private readonly pauseMs: number,
  ) {
    this.loop = this.run();
  }

  /** Resolves with the milliseconds from now on until another connection's commit made this event visible. */
  async visible(eventId: string): Promise<number> {
    return await new Promise((seen) => {
      this.pending.set(eventId, { sinceMs: performance.now(), seen });
      this.wake();
    });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.wake();
    await this.loop;
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      if (this.pending.size === 0) await new Promise<void>((resolve) => (this.wake = resolve));
      else await this.look();
      if (this.pauseMs > 0) await pause(this.pauseMs);
    }
  }

  private async look(): Promise<void> {
    const { rows } = await this.client.query<{ event_id: string }>({
      name: 'look',
      text: 'select event_id from public.events where event_id = any($1::uuid[])',
      values: [[...this.pending.keys()]],
    });
    const nowMs = performance.now();
    for (const { event_id } of rows) {
      const entry = this.pending.get(event_id);
      this.pending.delete(event_id);
      entry?.seen(nowMs - entry.sinceMs);
    }
  }
}
