import type { Connection } from '../../platform/db/client.js';
import { boolean, integer, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';
import { IntegrityError } from '../../platform/errors.js';
import { loadMigrations, type Migration } from './migrations.js';

/** A migration as the database has noted it. */
export interface Applied {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

const APPLIED: Shape<Applied> = { version: integer, name: text, checksum: text };

/** Throws unless the schema is exactly the one this program was built for. For commands that only use it. */
export async function pendingMigrations(connection: Connection): Promise<string[]> {
  const migrations = await loadMigrations();
  const applied = await readApplied(connection);
  assertHistory(applied, migrations);
  return migrations.slice(applied.length).map(({ name }) => name);
}

export async function readApplied({ client }: Connection): Promise<Applied[]> {
  const found = await queryRows(
    client,
    { exists: boolean },
    `select to_regclass('public.ecompipe_migrations') is not null as exists`,
  );
  if (found[0]?.exists !== true) return [];
  return await queryRows(
    client,
    APPLIED,
    'select version, name, checksum from public.ecompipe_migrations order by version',
  );
}

/** @throws IntegrityError unless what is applied is the beginning of what this program has. */
export function assertHistory(applied: readonly Applied[], migrations: readonly Migration[]): void {
  applied.forEach((row, index) => {
    const migration = migrations[index];
    if (migration === undefined) {
      throw new IntegrityError({
        what: `the schema is newer than this ecompipe`,
        why: `${row.name} is applied and unknown here`,
        outcome: 'nothing was changed',
        hint: 'install the newer version that applied it',
      });
    }
    if (migration.version !== row.version || migration.checksum !== row.checksum) {
      throw new IntegrityError({
        what: `migration ${migration.name} was edited after it was applied`,
        why: `the database has checksum ${row.checksum.slice(0, 12)}…, the file ${migration.checksum.slice(0, 12)}…`,
        outcome: 'nothing was changed',
        hint: 'restore the file and put the change into a new migration',
      });
    }
  });
}
