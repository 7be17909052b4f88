import { createHash, type Hash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import copyTo from 'pg-copy-streams';
import type { Connection } from '../../../platform/db/client.js';
import { quoteName } from '../../../platform/db/names.js';
import { type Database, withSoleConnection } from '../../../platform/db/target.js';
import { UsageError, withFileErrors } from '../../../platform/errors.js';
import { createFile } from '../../../platform/files/atomicWrite.js';
import { removeStaleTemporaries } from '../../../platform/files/temporary.js';
import { countOf, formatBytes } from '../../../platform/format.js';
import type { Logger } from '../../../platform/log.js';
import { loadMigrations, type Migration } from '../migrations.js';
import { readApplied } from '../appliedMigrations.js';
import { describeSchema, nameOf, quotedName, type TableDescription } from './describeSchema.js';
import { FIRST_LINE, type DumpEnd, type DumpHeader } from './dumpFile.js';
import { queryRow, text } from '../../../platform/db/decodeRows.js';

export interface DumpResult {
  readonly file: string;
  readonly bytes: number;
  readonly tables: number;
  readonly rows: number;
  /** What is in the database and not in the dump. */
  readonly leftOut: readonly string[];
}

export interface WriteDumpOptions {
  /** Dump also when there is something that a dump does not carry. */
  readonly force: boolean;
  readonly log: Logger;
  readonly stop: AbortSignal;
}

/**
 * Writes all tables of a database, as one snapshot sees them, into a new file. The file appears when it is complete and on disk.
 * @throws UsageError when the file exists, or (without `force`) the database has what a dump does not carry.
 */
export async function writeDump(database: Database, file: string, options: WriteDumpOptions): Promise<DumpResult> {
  assertFree(file);
  return await withSoleConnection(database, 'cannot dump', 'no file was written', options.stop, async (connection) => {
    const header = await beginSnapshot(connection);
    const ours = createdBy(await loadMigrations());
    const leftOut = header.others.filter((other) => !ours.has(other.replace(/\(.*/s, '')));
    if (leftOut.length > 0) {
      const what = `db dump does not carry ${leftOut.join(', ')}`;
      if (!options.force)
        throw new UsageError(
          [what],
          'use pg_dump, of a version not older than the server (ecompipe db url --with-password says where it is), or leave them out with --force',
        );
      options.log.warn('dump_incomplete', `${what}: left out`, { leftOut });
    }
    const rows = new Map<string, number>();
    const bytes = await writeNewFile(file, dumpOf(connection, header, rows), options.stop);
    const sum = [...rows.values()].reduce((total, count) => total + count, 0);
    return { file, bytes, tables: header.tables.length, rows: sum, leftOut };
  });
}

/** The result for people. */
export function describeDump({ file, bytes, tables, rows }: DumpResult): string {
  return `dumped ${countOf(rows, 'row')} of ${countOf(tables, 'table')} to ${file} (${formatBytes(bytes)})`;
}

/** What comes back with the migrations: `trigger t on ecompipe.batches`, `view analytics.sessions`, functions without arguments. */
function createdBy(migrations: readonly Migration[]): ReadonlySet<string> {
  const created = migrations.flatMap(({ sql }) => [
    ...[...sql.matchAll(/^create (?:or replace )?(view|function) ([\w.]+)/gm)].map(
      ([, kind, name]) => `${kind} ${name}`,
    ),
    ...[...sql.matchAll(/^create trigger (\w+)[^;]*? on ([\w.]+)/gm)].map(
      ([, name, table]) => `trigger ${name} on ${table}`,
    ),
  ]);
  return new Set(created);
}

function assertFree(file: string): void {
  if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) throw exists(file);
}

function exists(file: string): UsageError {
  return new UsageError([`${file} exists: a dump overwrites nothing`], 'name another file');
}

/** Opens the transaction whose snapshot is dumped, and describes what there is in it. */
async function beginSnapshot(connection: Connection): Promise<DumpHeader> {
  const { client } = connection;
  const { tables } = await describeSchema(connection);
  await client.query('begin isolation level repeatable read read only');
  // Before the first look: what is locked then can't be altered until the end.
  if (tables.length > 0) await client.query(`lock table ${tables.map(quotedName).join(', ')} in access share mode`);
  const { serverVersion } = await queryRow(client, { serverVersion: text }, 'show server_version');
  return {
    createdAt: new Date().toISOString(),
    postgres: serverVersion,
    migrations: await readApplied(connection),
    ...(await describeSchema(connection)),
  };
}

/** The bytes of the file. */
async function* dumpOf(connection: Connection, header: DumpHeader, rows: Map<string, number>): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  yield hashed(hash, `${FIRST_LINE}\n${JSON.stringify(header)}\n`);
  for (const table of header.tables) {
    const target = `${quotedName(table)} (${copiedColumns(table)})`;
    yield hashed(hash, `copy ${target}\n`);
    const copy = connection.client.query(copyTo.to(`copy ${target} to stdout`));
    try {
      for await (const chunk of copy as AsyncIterable<Buffer>) yield hashed(hash, chunk);
    } catch (error) {
      // Here, where it is known to be no failure of the file.
      throw connection.explain(error);
    }
    rows.set(nameOf(table), copy.rowCount);
    yield hashed(hash, '\\.\n');
  }
  const end: DumpEnd = { rows: Object.fromEntries(rows), sha256: hash.digest('hex') };
  yield Buffer.from(`end ${JSON.stringify(end)}\n`);
}

function hashed(hash: Hash, bytes: string | Buffer): Buffer {
  hash.update(bytes);
  return Buffer.from(bytes);
}

/** The server computes generated columns anew. */
function copiedColumns({ columns }: TableDescription): string {
  return columns
    .filter(({ generated }) => generated === '')
    .map(({ name }) => quoteName(name))
    .join(', ');
}

/** @returns the file's size. */
async function writeNewFile(file: string, bytes: AsyncIterable<Buffer>, signal: AbortSignal): Promise<number> {
  return await withFileErrors('write', file, async () => {
    // What a killed dump has left.
    await removeStaleTemporaries(path.dirname(file));
    const source = Readable.from(bytes, { objectMode: false, highWaterMark: 2 ** 18 });
    let created: Promise<boolean> = Promise.resolve(false);
    const write = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
      // It holds what the tables hold: nobody else's to read.
      created = createFile(file, pieces, { mode: 0o600 });
      await created;
    };
    try {
      if (file.endsWith('.gz')) await pipeline(source, createGzip(), write, { signal });
      else await pipeline(source, write, { signal });
    } finally {
      // Where an earlier part fails, pipeline does not wait for the last one to clean up.
      await created.catch(() => undefined);
    }
    if (!(await created)) throw exists(file);
    return (await stat(file)).size;
  });
}
