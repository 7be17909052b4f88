import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { silentLogger } from '../src/platform/log.js';
import { EventSource } from '../src/pipeline/generate/eventSource.js';
import { runGenerate } from '../src/pipeline/generate/runGenerate.js';
import { planRun } from '../src/pipeline/generate/settings.js';

/**
 * How many events a second does the generator make on one core, and how does that compare with csv-stringify writing
 * the same rows from objects that are already there? Rounds are interleaved, because the machine's speed drifts; medians
 * count. Then: is an asked rate held? `--memory --events 100000000` watches the memory instead.
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    events: { type: 'string', default: '500000' },
    memory: { type: 'boolean', default: false },
  },
});
const events = Number(options.events);
const FIXED = { intervalSeconds: 0, seed: 1, start: '2026-10-05' } as const;

if (options.memory) await watchMemory();
else {
  await compare();
  await holdRate();
}

async function compare(): Promise<void> {
  const sample = await sampleRows(50_000);
  const records: string[][] = parse(sample);
  const ways: Record<string, { run: () => Promise<number>; rates: number[] }> = {
    'generate: whole (files, SHA-256, manifest)': { run: () => generate('clean'), rates: [] },
    'generate: whole, --dirt dirty': { run: () => generate('dirty'), rates: [] },
    'generate: rows only (simulation and CSV)': { run: rowsOnly, rates: [] },
    'csv-stringify: the same rows, ready-made': {
      run: () => Promise.resolve(timed(records.length, () => stringify(records))),
      rates: [],
    },
  };
  for (let round = -1; round < Number(options.rounds); round++) {
    for (const way of Object.values(ways)) {
      const rate = await way.run();
      // The first round only warms up.
      if (round >= 0) way.rates.push(rate);
    }
  }
  const medians = Object.fromEntries(Object.entries(ways).map(([name, { rates }]) => [name, median(rates)]));
  for (const [name, rate] of Object.entries(medians))
    console.log(
      `${name.padEnd(44)} ${Math.round(rate / 1000)
        .toString()
        .padStart(6)} k events/s of CPU`,
    );
  const [whole = 0, , rows = 0, reference = 1] = Object.values(medians);
  console.log(
    `whole / csv-stringify ${(whole / reference).toFixed(1)}, rows only / csv-stringify ${(rows / reference).toFixed(1)}`,
  );
}

/** The mean rate from the start of a paced run to its last file; within 1 % is the promise. */
async function holdRate(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-bench-'));
  const [rate, batchSize, files] = [50_000, 5000, 61];
  let [startedMs, publishedMs] = [0, 0];
  const never = new AbortController().signal;
  try {
    await runGenerate(
      { ...FIXED, intervalSeconds: undefined, outputDir: directory, rate, batchSize, batches: files },
      {
        stop: never,
        drain: never,
        log: silentLogger,
        emit: ({ type }) => {
          if (type === 'runStarted') startedMs = performance.now();
          else publishedMs = performance.now();
        },
      },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  // The first file is due at once, so that the others fill the time.
  const held = (batchSize * (files - 1)) / ((publishedMs - startedMs) / 1000);
  console.log(`--rate ${rate}: ${Math.round(held)} events/s (${((held / rate - 1) * 100).toFixed(2)} %)`);
}

async function generate(dirt: string): Promise<number> {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-bench-'));
  try {
    return await timedAsync(events, () => run(directory, events, dirt));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function run(
  outputDir: string,
  count: number,
  dirt: string,
  onFile: (path: string) => void = () => undefined,
): Promise<void> {
  const never = new AbortController().signal;
  await runGenerate(
    { ...FIXED, outputDir, events: count, batchSize: 100_000, dirt },
    {
      stop: never,
      drain: never,
      log: silentLogger,
      emit: (event) => {
        if (event.type === 'filePublished') onFile(event.path);
      },
    },
  );
}

async function rowsOnly(): Promise<number> {
  const source = await EventSource.create(planRun({ ...FIXED, outputDir: '', events }, 0));
  const buffer = Buffer.alloc(1 << 20);
  return timed(events, () => {
    for (let count = 0, position = 0; count < events; count++)
      position = source.writeNext(buffer, position > 1_000_000 ? 0 : position);
  });
}

async function sampleRows(count: number): Promise<Buffer> {
  const source = await EventSource.create(planRun({ ...FIXED, outputDir: '', events: count }, 0));
  const buffer = Buffer.alloc(count * 400);
  let position = 0;
  for (let row = 0; row < count; row++) position = source.writeNext(buffer, position);
  return buffer.subarray(0, position);
}

/** Rates by CPU time of this process, so that what else the machine does counts less. */
function timed(count: number, action: () => unknown): number {
  const before = process.cpuUsage();
  action();
  return perCpuSecond(count, before);
}

async function timedAsync(count: number, action: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await action();
  return perCpuSecond(count, before);
}

function perCpuSecond(count: number, before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (count / (user + system)) * 1e6;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function watchMemory(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-bench-'));
  let files = 0;
  try {
    await run(directory, events, 'clean', (file) => {
      rmSync(file);
      if (++files % 50 === 0)
        console.log(`${files / 10} M events: ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB`);
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
