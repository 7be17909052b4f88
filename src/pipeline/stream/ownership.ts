import type { Connection } from '../../platform/db/client.js';
import type { Database } from '../../platform/db/target.js';
import { Heartbeat } from '../../platform/db/heartbeat.js';
import { serverMessage } from '../../platform/db/sqlState.js';
import { AlreadyRunningError } from '../../platform/errors.js';
import type { Logger } from '../../platform/log.js';
import { pause } from '../../platform/wait.js';
import { takeOwnership } from '../../contract/streamOwner.js';
import type { CheckpointStore } from './checkpointStore.js';

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5000;

/**
 * Keeps the lock that makes this process the only stream with its checkpoint directory. The lock goes with its connection:
 * lost, it is opened again and the lock taken anew, or `taken` says that somebody else was faster. Loading goes on
 * meanwhile, as the ledger is what makes it safe. As it is there all the time and otherwise idle, the connection is also
 * the one that is asked whether the database still answers.
 */
export class Ownership {
  private readonly lost = new AbortController();
  private readonly closed = new AbortController();
  private readonly heartbeat: Heartbeat;
  private reopening: Promise<void> | undefined;

  constructor(
    private connection: Connection,
    private readonly store: CheckpointStore,
    private readonly database: Database,
    private readonly log: Logger,
  ) {
    this.watch(connection);
    void store.notePolled();
    this.heartbeat = new Heartbeat(() => this.ask(), database.report);
  }

  /** Aborts with an AlreadyRunningError when another stream has taken the lock: this one is to end. */
  get taken(): AbortSignal {
    return this.lost.signal;
  }

  /** @throws AlreadyRunningError (5) when another stream has taken over. */
  throwIfTaken(): void {
    if (this.lost.signal.aborted) throw this.lost.signal.reason;
  }

  async close(): Promise<void> {
    this.heartbeat.close();
    this.closed.abort();
    await this.reopening;
    await this.store.notePolled();
    await this.connection.close();
  }

  /** Nobody else uses the connection: a statement that is under way is the last heartbeat. */
  private ask(): Promise<unknown> | undefined {
    const { client, statementSinceMs } = this.connection;
    if (this.reopening !== undefined || statementSinceMs !== undefined) return undefined;
    return client.query('select').then(() => this.store.notePolled());
  }

  private isClosed(): boolean {
    return this.closed.signal.aborted;
  }

  private watch({ client }: Connection): void {
    client.once('end', () => {
      if (!this.isClosed()) this.reopening = this.reopen();
    });
  }

  private async reopen(): Promise<void> {
    for (let delayMs = FIRST_RETRY_MS; !this.isClosed(); delayMs = Math.min(MAX_RETRY_MS, delayMs * 2)) {
      let connection: Connection | undefined;
      try {
        connection = await this.database.open();
        await takeOwnership(connection, this.store, this.closed.signal);
        this.connection = connection;
        this.reopening = undefined;
        this.heartbeat.heard();
        this.log.info(
          'ownership_taken_again',
          `the connection that holds the lock of ${this.store.label} was lost and is restored`,
        );
        this.watch(connection);
        return;
      } catch (error) {
        await connection?.close();
        if (error instanceof AlreadyRunningError && !this.isClosed()) {
          this.lost.abort(takenOver(this.store.label, error));
          return;
        }
        this.log.debug('ownership_lost', `cannot take the lock of ${this.store.label} again: ${serverMessage(error)}`);
        await pause(delayMs, this.closed.signal);
      }
    }
  }
}

function takenOver(label: string, cause: unknown): AlreadyRunningError {
  return new AlreadyRunningError({
    what: `another stream with the checkpoint directory ${label} started while this one had lost its connection`,
    outcome: 'this one ended; what it loaded is in the ledger',
    hint: 'give each of them its own directory: --checkpoint DIR (several can safely load the same files)',
    cause,
  });
}
