import { readFileSync, renameSync, linkSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { dataset } from '../harness/data.js';
import { VisibilityProbe } from '../harness/probe.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { quantile } from '../harness/rounds.js';
import type { Dataset } from '../harness/workspace.js';

const FILES_PER_SECOND = 50;
const SECONDS = 20;
const ROWS_PER_FILE = 10;
const LARGE_ROWS = 2_000_000;
/** Beside a bulk load the probe must not take the core that is measured; half a pause is what it adds on average. */
const PAUSE_UNDER_LOAD_MS = 1;

export const latency: Question = {
  name: 'latency',
  title: 'From rename to visible row',
  run: async (bench) => {
    const { workspace, progress } = bench;
    const count = Math.max(100, Math.round(FILES_PER_SECOND * SECONDS * Math.min(1, bench.scale * 2)));
    const data = await dataset(workspace.cacheDir, progress, {
      rows: count * ROWS_PER_FILE,
      rowsPerFile: ROWS_PER_FILE,
      seed: 2,
    });
    const rows = scaled(bench, LARGE_ROWS, 200_000);
    const large = await dataset(workspace.cacheDir, progress, { rows, rowsPerFile: rows });
    const idle = await measure(bench, data);
    const loaded = await measure(bench, data, large);
    return {
      settings: [
        `${count.toLocaleString('en')} files of ${ROWS_PER_FILE} rows, ${FILES_PER_SECOND} a second, renamed into processing/; until another connection sees the file's first row (it asks for it by id, without pause, under load every ${PAUSE_UNDER_LOAD_MS} ms).`,
        `Under load: only files that were renamed while a file of ${rows.toLocaleString('en')} rows was being loaded (${loaded.length.toLocaleString('en')} of them).`,
      ],
      header: ['situation', 'p50', 'p90', 'p99', 'longest'],
      rows: [
        ['nothing else to do', ...describe(idle)],
        ['while a large file loads', ...describe(loaded)],
      ],
      profile:
        'by step, in milliseconds (p10 of 200 files, with strace, which adds to each): from the event of the directory to the look at it 0.3, to opening the file 0.2, to the message that begins the transaction, enters the file and brings its rows 0.55, its answer 1.1, to the ledger and COMMIT, again one message, 0.4, its answer 0.9. The asking connection and its server process run on the same two cores as the loader and its own.',
      goals: [
        goal('p50', quantile(idle, 0.5), '<=', 2.5, 'ms'),
        goal('p99', quantile(idle, 0.99), '<=', 15, 'ms'),
        goal('p99 while a large file loads', quantile(loaded, 0.99), '<=', 250, 'ms'),
      ],
    };
  },
};

/** Latencies of small files, in milliseconds; with a large file, of those renamed between its first and last commit. */
async function measure(bench: Bench, data: Dataset, large?: Dataset): Promise<number[]> {
  const { workspace, database, progress, stop } = bench;
  await database.reset();
  workspace.stage([]);
  const staged = stageAside(workspace.root, data.files);
  const stream = workspace.startStream(database);
  const probing = await database.connect();
  const probe = new VisibilityProbe(probing, large === undefined ? 0 : PAUSE_UNDER_LOAD_MS);
  try {
    await stream.logged('stream_started');
    const isLoading = large === undefined ? () => true : await startLarge(bench, large);
    const measured: Promise<number>[] = [];
    const startedMs = performance.now();
    for (const [index, { file, firstId }] of staged.entries()) {
      stop.throwIfAborted();
      await pause(Math.max(0, startedMs + (index * 1000) / FILES_PER_SECOND - performance.now()));
      if (!isLoading()) break;
      if (index % FILES_PER_SECOND === 0)
        progress.step(`${large === undefined ? 'idle' : 'under load'}, ${index} of ${staged.length} files`);
      measured.push(probe.visible(firstId));
      renameSync(file, path.join(workspace.processing, path.basename(file)));
    }
    return await Promise.race([
      Promise.all(measured),
      stream.ended.then(() => Promise.reject(new Error('stream ended early'))),
    ]);
  } finally {
    stream.child.kill('SIGTERM');
    await stream.ended;
    await probe.stop();
    await probing.end();
  }
}

/** Puts the large file in and waits for its first batch. @returns whether it is still being loaded, looked up every 50 ms. */
async function startLarge({ database, workspace, stop }: Bench, { files: [file] }: Dataset): Promise<() => boolean> {
  linkSync(file!, path.join(workspace.processing, 'large.csv'));
  const stateOf = async (): Promise<string | undefined> =>
    (
      await database.query<{ state: string }>(
        `select state from ecompipe.files where name = 'large.csv' and committed_offset > 0`,
      )
    )[0]?.state;
  while ((await stateOf()) === undefined) await pause(10, undefined, { signal: stop });
  let loading = true;
  const watch = async (): Promise<void> => {
    while ((await stateOf()) === 'loading') await pause(50);
    loading = false;
  };
  void watch().catch(() => (loading = false));
  return () => loading;
}

/** Hard links beside processing/, to be renamed into it, and the first event id of each. */
function stageAside(root: string, files: readonly string[]): { file: string; firstId: string }[] {
  const directory = path.join(root, 'aside');
  mkdirSync(directory, { recursive: true });
  return files.map((source) => {
    const file = path.join(directory, path.basename(source));
    linkSync(source, file);
    const text = readFileSync(source, 'latin1');
    const bodyStart = text.indexOf('\n') + 1;
    return { file, firstId: text.slice(bodyStart, bodyStart + 36) };
  });
}

function describe(latencies: readonly number[]): string[] {
  return [0.5, 0.9, 0.99, 1].map((share) => `${quantile(latencies, share).toFixed(1)} ms`);
}
