import { EVENT_COLUMNS } from '../../src/contract/columns.js';
import type { BenchDatabase } from '../harness/database.js';
import { findProgram, runProgram, versionOf } from './program.js';

const psql = findProgram('psql');

/** `psql (PostgreSQL) 15.18`, undefined when it isn't installed. */
export const psqlVersion = psql === undefined ? undefined : versionOf(psql);

/** Runs a script in one psql session. @returns the wall time of the process in milliseconds. */
export async function runScript(database: BenchDatabase, script: string): Promise<number> {
  if (psql === undefined) throw new Error('psql is not installed');
  return await runProgram(psql, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-'], database.libpqEnv, script);
}

/** Loads each file with `\copy` in one psql session. @returns the wall time of the process in milliseconds. */
export async function copyWithPsql(database: BenchDatabase, files: readonly string[]): Promise<number> {
  const script = files
    .map((file) => `\\copy public.events (${EVENT_COLUMNS.join(', ')}) from '${file}' with (format csv, header true)\n`)
    .join('');
  return await runScript(database, script);
}
