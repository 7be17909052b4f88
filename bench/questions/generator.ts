import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { faker } from '@faker-js/faker';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { EventSource } from '../../src/pipeline/generate/eventSource.js';
import { runGenerate } from '../../src/pipeline/generate/runGenerate.js';
import { planRun } from '../../src/pipeline/generate/settings.js';
import { silentLogger } from '../../src/platform/log.js';
import { runEcompipe } from '../harness/ecompipe.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Contender, type Results, type Sample } from '../harness/rounds.js';

const EVENTS = 500_000;
const EVENTS_PER_FILE = 100_000;
/** Rivals are slow, and as fast at the first row as at the last one. */
const RIVAL_EVENTS = 50_000;
const MEMORY_EVENTS = 5_000_000;
const MEGABYTE = 1e6;
const HELD = { rate: 50_000, batchSize: 5000, files: 61 } as const;
const FIXED = { intervalSeconds: 0, seed: 1, start: '2026-10-05' } as const;

const WHOLE = '`generate`: simulation, files, SHA-256, manifest';
const DIRTY = 'the same, `--dirt dirty`';
const ROWS_ONLY = 'simulation and CSV alone';
const READY_MADE = 'csv-stringify: the same rows, ready-made';
const FAKER = 'faker and csv-stringify: rows of random words';

export const generator: Question = {
  name: 'generator',
  title: 'The generator',
  run: async (bench) => {
    const events = scaled(bench, EVENTS, EVENTS_PER_FILE);
    const contenders = contendersFor(bench, events, await readyMadeRows());
    // Of what only warms up, nothing counts.
    await measureRounds(bench, contenders, 1);
    const results = await measureRounds(bench, contenders);
    const held = await holdRate(bench);
    const megabytes = await peakMegabytes(bench);
    const away = Math.abs(held / HELD.rate - 1) * 100;
    return {
      settings: [
        `${events.toLocaleString('en')} events in files of ${EVENTS_PER_FILE.toLocaleString('en')}; events a second of processor time, so on one core, with what Node.js collects on others.`,
        'The rival makes each row of independent words, without sessions, prices or orders that agree with each other.',
        `\`--rate ${HELD.rate.toLocaleString('en')}\`: ${Math.round(held).toLocaleString('en')} events a second over ${(HELD.batchSize * (HELD.files - 1)) / HELD.rate} s.`,
        `Memory (VmHWM) of a process that generates ${scaled(bench, MEMORY_EVENTS).toLocaleString('en')} events: ${megabytes.toFixed(0)} MB.`,
      ],
      header: ['way', 'median', 'all runs', 'ours is'],
      rows: contenders.map(({ name }) => [
        name,
        ...describeRates(results.values(name, 'rate'), 'events/s'),
        name === FAKER || name === READY_MADE ? times(results, name) : '',
      ]),
      profile: PROFILE,
      goals: [
        goal('`generate`:', results.median(WHOLE, 'rate'), '>=', 700_000, 'events/s of processor time'),
        goal('`--rate` is kept within', away, '<=', 1, '%'),
      ],
    };
  },
};

const PROFILE =
  'of the processor time, two fifths are the bytes of rows (`rowWriter.ts`, `identifiers.ts`), a quarter the simulation, in pieces of less than 4 % each, 7 % SHA-256, 5 % the writes, and 4 % garbage collection (`node --cpu-prof`).';

function times(results: Results, rival: string): string {
  return `${results.ratio(WHOLE, 'rate', rival)?.toFixed(1) ?? '?'} ×`;
}

function contendersFor(bench: Bench, events: number, records: readonly (readonly string[])[]): Contender[] {
  const inDirectory = (name: string, dirt: string): Contender => ({
    name,
    run: () =>
      perCpuSecond(events, () => withDirectory(bench, (outputDir) => generate(bench, outputDir, events, dirt))),
  });
  return [
    inDirectory(WHOLE, 'clean'),
    inDirectory(DIRTY, 'dirty'),
    { name: ROWS_ONLY, run: () => perCpuSecond(events, () => writeRows(events)) },
    { name: READY_MADE, run: () => perCpuSecond(records.length, () => stringify([...records])) },
    {
      name: FAKER,
      run: () => perCpuSecond(RIVAL_EVENTS, () => stringify(Array.from({ length: RIVAL_EVENTS }, fakeRow))),
    },
  ];
}

/** By processor time of this process, so that what else the machine does counts less. */
async function perCpuSecond(events: number, action: () => unknown): Promise<Sample> {
  const before = process.cpuUsage();
  await action();
  const { user, system } = process.cpuUsage(before);
  return { rate: (events / (user + system)) * 1e6 };
}

async function withDirectory<T>(bench: Bench, action: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(path.join(bench.workspace.cacheDir, 'generated-'));
  try {
    return await action(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function generate({ stop }: Bench, outputDir: string, events: number, dirt: string): Promise<void> {
  const settings = { ...FIXED, outputDir, events, batchSize: EVENTS_PER_FILE, dirt };
  await runGenerate(settings, { stop, drain: stop, log: silentLogger, emit: () => undefined });
}

async function writeRows(events: number): Promise<void> {
  const source = await EventSource.create(planRun({ ...FIXED, outputDir: '', events }, 0));
  const buffer = Buffer.alloc(1 << 20);
  for (let count = 0, position = 0; count < events; count++)
    position = source.writeNext(buffer, position > 1_000_000 ? 0 : position);
}

async function readyMadeRows(): Promise<string[][]> {
  const source = await EventSource.create(planRun({ ...FIXED, outputDir: '', events: RIVAL_EVENTS }, 0));
  const buffer = Buffer.alloc(RIVAL_EVENTS * 400);
  let position = 0;
  for (let row = 0; row < RIVAL_EVENTS; row++) position = source.writeNext(buffer, position);
  return parse(buffer.subarray(0, position));
}

/** As a script with faker makes them: our columns, each by itself. */
function fakeRow(): string[] {
  return [
    faker.string.uuid(),
    faker.helpers.arrayElement(['page_view', 'view_item', 'add_to_cart', 'purchase']),
    faker.date.recent().toISOString(),
    faker.string.alphanumeric(8),
    faker.string.alphanumeric(12),
    faker.helpers.arrayElement(['desktop', 'mobile', 'tablet']),
    faker.location.countryCode(),
    faker.helpers.arrayElement(['organic', 'paid', 'email', 'direct']),
    faker.internet.url(),
    '',
    faker.string.alphanumeric(6),
    faker.commerce.productName(),
    faker.company.name(),
    faker.commerce.department(),
    faker.commerce.price(),
    faker.number.int({ min: 1, max: 5 }).toString(),
    faker.finance.currencyCode(),
    '',
    '',
    '',
  ];
}

/** The mean rate from the start of a paced run to its last file; the first one is due at once, so that the others fill the time. */
async function holdRate(bench: Bench): Promise<number> {
  const { rate, batchSize, files } = HELD;
  let [startedMs, publishedMs] = [0, 0];
  bench.progress.step('the asked rate');
  await withDirectory(bench, async (outputDir) => {
    const settings = { ...FIXED, intervalSeconds: undefined, outputDir, rate, batchSize, batches: files };
    await runGenerate(settings, {
      stop: bench.stop,
      drain: bench.stop,
      log: silentLogger,
      emit: ({ type }) => {
        if (type === 'runStarted') startedMs = performance.now();
        else publishedMs = performance.now();
      },
    });
  });
  return (batchSize * (files - 1)) / ((publishedMs - startedMs) / 1000);
}

async function peakMegabytes(bench: Bench): Promise<number> {
  bench.progress.step('memory');
  const size = ['--events', String(scaled(bench, MEMORY_EVENTS)), '--batch-size', String(EVENTS_PER_FILE)];
  const { peakRssBytes } = await withDirectory(bench, (outputDir) =>
    runEcompipe(['generate', '--output-dir', outputDir, '--interval', '0', ...size], { env: {}, stop: bench.stop }),
  );
  return peakRssBytes / MEGABYTE;
}
