import type { Connection } from '../platform/db/client.js';
import { withConnection, withExistingDatabase, type Database, type TargetSettings } from '../platform/db/target.js';
import { ensureSchema } from '../pipeline/migrate/schema.js';
import type { CommandContext } from './command.js';

/** Runs an action on the database of the settings, once its schema is known to be ours. Creates no database. */
export async function onDatabase<T>(
  settings: TargetSettings,
  context: CommandContext,
  action: (database: Database) => Promise<T>,
): Promise<T> {
  return await withExistingDatabase(settings, context, async (database) => {
    await ensureSchema(database, context);
    return await action(database);
  });
}

/** The same on a connection of its own; the action is done again when the connection breaks. */
export async function onConnection<T>(
  settings: TargetSettings,
  context: CommandContext,
  what: string,
  action: (connection: Connection) => Promise<T>,
): Promise<T> {
  return await onDatabase(settings, context, (database) => withConnection(database, what, action));
}
