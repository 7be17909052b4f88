import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { EVENT_COLUMNS } from '../../src/contract/columns.js';
import type { BenchDatabase } from '../harness/database.js';
import { findProgram, runProgram, versionOf } from './program.js';

/** pgloader, from the system or from bench/.cache (`--install-rivals`); undefined when there is none. */
export function findPgloader(
  cacheDir: string,
): { version: string; load: (database: BenchDatabase, file: string) => Promise<number> } | undefined {
  const rivals = path.join(cacheDir, 'rivals');
  const program = findProgram('pgloader', path.join(rivals, 'usr/bin'));
  if (program === undefined) return undefined;
  const env = { LD_LIBRARY_PATH: path.join(rivals, 'usr/lib/x86_64-linux-gnu') };
  return {
    version: versionOf(program, ['--version'], env),
    load: async (database, file) => {
      const commands = path.join(rivals, 'commands.load');
      writeFileSync(commands, loadCommands(database, file), { mode: 0o600 });
      return await runProgram(program, ['--root-dir', path.join(rivals, 'pgloader'), '--quiet', commands], {
        ...database.libpqEnv,
        ...env,
      });
    },
  };
}

/** Two workers, and batches of the size that its manual recommends for bulk loads (pgloader manual, "Batches"). */
function loadCommands({ settings }: BenchDatabase, file: string): string {
  const columns = EVENT_COLUMNS.join(', ');
  const fields = EVENT_COLUMNS.map((column) => `${column} [null if blanks]`).join(', ');
  return `LOAD CSV
  FROM '${file}' (${fields})
  INTO postgresql://${settings.user}:${encodeURIComponent(settings.password ?? '')}@${settings.host}:${settings.port}/${settings.database}
  TARGET TABLE public.events (${columns})
  WITH skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote, fields terminated by ',',
       workers = 2, concurrency = 1, batch rows = 25000, batch size = 20MB, prefetch rows = 100000, on error stop;
`;
}
