import { linkSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { dataset } from '../harness/data.js';
import { runEcompipe, type EndedEcompipe } from '../harness/ecompipe.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { median, perSecond, shortNumber } from '../harness/rounds.js';
import type { Dataset } from '../harness/workspace.js';
import {
  dayEnd,
  DAYS,
  FILES_PER_BATCH,
  fillArchive,
  fillYear,
  planYear,
  ROWS_PER_FILE,
  type Year,
} from '../harness/year.js';

const LEDGER_FILES = 10_000_000;
const LOADED_ROWS = 1_000_000;
/** Days that are pruned at once while a stream loads: one is gone before the stream has begun. */
const DAYS_BESIDE = 6;
const [START, STATUS, UNDO, PRUNE] = [
  '`stream --once`, nothing to do',
  '`status`',
  '`undo` of a small file',
  '`prune` of a day',
] as const;
const TASKS = [START, STATUS, UNDO, PRUNE] as const;

/** What a run of each took, in milliseconds. */
type Times = Record<(typeof TASKS)[number], number[]>;

export const years: Question = {
  name: 'years',
  title: 'After a year',
  onlyByName: true,
  run: async (bench) => {
    const year = planYear(scaled(bench, LEDGER_FILES, DAYS * FILES_PER_BATCH), new Date());
    const rows = scaled(bench, LOADED_ROWS, 50_000);
    const runs = Math.min(bench.runs, Math.floor((year.keptDays - 1) / (DAYS_BESIDE + 1)));
    bench.workspace.stage([]);
    const empty = await measureTasks(bench, year, 0, runs);
    await bench.database.reset();
    bench.workspace.stage([]);
    await fillYear(bench.database, year, bench.progress);
    await fillArchive(bench.database, year, path.join(bench.workspace.root, 'archive'), bench.progress);
    const bytesPerFile = await ledgerBytes(bench, year);
    const full = await measureTasks(bench, year, runs, runs);
    const beside = await measureBeside(bench, year, rows, runs);
    const ms = (values: readonly number[]): string => `${Math.round(median(values)).toLocaleString('en')} ms`;
    return {
      settings: [
        `A ledger of ${count(year.files)} files of ${ROWS_PER_FILE} rows over ${DAYS} days, ${FILES_PER_BATCH} a batch: ${bytesPerFile.toFixed(0)} bytes a file with its indexes. Events and archived files of the last ${year.keptDays} days are there, ${count(year.keptFiles * ROWS_PER_FILE)} and ${count(year.keptFiles)}; all others were pruned.`,
        `A day is ${count(year.filesADay)} files with ${count(year.filesADay * ROWS_PER_FILE)} events. Whole commands, from before the spawn to the exit, beside the same with an empty ledger and archive.`,
        `Then ${DAYS_BESIDE} days are pruned while a stream loads ${count(rows)} rows, in turn with the same load alone.`,
      ],
      header: ['', 'after a year', 'all runs', 'empty', 'ratio'],
      rows: [
        ...TASKS.map((task) => [
          task,
          ms(full[task]),
          full[task].map((value) => Math.round(value)).join(', '),
          task === PRUNE ? '' : ms(empty[task]),
          task === PRUNE ? '' : `${(median(full[task]) / median(empty[task])).toFixed(2)} ×`,
        ]),
        [
          'loading while pruned',
          `${shortNumber(median(beside.loading))} rows/s`,
          '',
          `${shortNumber(median(beside.alone))} rows/s alone`,
          `${beside.ratio.toFixed(2)} ×`,
        ],
        [
          'pruning while loaded',
          `${shortNumber(median(beside.pruning))} events/s`,
          beside.pruning.map(shortNumber).join(', '),
          '',
          '',
        ],
      ],
      goals: [
        ...TASKS.map((task) => goal(task, median(full[task]), '<=', 2000, 'ms')),
        goal('pruning while a stream loads', median(beside.pruning), '>=', 100_000, 'events/s'),
        goal('loading while pruned', beside.ratio, '>=', 0.8, '× alone'),
      ],
    };
  },
};

/** Starts, looks, takes out and prunes, in turn; `days` is how many oldest days may go. */
async function measureTasks(bench: Bench, year: Year, days: number, runs: number): Promise<Times> {
  const { workspace, database, progress, stop } = bench;
  const times: Times = { [START]: [], [STATUS]: [], [UNDO]: [], [PRUNE]: [] };
  const small = await dataset(workspace.cacheDir, progress, {
    rows: FILES_PER_BATCH * ROWS_PER_FILE,
    rowsPerFile: ROWS_PER_FILE,
  });
  await load(bench, small);
  for (let run = 0; run < runs; run++) {
    stop.throwIfAborted();
    progress.step(`round ${run + 1} of ${runs}: start, status, undo, prune`);
    await database.query('checkpoint');
    times[START].push((await workspace.drain(database)).wallMs);
    times[STATUS].push((await runOn(bench, 'status')).wallMs);
    const file = path.basename(small.files[run * 10]!);
    times[UNDO].push((await runOn(bench, 'undo', '--file', file, '--yes')).wallMs);
    if (run < days) times[PRUNE].push((await prune(bench, year, run)).wallMs);
  }
  return times;
}

async function measureBeside(
  bench: Bench,
  year: Year,
  rows: number,
  runs: number,
): Promise<{ alone: number[]; loading: number[]; pruning: number[]; ratio: number }> {
  const [alone, loading, pruning]: number[][] = [[], [], []];
  for (let run = 0; run < 2 * runs; run++) {
    const data = await dataset(bench.workspace.cacheDir, bench.progress, {
      rows,
      rowsPerFile: rows,
      seed: 500 + run,
      start: `${2027 + run}-01-01`,
    });
    const isBeside = run % 2 === 1;
    bench.progress.step(`${isBeside ? 'load and prune' : 'load alone'}, ${run + 1} of ${2 * runs}`);
    await bench.database.query('checkpoint');
    const startedMs = performance.now();
    const loaded = load(bench, data).then(() => performance.now());
    const pruned = isBeside ? await prune(bench, year, runs + ((run + 1) / 2) * DAYS_BESIDE - 1) : undefined;
    if (pruned !== undefined) {
      const { events } = JSON.parse(pruned.stdout) as { events: { rows: number } };
      pruning!.push(perSecond(events.rows, pruned.wallMs));
    }
    (isBeside ? loading : alone)!.push(perSecond(rows, (await loaded) - startedMs));
  }
  return { alone: alone!, loading: loading!, pruning: pruning!, ratio: median(loading!) / median(alone!) };
}

/** Loads files beside what is in the archive already. */
async function load({ workspace, database }: Bench, data: Dataset): Promise<EndedEcompipe> {
  mkdirSync(workspace.processing, { recursive: true });
  for (const file of data.files) linkSync(file, path.join(workspace.processing, path.basename(file)));
  return await workspace.drain(database);
}

/** Removes the oldest days up to this one: events, archived files and ledger. */
async function prune(bench: Bench, year: Year, day: number): Promise<EndedEcompipe> {
  const ageHours = (Date.now() - dayEnd(year, day).getTime()) / 3_600_000;
  return await runOn(bench, 'prune', '--older-than', `${ageHours.toFixed(4)}h`, '--yes', '--json');
}

async function runOn({ workspace, database, stop }: Bench, ...args: string[]): Promise<EndedEcompipe> {
  const places = {
    INCOMING_PATH: path.join(workspace.root, 'incoming'),
    PROCESSING_PATH: workspace.processing,
    ARCHIVE_PATH: path.join(workspace.root, 'archive'),
    QUARANTINE_PATH: path.join(workspace.root, 'quarantine'),
    CHECKPOINT_PATH: path.join(workspace.root, 'checkpoints'),
  };
  return await runEcompipe(args, { env: { ...database.env, ...places }, cwd: workspace.root, stop });
}

async function ledgerBytes({ database }: Bench, { files }: Year): Promise<number> {
  const [row] = await database.query<{ bytes: string }>(
    `select pg_total_relation_size('ecompipe.file_entries') as bytes`,
  );
  return Number(row?.bytes) / files;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
