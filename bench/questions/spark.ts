import { linkSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { assertLoaded } from '../contenders/ours.js';
import { startLoader, type LoaderName } from '../contenders/spark.js';
import { dataset } from '../harness/data.js';
import { VisibilityProbe } from '../harness/probe.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, median, perSecond, quantile, type Contender } from '../harness/rounds.js';
import type { Dataset } from '../harness/workspace.js';

/** So many that what a JVM does in its first seconds, which is to compile itself, does not decide. */
const ROWS = 3_000_000;
const FILE_ROWS = 10_000;
/** Files of ten rows, so many and four times as many: what each costs must not grow with how many wait. */
const SMALL_FILES = 8000;
const SMALL_GROWTH = 4;
const LATENCY_FILES = 200;
const FILES_PER_SECOND = 10;
const LATENCY_FILE_ROWS = 10;
/** What each loads before anything is measured. */
const WARM_UP_ROWS = 100_000;
/** The first micro-batches of a JVM run uncompiled code; nobody's latency is judged by them. */
const WARM_UP_FILES = 50;
const LOOK_MS = 5;
/** While a load is timed: looking for two hundred rows every 5 ms would take a fifth of this machine. */
const LOAD_LOOK_MS = 50;
const MEGABYTE = 1e6;

const NAMES: Readonly<Record<LoaderName, string>> = {
  native: '`ecompipe stream`',
  spark: '`ecompipe stream --engine spark`',
  plain: 'Spark: readStream csv, JDBC append',
};
const LOADERS = Object.keys(NAMES) as LoaderName[];

export const spark: Question = {
  name: 'spark',
  title: 'Beside Apache Spark',
  onlyByName: true,
  run: async (bench) => {
    const { cacheDir } = bench.workspace;
    const data = await dataset(cacheDir, bench.progress, {
      rows: scaled(bench, ROWS, FILE_ROWS * 4),
      rowsPerFile: FILE_ROWS,
    });
    const small = await dataset(cacheDir, bench.progress, {
      rows: LATENCY_FILES * LATENCY_FILE_ROWS,
      rowsPerFile: LATENCY_FILE_ROWS,
      seed: 4,
    });
    // All of them warm: what Spark consists of is in the page cache then.
    const few = await dataset(cacheDir, bench.progress, { rows: WARM_UP_ROWS, rowsPerFile: FILE_ROWS, seed: 5 });
    await measureRounds(
      bench,
      LOADERS.map((name) => throughput(bench, name, name, few)),
      1,
    );
    const results = await measureRounds(bench, [
      ...LOADERS.map((name) => throughput(bench, name, name, data)),
      ...(await smallFiles(bench)),
    ]);
    const latencies = new Map<LoaderName, number[]>();
    for (const name of LOADERS) {
      bench.progress.step(`latency, ${NAMES[name]}`);
      latencies.set(name, await latency(bench, name, small));
    }
    const latencyOf = (name: LoaderName, share: number): number => quantile(latencies.get(name) ?? [], share);
    const millis = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
    return {
      settings: [
        `${data.rows.toLocaleString('en')} clean rows in ${data.files.length} files; all three on this machine with all its cores, Spark as \`local[*]\` with its default memory; each has been started once before. Loading: from when it begins to look for files until the last row is visible. Whole run: from the start of the process.`,
        `Latency: ${LATENCY_FILES} files of ${LATENCY_FILE_ROWS} rows, ${FILES_PER_SECOND} a second, renamed into the directory, until the file's first row is visible; the first ${WARM_UP_FILES} not counted. Both Sparks look all the time.`,
        'Memory: highest sum of the resident sets of all processes of the loader, without PostgreSQL.',
        `Files of ten rows, ours on Spark: ${describeRates(results.values('many', 'files'), 'files/s').join(', ')} with ${SMALL_GROWTH} times as many waiting as ${describeRates(results.values('few', 'files'), 'files/s').join(', ')}.`,
        'The plain design is at-least-once and has no rejects: one bad row ends it.',
      ],
      header: ['loader', 'loading', 'all runs', 'whole run', 'first row after', 'p50', 'p99', 'memory'],
      rows: LOADERS.map((name) => [
        NAMES[name],
        ...describeRates(results.values(name, 'load'), 'rows/s'),
        describeRates(results.values(name, 'wall'), 'rows/s')[0] ?? '',
        `${(median(results.values(name, 'firstRowMs')) / 1000).toFixed(1)} s`,
        millis(latencyOf(name, 0.5)),
        millis(latencyOf(name, 0.99)),
        `${(median(results.values(name, 'rss')) / MEGABYTE).toFixed(0)} MB`,
      ]),
      profile:
        'of a row, 2.5 µs of the server to stage it and 4.7 µs to merge it; the native engine takes 5.5 µs of the server for both. Of the JVM, the executors take 1.3 µs a row; its just-in-time compilers take most of one of the two cores in the first twenty seconds (10.5 of 24 CPU-seconds for 16,000 files of ten rows, where reading and staging took 2.8 and planning micro-batches 3.0).',
      goals: [
        goal('ours on Spark, loading:', results.ratio('spark', 'load', 'plain'), '>=', 2.5, '× plain'),
        goal('ours on Spark, loading:', results.ratio('spark', 'load', 'native'), '>=', 0.5, '× native'),
        goal('ours on Spark, files of 10 rows:', results.median('many', 'files'), '>=', 2000, 'files/s'),
        goal('the same, of a quarter as many:', results.ratio('few', 'files', 'many'), '<=', 1.2, '× as fast'),
        goal('ours on Spark, first row after:', median(results.values('spark', 'firstRowMs')) / 1000, '<=', 6, 's'),
        goal('native, loading:', results.ratio('native', 'load', 'plain'), '>=', 10, '× plain'),
        goal('native, memory:', results.ratio('native', 'rss', 'plain'), '<=', 0.1, '× plain'),
        goal('native, p50:', latencyOf('native', 0.5) / latencyOf('plain', 0.5), '<=', 0.1, '× plain'),
        goal('native, p99:', latencyOf('native', 0.99) / latencyOf('plain', 0.99), '<=', 0.1, '× plain'),
      ],
    };
  },
};

/** Ours on Spark, with few and with many files of ten rows. */
async function smallFiles(bench: Bench): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const [name, times] of [
    ['few', 1],
    ['many', SMALL_GROWTH],
  ] as const) {
    const rows = scaled(bench, SMALL_FILES, 100) * times * LATENCY_FILE_ROWS;
    const data = await dataset(bench.workspace.cacheDir, bench.progress, { rows, rowsPerFile: LATENCY_FILE_ROWS });
    contenders.push(throughput(bench, name, 'spark', data));
  }
  return contenders;
}

function throughput(bench: Bench, contender: string, name: LoaderName, data: Dataset): Contender {
  return {
    name: contender,
    prepare: async () => {
      await bench.database.reset();
      bench.workspace.stage(data.files);
    },
    run: async () => {
      const probing = await bench.database.connect();
      const probe = new VisibilityProbe(probing, LOAD_LOOK_MS);
      try {
        const loader = await startLoader(bench, name, true);
        // Whatever order it loads in: each file by one row at its start and one at its end.
        const seen = probed(data.files)
          .flatMap(edgeIds)
          .map((id) => probe.visible(id).then(() => performance.now()));
        await loader.ready;
        const readyMs = performance.now();
        const [firstMs, lastMs] = await Promise.race([
          Promise.all([Promise.race(seen), Promise.all(seen).then((times) => Math.max(...times))]),
          loader.ended
            .then(() => pause(10_000))
            .then(() => Promise.reject(new Error(`${name} ended before all rows were there`))),
        ]);
        await loader.ended;
        await assertLoaded(bench, data.rows, name);
        return {
          load: perSecond(data.rows, lastMs - readyMs),
          files: perSecond(data.files.length, lastMs - readyMs),
          wall: perSecond(data.rows, lastMs - loader.startedMs),
          firstRowMs: firstMs - loader.startedMs,
          rss: loader.peakRssBytes(),
        };
      } finally {
        await probe.stop();
        await probing.end();
      }
    },
  };
}

/** Of thousands of files a hundredth, and the last one: to look for all of them would take longer than the load. */
function probed(files: readonly string[]): string[] {
  return files.length <= 1000 ? [...files] : [...files.filter((_, index) => index % 100 === 0), ...files.slice(-1)];
}

/** Milliseconds from rename to visible row, for each file after the warm-up. */
async function latency(bench: Bench, name: LoaderName, data: Dataset): Promise<number[]> {
  const { workspace, database, stop } = bench;
  await database.reset();
  workspace.stage([]);
  const aside = path.join(workspace.root, 'aside');
  mkdirSync(aside);
  for (const file of data.files) linkSync(file, path.join(aside, path.basename(file)));
  const probing = await database.connect();
  const probe = new VisibilityProbe(probing, LOOK_MS);
  const loader = await startLoader(bench, name, false);
  try {
    await loader.ready;
    const measured: Promise<number>[] = [];
    for (const [index, file] of data.files.entries()) {
      stop.throwIfAborted();
      // The warm-up goes at its own pace: what it leaves behind must not be in the way of what is measured.
      if (index <= WARM_UP_FILES) await Promise.all(measured);
      else await pause(1000 / FILES_PER_SECOND);
      measured.push(probe.visible(edgeIds(file)[0] ?? ''));
      renameSync(path.join(aside, path.basename(file)), path.join(workspace.processing, path.basename(file)));
    }
    const latencies = await Promise.race([
      Promise.all(measured),
      loader.ended.then(() => Promise.reject(new Error(`${name} ended early`))),
    ]);
    return latencies.slice(WARM_UP_FILES);
  } finally {
    await loader.stop();
    await probe.stop();
    await probing.end();
  }
}

/** Ids of a file's first and last row. */
function edgeIds(file: string): string[] {
  const text = readFileSync(file, 'latin1').trimEnd();
  const [first, last] = [text.indexOf('\n') + 1, text.lastIndexOf('\n') + 1];
  return [text.slice(first, first + 36), text.slice(last, last + 36)];
}
