import { withConnection, type Database } from '../../platform/db/target.js';
import { UsageError } from '../../platform/errors.js';
import type { Logger } from '../../platform/log.js';
import { pendingMigrations } from './appliedMigrations.js';

/**
 * Makes sure that the schema is the one this program was built for. Our own embedded database is migrated; one of
 * somebody else's is never altered without being asked.
 * @throws UsageError when migrations are pending, IntegrityError when the schema is newer or was tampered with.
 */
export async function ensureSchema(database: Database, context: { readonly log: Logger }): Promise<void> {
  const pending = await withConnection(database, 'cannot read the schema version', pendingMigrations);
  if (pending.length === 0) return;
  if (!database.embedded)
    throw new UsageError(
      [`the database ${database.label} lacks ${pending.join(', ')}`],
      'run `ecompipe migrate` first',
    );
  // Heavy, and rarely needed: every command asks for the schema.
  const { runMigrate } = await import('./runMigrate.js');
  await runMigrate(database, 'apply', context);
}
