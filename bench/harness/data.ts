import { countOf } from '../../src/platform/format.js';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { silentLogger } from '../../src/platform/log.js';
import { runGenerate } from '../../src/pipeline/generate/runGenerate.js';
import { writeDirty } from './dirt.js';
import type { Progress } from './progress.js';
import { describeFiles, totalBytes, type Dataset } from './workspace.js';

export interface DataShape {
  readonly rows: number;
  readonly rowsPerFile: number;
  /** Another seed gives other events. Default 1. */
  readonly seed?: number;
  /** Time of the first event; about four weeks of events follow. Default 2026-11-01. */
  readonly start?: string;
  /** Share of rows that are bad, and share of rows that are duplicates, each in percent. Default clean. */
  readonly dirtPercent?: 0 | 1;
}

/** Bump when the bytes of equal shapes change. */
const VERSION = 1;
const START = '2026-11-01';

/**
 * Our own generator's events in files of a shape, made once and kept in the cache: about 170 bytes a row, version-7 ids
 * in the order of time, every ninth row or so with a quoted field.
 */
export async function dataset(cacheDir: string, progress: Progress, shape: DataShape): Promise<Dataset> {
  const { rows, rowsPerFile, dirtPercent = 0 } = shape;
  const directory = directoryOf(cacheDir, shape);
  const ready = path.join(directory, '.rows');
  if (!existsSync(ready)) {
    progress.step(`making ${rows.toLocaleString('en')} rows in ${countOf(Math.ceil(rows / rowsPerFile), 'file')}`);
    if (dirtPercent === 0) await makeClean(directory, shape);
    else await makeDirty(cacheDir, progress, directory, shape);
    writeFileSync(ready, String(rows));
  }
  const files = describeFiles(directory);
  return { files, rows: Number(readFileSync(ready, 'utf8')), bytes: totalBytes(files) };
}

/** Takes a data set out of the cache. */
export function discard(cacheDir: string, shape: DataShape): void {
  rmSync(directoryOf(cacheDir, shape), { recursive: true, force: true });
}

function directoryOf(
  cacheDir: string,
  { rows, rowsPerFile, seed = 1, start = START, dirtPercent = 0 }: DataShape,
): string {
  return path.join(cacheDir, 'data', `v${VERSION}-${rows}x${rowsPerFile}-seed${seed}-${start}-dirt${dirtPercent}`);
}

async function makeClean(directory: string, { rows, rowsPerFile, seed = 1, start = START }: DataShape): Promise<void> {
  const temporary = `${directory}.part`;
  rmSync(temporary, { recursive: true, force: true });
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  const never = new AbortController().signal;
  await runGenerate(
    { outputDir: temporary, intervalSeconds: 0, events: rows, batchSize: rowsPerFile, seed, start },
    { log: silentLogger, stop: never, drain: never, emit: () => undefined },
  );
  renameSync(temporary, directory);
}

async function makeDirty(
  cacheDir: string,
  progress: Progress,
  directory: string,
  { rows, rowsPerFile, seed = 1 }: DataShape,
): Promise<void> {
  const clean = await dataset(cacheDir, progress, { rows, rowsPerFile, seed });
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const file of clean.files) await writeDirty(file, path.join(directory, path.basename(file)));
}
