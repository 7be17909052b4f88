import { statfsSync } from 'node:fs';
import { dataset, discard, type DataShape } from '../harness/data.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';

const ROWS = 10_000_000;
const SMALL_FILES = 100_000;
const MEGABYTE = 1e6;
const LIMIT_MEGABYTES = 120;
/** The file, the table, its index, WAL. */
const DISK_BYTES_PER_ROW = 450;
/** A larger file does not stay in the cache. */
const KEPT_ROWS = 20_000_000;

export const memory: Question = {
  name: 'memory',
  title: 'Memory of the stream process',
  run: async (bench) => {
    const rows = scaled(bench, ROWS, 100_000);
    const cases: readonly (readonly [name: string, shape: DataShape])[] = [
      [`${rows.toLocaleString('en')} rows in one file`, { rows, rowsPerFile: rows }],
      ['the same, 1 % bad and 1 % duplicate', { rows, rowsPerFile: rows, dirtPercent: 1 }],
      [
        `${scaled(bench, SMALL_FILES).toLocaleString('en')} files of 10 rows`,
        { rows: scaled(bench, SMALL_FILES) * 10, rowsPerFile: 10, seed: 3 },
      ],
      ['a file ten times as large', { rows: rows * 10, rowsPerFile: rows * 10 }],
    ];
    const peaks: { name: string; megabytes: number | undefined }[] = [];
    for (const [name, shape] of cases) peaks.push({ name, megabytes: await peak(bench, name, shape) });
    return {
      settings: [
        'Highest resident set of the process (VmHWM), one run each: memory does not jitter as time does. All at the defaults: 2 connections, batches of 8 MiB.',
      ],
      header: ['what is loaded', 'peak'],
      rows: peaks.map(({ name, megabytes }) => [
        name,
        megabytes === undefined ? 'not enough disk space' : `${megabytes.toFixed(0)} MB`,
      ]),
      goals: peaks.map(({ name, megabytes }) => goal(`${name}:`, megabytes, '<=', LIMIT_MEGABYTES, 'MB')),
    };
  },
};

/** Undefined when there is no room on the disk. */
async function peak(bench: Bench, name: string, shape: DataShape): Promise<number | undefined> {
  bench.stop.throwIfAborted();
  const { cacheDir } = bench.workspace;
  const { bavail, bsize } = statfsSync(cacheDir);
  if (bavail * bsize < shape.rows * DISK_BYTES_PER_ROW) return undefined;
  const data = await dataset(cacheDir, bench.progress, shape);
  bench.progress.step(`loading ${name}`);
  await bench.database.reset();
  bench.workspace.stage(data.files);
  try {
    return (await bench.workspace.drain(bench.database)).peakRssBytes / MEGABYTE;
  } finally {
    await bench.database.reset();
    if (shape.rows > KEPT_ROWS) discard(cacheDir, shape);
  }
}
