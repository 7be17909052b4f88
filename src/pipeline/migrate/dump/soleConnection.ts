import type { Connection } from '../../../platform/db/client.js';
import { explainFailure } from '../../../platform/db/errors.js';
import type { Database } from '../../../platform/db/target.js';
import { EcompipeError, InterruptedError } from '../../../platform/errors.js';

/**
 * Runs an action that can't be tried again in the middle, on a connection of its own. However it ends, the connection is
 * closed, and the server rolls back what is open on it: also in the middle of a COPY, where it takes no other statement.
 * @param outcome what is left when it does not end well.
 * @throws InterruptedError (130) when stopped meanwhile, DatabaseError (69) when the connection was lost.
 */
export async function withSoleConnection<T>(
  database: Database,
  what: string,
  outcome: string,
  stop: AbortSignal,
  action: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await database.connect();
  try {
    return await action(connection);
  } catch (raw) {
    const error = connection.explain(raw);
    if (stop.aborted) throw new InterruptedError({ what: 'interrupted', outcome, cause: error });
    if (error instanceof EcompipeError) throw error;
    throw explainFailure(`${what} (PostgreSQL at ${database.label})`, error);
  } finally {
    await connection.close();
  }
}
