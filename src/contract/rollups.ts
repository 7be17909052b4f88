import type { Connection } from '../platform/db/client.js';
import { integer, queryRow } from '../platform/db/decodeRows.js';

/**
 * Adds all batches that are pending to the rollups behind the views of schema `analytics`, each batch exactly once
 * whoever else is refreshing; transactions of about half a million rows, some seconds each. Without it the views are as
 * right and become slow. Costs the loader nothing but the processor: call it on a connection of its own, when idle or
 * every few seconds, not inside a transaction.
 * @returns how many batches were added by this call.
 */
export async function refreshAnalytics({ client }: Connection, stop?: AbortSignal): Promise<number> {
  for (let total = 0; ;) {
    const { batches } = await queryRow(client, { batches: integer }, 'select analytics.refresh() as batches');
    total += batches;
    if (batches === 0 || stop?.aborted === true) return total;
  }
}
