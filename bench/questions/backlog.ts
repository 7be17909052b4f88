import { setTimeout as pause } from 'node:timers/promises';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { measureRounds } from '../harness/rounds.js';

const FILES = 100_000;
const ROWS_PER_FILE = 10;
const NAME = '`ecompipe stream`';

export const backlog: Question = {
  name: 'backlog',
  title: 'Time to the first commit with a backlog',
  run: async (bench) => {
    const files = scaled(bench, FILES, 1000);
    const data = await dataset(bench.workspace.cacheDir, bench.progress, {
      rows: files * ROWS_PER_FILE,
      rowsPerFile: ROWS_PER_FILE,
      seed: 3,
    });
    const prepare = async (): Promise<void> => {
      await bench.database.reset();
      bench.workspace.stage(data.files);
    };
    const results = await measureRounds(bench, [{ name: NAME, prepare, run: () => firstCommit(bench) }]);
    const runs = results.values(NAME, 'ms');
    return {
      settings: [
        `${files.toLocaleString('en')} files of ${ROWS_PER_FILE} rows are waiting; from the start of the process until another connection sees a row, asked for every millisecond.`,
      ],
      header: ['way', 'median', 'all runs'],
      rows: [
        [
          NAME,
          `${results.median(NAME, 'ms')!.toFixed(0)} ms`,
          `${Math.min(...runs).toFixed(0)} – ${Math.max(...runs).toFixed(0)} ms`,
        ],
      ],
      goals: [goal('first commit', results.median(NAME, 'ms'), '<=', 1000, 'ms')],
    };
  },
};

async function firstCommit({ database, workspace, stop }: Bench): Promise<{ ms: number }> {
  const stream = workspace.startStream(database);
  try {
    const isCommitted = async (): Promise<boolean> =>
      (await database.query('select from public.events limit 1')).length > 0;
    while (!(await isCommitted())) await pause(1, undefined, { signal: stop });
    return { ms: performance.now() - stream.startedMs };
  } finally {
    stream.child.kill('SIGTERM');
    await stream.ended;
  }
}
