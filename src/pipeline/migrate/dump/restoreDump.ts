import { copyChunks } from '../../../platform/db/copyChunks.js';
import type { Connection } from '../../../platform/db/client.js';
import { assertUtf8 } from '../../../platform/db/encoding.js';
import { type Database, withSoleConnection } from '../../../platform/db/target.js';
import { UsageError } from '../../../platform/errors.js';
import { countOf } from '../../../platform/format.js';
import type { Logger } from '../../../platform/log.js';
import { loadMigrations } from '../migrations.js';
import { assertHistory } from '../appliedMigrations.js';
import { applyInside, LOCK_KEY, runMigrate } from '../runMigrate.js';
import { describeSchema, nameOf, quotedName } from './describeSchema.js';
import { withDumpReader, type DumpHeader, type DumpReader } from './dumpFile.js';
import { createSequences, finishTables, prepareTables, setSequences } from './restoreTables.js';

export interface RestoreResult {
  readonly database: string;
  readonly file: string;
  readonly tables: number;
  readonly rows: number;
  /** When the dump was made, as an ISO 8601 time. */
  readonly dumpedAt: string;
}

export interface RestoreOptions {
  readonly log: Logger;
  readonly stop: AbortSignal;
}

/**
 * Restores a dump into an empty database, in one transaction: the migrations that had been applied, the tables with their rows, the
 * sequences. Then the migrations since are applied, as `migrate` does.
 * @throws UsageError when the database is not empty or the file is not a dump, IntegrityError when a newer ecompipe has
 *   made it, EcompipeError (74) when it is damaged.
 */
export async function restoreDump(database: Database, file: string, options: RestoreOptions): Promise<RestoreResult> {
  const result = await withDumpReader(file, options.stop, (reader) =>
    withSoleConnection(database, 'cannot restore', 'nothing was restored', options.stop, async (connection) => {
      const { client } = connection;
      await assertUtf8(connection);
      await client.query('begin');
      await client.query(`select pg_advisory_xact_lock(${LOCK_KEY})`);
      await assertEmpty(connection, database.label);
      const header = await reader.readHeader();
      const rows = await restore(connection, reader, header);
      await client.query('commit');
      return { database: database.label, file, tables: header.tables.length, rows, dumpedAt: header.createdAt };
    }),
  );
  await runMigrate(database, 'apply', options);
  return result;
}

/** The result for people. */
export function describeRestore({ database, file, tables, rows, dumpedAt }: RestoreResult): string {
  return [
    `restored ${countOf(rows, 'row')} of ${countOf(tables, 'table')} from ${file} of ${dumpedAt} into ${database}`,
    'a stream with a checkpoint of the old database goes on with `ecompipe stream --reload-from-archive`, once',
  ].join('\n');
}

async function assertEmpty(connection: Connection, label: string): Promise<void> {
  const { tables, others } = await describeSchema(connection);
  const [found] = [...tables.map(nameOf), ...others];
  if (found === undefined) return;
  throw new UsageError(
    [`the database ${label} is not empty: it has ${found}`],
    'a dump is restored into an empty one: createdb NAME; or for the embedded one `ecompipe db stop`, and move the directory .ecompipe/postgres away',
  );
}

/** @returns the rows. */
async function restore(connection: Connection, reader: DumpReader, header: DumpHeader): Promise<number> {
  const migrations = await loadMigrations();
  assertHistory(header.migrations, migrations);
  for (const migration of migrations.slice(0, header.migrations.length)) await applyInside(connection, migration);
  await createSequences(connection, header);
  const { tables } = await describeSchema(connection);
  await prepareTables(connection, tables, header.tables);
  const rows = await copyTables(connection, reader, header);
  await finishTables(connection, header.tables);
  await setSequences(connection, header);
  return rows;
}

async function copyTables(connection: Connection, reader: DumpReader, header: DumpHeader): Promise<number> {
  const copied = new Map<string, number>();
  for (const table of header.tables) {
    const line = await reader.next();
    if (typeof line !== 'string' || !line.startsWith(`copy ${quotedName(table)} (`))
      throw reader.damaged(`the rows of ${nameOf(table)} are missing`);
    copied.set(nameOf(table), await copyChunks(connection, `${line} from stdin`, reader.rows()));
  }
  const end = await reader.next();
  if (typeof end === 'string') throw reader.damaged('it has rows of an unknown table');
  for (const [name, count] of copied)
    if (end.rows[name] !== count)
      throw reader.damaged(`it has ${countOf(count, 'row')} of ${name}, and was written with ${end.rows[name] ?? 0}`);
  return [...copied.values()].reduce((total, count) => total + count, 0);
}
