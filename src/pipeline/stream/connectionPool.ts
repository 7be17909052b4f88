import type { Connection } from '../../core/db/client.js';
import type { Database } from '../../core/db/target.js';

/** Whose turn it is when a connection becomes free: small files wait for nobody, ranges of large ones can. */
export type Priority = 'urgent' | 'bulk';

/** A place at the database: one connection at a time, opened when it is needed and replaced when it breaks. */
export class Lane {
  private open: Connection | undefined;

  constructor(private readonly database: Database) {}

  async connection(): Promise<Connection> {
    if (this.open?.broken === true) await this.discard();
    this.open ??= await this.database.connect();
    return this.open;
  }

  /** Gives the connection up: its state is unknown. */
  async discard(): Promise<void> {
    const connection = this.open;
    this.open = undefined;
    await connection?.close();
  }
}

/** A fixed number of lanes, lent to one user at a time. */
export class ConnectionPool {
  private readonly lanes: readonly Lane[];
  private readonly free: Lane[];
  private readonly queues: Record<Priority, ((lane: Lane) => void)[]> = { urgent: [], bulk: [] };

  constructor(database: Database, size: number) {
    this.lanes = Array.from({ length: size }, () => new Lane(database));
    this.free = [...this.lanes];
  }

  async use<T>(priority: Priority, action: (lane: Lane) => Promise<T>): Promise<T> {
    const lane = this.free.pop() ?? (await new Promise<Lane>((resolve) => this.queues[priority].push(resolve)));
    try {
      return await action(lane);
    } finally {
      this.release(lane);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.discard()));
  }

  private release(lane: Lane): void {
    const next = this.queues.urgent.shift() ?? this.queues.bulk.shift();
    if (next === undefined) this.free.push(lane);
    else next(lane);
  }
}
