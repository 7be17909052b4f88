import type { Connection } from '../../platform/db/client.js';
import { classifyError, sqlStateOf } from '../../platform/db/sqlState.js';
import type { Database } from '../../platform/db/target.js';

/** Whose turn it is when a connection becomes free: small files wait for nobody, ranges of large ones can. */
export type Priority = 'urgent' | 'bulk';

/**
 * A fixed number of connections, each lent to one user at a time, opened when needed and replaced when broken; and one
 * more that only urgent work gets, when large files hold all others: a small file would wait for a whole range.
 */
export class ConnectionPool {
  private readonly spare: Lane = { connection: undefined };
  private isSpareFree = true;
  private readonly free: Lane[];
  private readonly lanes: readonly Lane[];
  private readonly queues: Record<Priority, ((lane: Lane) => void)[]> = { urgent: [], bulk: [] };

  constructor(
    private readonly database: Database,
    size: number,
    /** Looks at each new connection before anything else is done on it; what it throws is the user's error. */
    private readonly onOpen: (connection: Connection) => Promise<void> = () => Promise.resolve(),
  ) {
    this.lanes = Array.from({ length: size }, () => ({ connection: undefined }));
    this.free = [...this.lanes];
  }

  /**
   * Runs an action on a connection, and again, on a fresh one if need be, while it fails for a passing reason.
   * @param what for messages: what is being done, as `cannot load a.csv`.
   */
  async use<T>(priority: Priority, what: string, action: (connection: Connection) => Promise<T>): Promise<T> {
    const lane =
      this.free.pop() ??
      (priority === 'urgent' ? this.takeSpare() : undefined) ??
      (await new Promise<Lane>((resolve) => this.queues[priority].push(resolve)));
    try {
      return await this.database.retry(what, () => this.attempt(lane, action));
    } finally {
      this.release(lane);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.lanes, this.spare].map(discard));
  }

  private async attempt<T>(lane: Lane, action: (connection: Connection) => Promise<T>): Promise<T> {
    if (lane.connection?.broken === true) await discard(lane);
    lane.connection ??= await this.open();
    try {
      return await action(lane.connection);
    } catch (error) {
      // Without an answer from the server the connection's state is unknown.
      if (classifyError(error) === 'retry' && sqlStateOf(error) === undefined) await discard(lane);
      throw error;
    }
  }

  private async open(): Promise<Connection> {
    const connection = await this.database.open();
    try {
      await this.onOpen(connection);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  private takeSpare(): Lane | undefined {
    if (!this.isSpareFree) return undefined;
    this.isSpareFree = false;
    return this.spare;
  }

  private release(lane: Lane): void {
    const next = this.queues.urgent.shift() ?? (lane === this.spare ? undefined : this.queues.bulk.shift());
    if (next === undefined && lane === this.spare) this.isSpareFree = true;
    else if (next === undefined) this.free.push(lane);
    else next(lane);
  }
}

interface Lane {
  connection: Connection | undefined;
}

async function discard(lane: Lane): Promise<void> {
  const { connection } = lane;
  lane.connection = undefined;
  await connection?.close();
}
