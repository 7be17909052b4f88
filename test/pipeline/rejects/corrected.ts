import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { withConnection } from '../../../src/platform/db/target.js';
import { exportRejects, type ExportOptions } from '../../../src/pipeline/rejects/export.js';
import type { RejectFilter } from '../../../src/pipeline/rejects/list.js';
import { runReplay, type ReplayResult } from '../../../src/pipeline/rejects/replay.js';
import { replayRows } from '../../../src/pipeline/stream/replay.js';
import { onDatabase, type Access } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';

/** A row of an export; an empty text is '', NULL is null. */
export type ExportedRow = Record<string, string | null>;

const EVERYTHING: RejectFilter = {
  file: undefined,
  sqlState: undefined,
  reason: undefined,
  feed: undefined,
  withoutFeed: false,
  all: false,
};

/** The rejects as `rejects export` writes them. */
export async function exported(
  database: TestDatabase,
  filter: Partial<RejectFilter> = {},
  options: ExportOptions = {},
): Promise<string> {
  return await onDatabase(database, {}, (target) =>
    withConnection(target, 'cannot export', async (connection) => {
      let text = '';
      for await (const piece of exportRejects(connection, { ...EVERYTHING, ...filter }, options)) text += piece.text;
      return text;
    }),
  );
}

export function parseExport(text: string): ExportedRow[] {
  return parse(text, { columns: true, cast: (value, { quoting }) => (value === '' && !quoting ? null : value) });
}

/** Writes the open rejects into a file, each as `correct` makes it; without a row it is left out. */
export async function correctedFile(
  database: TestDatabase,
  directory: string,
  correct: (row: ExportedRow) => ExportedRow | undefined,
  filter: Partial<RejectFilter> = {},
): Promise<string> {
  const rows = parseExport(await exported(database, filter))
    .map(correct)
    .filter((row) => row !== undefined);
  const file = path.join(directory, 'corrected.csv');
  writeFileSync(file, stringify(rows, { header: true, quoted_match: /^$/ }));
  return file;
}

export function edit(file: string, from: string, to: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll(from, to));
}

/** @param directories where loaded files lie. */
export async function replay(
  database: TestDatabase,
  file: string,
  access: Access = {},
  directories: readonly string[] = [],
): Promise<ReplayResult> {
  const stop = access.stop ?? new AbortController().signal;
  return await onDatabase(database, { ...access, stop }, (target) =>
    runReplay(file, target, replayRows, directories, stop),
  );
}
