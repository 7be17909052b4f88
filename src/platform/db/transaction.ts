import type { Connection } from './client.js';

/** Runs `action` in a transaction: commits what returns, rolls back what throws. The first error is the one thrown. */
export async function withTransaction<T>({ client }: Connection, action: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await action();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
