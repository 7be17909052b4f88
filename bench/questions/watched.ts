import { setTimeout as pause } from 'node:timers/promises';
import { ours } from '../contenders/ours.js';
import { dataset } from '../harness/data.js';
import { startEcompipe } from '../harness/ecompipe.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Contender } from '../harness/rounds.js';
import type { Dataset } from '../harness/workspace.js';

const ROWS = 2_000_000;
const [ALONE, WATCHED] = ['`ecompipe stream --once`', 'the same, and somebody looks at the dashboard'];
/** The page has been there for a while when the load begins. */
const LOOKING_MS = 1500;

export const watched: Question = {
  name: 'watched',
  title: 'Does the dashboard slow the loader down?',
  run: async (bench) => {
    const rows = scaled(bench, ROWS, 50_000);
    const data = await dataset(bench.workspace.cacheDir, bench.progress, { rows, rowsPerFile: rows });
    const results = await measureRounds(bench, [ours(bench, data, rows, ALONE), withDashboard(bench, data)]);
    const ratio = results.ratio(WATCHED, 'wall', ALONE);
    return {
      settings: [
        `${rows.toLocaleString('en')} rows in one file, into an empty table. \`ecompipe dashboard\` runs on the same machine, with one page open.`,
      ],
      header: ['', 'whole process, median', 'all runs', 'ratio'],
      rows: [
        [ALONE, ...describeRates(results.values(ALONE, 'wall'), 'rows/s'), ''],
        [WATCHED, ...describeRates(results.values(WATCHED, 'wall'), 'rows/s'), `${ratio?.toFixed(2) ?? '?'} ×`],
      ],
      goals: [goal('watched:', ratio, '>=', 0.98, '× alone')],
    };
  },
};

function withDashboard(bench: Bench, data: Dataset): Contender {
  const loader = ours(bench, data, data.rows, WATCHED);
  return {
    ...loader,
    run: async () => {
      const dashboard = startEcompipe(['dashboard', '--port', '0'], {
        env: bench.database.env,
        cwd: bench.workspace.root,
        stop: bench.stop,
      });
      const page = new AbortController();
      try {
        const { url } = (await dashboard.logged('dashboard_served')) as { url?: string };
        const events = await fetch(`${url}api/events`, { signal: page.signal });
        const looking = readAll(events);
        await pause(LOOKING_MS);
        const sample = await loader.run();
        page.abort();
        if ((await looking) === 0) throw new Error('the page was told nothing');
        return sample;
      } finally {
        page.abort();
        dashboard.child.kill('SIGTERM');
        await dashboard.ended;
      }
    },
  };
}

/** Reads until it is aborted. @returns the bytes. */
async function readAll({ body }: Response): Promise<number> {
  let bytes = 0;
  try {
    for await (const chunk of body ?? []) bytes += (chunk as Uint8Array).length;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
  }
  return bytes;
}
