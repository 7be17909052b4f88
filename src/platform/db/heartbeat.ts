import type { DatabaseEvent } from './retry.js';

/** Also often enough that no NAT forgets a connection that nobody else uses. */
const INTERVAL_MS = 5000;
/** Two answers are missing: one may come late, from a server that writes a checkpoint. */
const SILENT_AFTER_MS = 12_000;

/**
 * Asks a server at regular times whether it is still there, and reports when it does not answer: a connection that died
 * without a reset looks like one on which nothing happens. Ending it is what `watchLiveness` does.
 */
export class Heartbeat {
  private heardAtMs = performance.now();
  private isSilent = false;
  private readonly timer: NodeJS.Timeout;

  /** @param ask sends something that the server answers at once; undefined while that is not possible. */
  constructor(
    private readonly ask: () => Promise<unknown> | undefined,
    private readonly report: (event: DatabaseEvent) => void,
  ) {
    this.timer = setInterval(() => this.beat(), INTERVAL_MS).unref();
  }

  /** The server was heard of. */
  readonly heard = (): void => {
    const silentMs = performance.now() - this.heardAtMs;
    this.heardAtMs = performance.now();
    if (!this.isSilent) return;
    this.isSilent = false;
    this.report({ type: 'databaseHeard', silentMs });
  };

  close(): void {
    clearInterval(this.timer);
  }

  private beat(): void {
    const silentMs = performance.now() - this.heardAtMs;
    if (!this.isSilent && silentMs >= SILENT_AFTER_MS) {
      this.isSilent = true;
      this.report({ type: 'databaseSilent', silentMs });
    }
    // What is wrong with the connection, whoever uses it next hears by itself.
    this.ask()?.then(this.heard, () => undefined);
  }
}
