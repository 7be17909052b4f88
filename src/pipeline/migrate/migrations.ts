import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { EXIT, EcompipeError, withFileErrors, IntegrityError } from '../../platform/errors.js';
import type { Connection } from '../../platform/db/client.js';
import { boolean, integer, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/** One file of `sql/`: append-only, identified by its number, guarded by its checksum. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hexadecimal; line ends count as LF, so that a checkout on Windows is the same migration. */
  readonly checksum: string;
}

/** The `sql` directory of the package, next to `dist` and `src`. */
export const SQL_DIRECTORY = fileURLToPath(new URL('../../../sql', import.meta.url));

/** Reads all migrations in order. @throws when a number is missing or taken twice. */
export async function loadMigrations(directory = SQL_DIRECTORY): Promise<Migration[]> {
  const names = await withFileErrors('list', directory, () => readdir(directory));
  const migrations = await Promise.all(
    names
      .filter((name) => /^\d{3}_\w+\.sql$/.test(name))
      .sort()
      .map(async (name) => {
        const sql = (await readFile(path.join(directory, name), 'utf8')).replaceAll('\r\n', '\n');
        return {
          version: Number(name.slice(0, 3)),
          name,
          sql,
          checksum: createHash('sha256').update(sql).digest('hex'),
        };
      }),
  );
  migrations.forEach(({ version, name }, index) => {
    if (version !== index + 1)
      throw new EcompipeError(EXIT.bug, {
        what: `migrations in ${directory} are not numbered 001, 002, …: ${name} comes as number ${index + 1}`,
      });
  });
  return migrations;
}

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
        why: `${row.name} is applied, and this version does not know it`,
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
