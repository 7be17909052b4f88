import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { isCancelled } from '../../platform/db/sqlState.js';

/**
 * Asks what reads the more the more there is, and gives up in time: undefined when the tables were too large for it. The
 * settings end with the transaction, so a pooler may give the connection to others.
 */
export async function askWithin<T>(ask: QueryFn, timeoutMs: number, action: () => Promise<T>): Promise<T | undefined> {
  await ask({}, 'begin read only');
  try {
    // The planner can't know how few block ranges hold the newest rows, and compiling takes longer than most answers.
    await ask(
      {},
      `select set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`,
      [String(timeoutMs)],
    );
    return await action();
  } catch (error) {
    if (isCancelled(error)) return undefined;
    throw error;
  } finally {
    // A connection that is lost has nothing to roll back; the reason is on its way already.
    await ask({}, 'rollback').catch(() => undefined);
  }
}
