import path from 'node:path';
import { EVENT_COLUMNS } from '../../src/contract/columns.js';
import type { BenchDatabase } from '../harness/database.js';
import { findProgram, runProgram, versionOf } from './program.js';

/** timescaledb-parallel-copy, from PATH or from bench/.cache (`--install-rivals`); undefined when there is none. */
export function findParallelCopy(
  cacheDir: string,
): { version: string; load: (database: BenchDatabase, file: string) => Promise<number> } | undefined {
  const program = findProgram('timescaledb-parallel-copy', path.join(cacheDir, 'rivals/bin'));
  if (program === undefined) return undefined;
  return {
    version: versionOf(program, ['-version']),
    load: async (database, file) => {
      const { user, password, host, port, database: name } = database.settings;
      const connection = `host=${host} port=${port} user=${user} password=${password ?? ''} dbname=${name} sslmode=disable`;
      const args = [
        '-connection',
        connection,
        '-db-name',
        name,
        '-schema',
        'public',
        '-table',
        'events',
        '-file',
        file,
        '-columns',
        EVENT_COLUMNS.join(','),
        '-skip-header',
        '-workers',
        '2',
        '-batch-size',
        '50000',
        '-copy-options',
        'CSV',
        '-reporting-period',
        '0s',
      ];
      return await runProgram(program, args, {});
    },
  };
}
