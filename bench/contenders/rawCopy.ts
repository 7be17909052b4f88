import { open } from 'node:fs/promises';
import { createReadStream, readFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import copyFrom from 'pg-copy-streams';
import { EVENT_COLUMNS } from '../../src/contract/columns.js';
import type { BenchDatabase } from '../harness/database.js';

const COPY = `copy public.events (${EVENT_COLUMNS.join(', ')}) from stdin with (format csv)`;
const CHUNK_BYTES = 256 * 1024;

/** The bytes of a file from `start` up to, not including, `end`. */
interface Range {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/**
 * What pg-copy-streams can do at best: two connections, each sends half of the file and does nothing else. No hash, no
 * row count, no ledger. @returns milliseconds from the first COPY to the last commit; connecting is not counted.
 */
export async function copyHalves(database: BenchDatabase, file: string): Promise<number> {
  const bounds = await halves(file);
  return await onTwoConnections(database, async (client, index) => sendRange(client, bounds[index]!));
}

/** Two connections that take files in turn, one COPY a file, and do nothing else. */
export async function copyFilesInTurn(database: BenchDatabase, files: readonly string[]): Promise<number> {
  const waiting = [...files].reverse();
  return await onTwoConnections(database, async (client) => {
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) await sendWhole(client, file);
  });
}

/** One connection, one transaction a file: what a simple script does. */
export async function copyFileByFile(database: BenchDatabase, files: readonly string[]): Promise<number> {
  const client = await database.connect();
  try {
    const startedMs = performance.now();
    for (const file of files) await sendWhole(client, file);
    return performance.now() - startedMs;
  } finally {
    await client.end();
  }
}

async function onTwoConnections(
  database: BenchDatabase,
  send: (client: pg.Client, index: number) => Promise<void>,
): Promise<number> {
  const clients = await Promise.all([database.connect(), database.connect()]);
  try {
    const startedMs = performance.now();
    await Promise.all(clients.map(send));
    return performance.now() - startedMs;
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

async function sendRange(client: pg.Client, { file, start, end }: Range): Promise<void> {
  await pipeline(
    createReadStream(file, { start, end: end - 1, highWaterMark: CHUNK_BYTES }),
    client.query(copyFrom.from(COPY, { highWaterMark: 2 * CHUNK_BYTES })),
  );
}

async function sendWhole(client: pg.Client, file: string): Promise<void> {
  const bytes = readFileSync(file);
  const copy = client.query(copyFrom.from(COPY));
  copy.end(bytes.subarray(bytes.indexOf('\n') + 1));
  await new Promise<void>((resolve, reject) => copy.once('finish', resolve).once('error', reject));
}

/** Our generator puts line breaks into no field, so the first line feed after the middle ends a row. */
async function halves(file: string): Promise<readonly Range[]> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const rowEnd = async (from: number): Promise<number> => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, from);
      return from + buffer.subarray(0, bytesRead).indexOf('\n') + 1;
    };
    const [start, middle] = [await rowEnd(0), await rowEnd(Math.floor(size / 2))];
    return [
      { file, start, end: middle },
      { file, start: middle, end: size },
    ];
  } finally {
    await handle.close();
  }
}
