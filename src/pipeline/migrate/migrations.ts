import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { EXIT, EcompipeError, withFileErrors } from '../../platform/errors.js';

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
