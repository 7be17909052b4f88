import type { Connection } from '../platform/db/client.js';
import { integer, queryRow } from '../platform/db/decodeRows.js';
import { classifyError, serverMessage } from '../platform/db/sqlState.js';

/**
 * Adds all batches that are pending to the rollups behind the views of schema `analytics`, each batch exactly once
 * whoever else is refreshing; transactions of about half a million rows, some seconds each. Without it the views are as
 * right and become slow. Costs the loader nothing but the processor: call it on a connection of its own, when idle or
 * every few seconds, not inside a transaction.
 * @returns how many batches were added by this call.
 */
export async function refreshAnalytics(connection: Connection, stop?: AbortSignal): Promise<number> {
  for (let total = 0; ;) {
    const batches = await refreshOnce(connection);
    total += batches;
    if (batches === 0 || stop?.aborted === true) return total;
  }
}

/** One of those transactions. @returns how many batches it added; 0 when none was pending. */
export async function refreshOnce({ client }: Connection): Promise<number> {
  const { batches } = await queryRow(client, { batches: integer }, 'select analytics.refresh() as batches');
  return batches;
}

/**
 * Refreshes on a connection of its own, which is opened when it is needed first, and again after a failure. A failure is
 * none of the command's: the views are right without. When to refresh, and how much at once, is up to the caller.
 */
export class RollupRefresher {
  private connection: Connection | undefined;
  private isRefused = false;

  constructor(
    private readonly open: () => Promise<Connection>,
    /** Hears, once, why trying again makes no sense: the role lacks the privilege, for example. */
    private readonly onRefused: (why: string) => void,
  ) {}

  get refused(): boolean {
    return this.isRefused;
  }

  /** @returns how many batches `refresh` added; undefined when it failed. */
  async attempt(refresh: (connection: Connection) => Promise<number>): Promise<number | undefined> {
    try {
      if (this.connection?.broken === true) this.connection = undefined;
      this.connection ??= await this.open();
      return await refresh(this.connection);
    } catch (error) {
      void this.close();
      // Away, or without a schema yet: another time.
      if (classifyError(error) === 'retry' || isMissing(error)) return undefined;
      this.isRefused = true;
      this.onRefused(serverMessage(error));
      return undefined;
    }
  }

  async close(): Promise<void> {
    const { connection } = this;
    this.connection = undefined;
    await connection?.close();
  }
}

function isMissing(error: unknown): boolean {
  return ['3F000', '42883', '42P01'].includes((error as { code?: string }).code ?? '');
}
