import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { runEcompipe } from '../harness/ecompipe.js';
import { goal, type Bench, type Question } from '../harness/question.js';
import { measureRounds, quantile, type Contender } from '../harness/rounds.js';

/** Starts are short and jittery: more of them. */
const RUNS_FACTOR = 4;
const NODE = '`node -e 0` (for comparison)';
const VERSION = '`ecompipe --version`';
const EXTERNAL = '`ecompipe stream --once`, nothing to do, database given';
const EMBEDDED = '`ecompipe stream --once`, nothing to do, embedded database running';

export const start: Question = {
  name: 'start',
  title: 'Start',
  run: async (bench) => {
    const { workspace, database } = bench;
    await database.reset();
    workspace.stage([]);
    const contenders: Contender[] = [
      { name: NODE, run: () => Promise.resolve({ ms: timeNode() }) },
      { name: VERSION, run: async () => ({ ms: (await runEcompipe(['--version'], { env: {} })).wallMs }) },
      { name: EXTERNAL, run: async () => ({ ms: (await workspace.drain(database)).wallMs }) },
      ...(database.embeddedDir === undefined ? [] : [embedded(bench, database.embeddedDir)]),
    ];
    // The embedded database is migrated by its first user, and every file is in the page cache then.
    await measureRounds(bench, contenders, 1);
    const results = await measureRounds(bench, contenders, bench.runs * RUNS_FACTOR);
    return {
      settings: [`${bench.runs * RUNS_FACTOR} starts each, from before the spawn to the exit.`],
      header: ['start', 'median', 'p90'],
      rows: contenders.map(({ name }) => [
        name,
        `${results.median(name, 'ms')!.toFixed(0)} ms`,
        `${quantile(results.values(name, 'ms'), 0.9).toFixed(0)} ms`,
      ]),
      goals: [
        goal('`--version`', results.median(VERSION, 'ms'), '<=', 120, 'ms'),
        goal('`stream --once`, database given,', results.median(EXTERNAL, 'ms'), '<=', 200, 'ms'),
        goal('`stream --once`, embedded database,', results.median(EMBEDDED, 'ms'), '<=', 200, 'ms'),
      ],
    };
  },
};

/** The bench itself holds the embedded server, so it is running already. */
function embedded({ workspace }: Bench, directory: string): Contender {
  mkdirSync(workspace.processing, { recursive: true });
  return {
    name: EMBEDDED,
    run: async () => ({ ms: (await workspace.drain({ env: { ECOMPIPE_EMBEDDED_DIR: directory } })).wallMs }),
  };
}

function timeNode(): number {
  const startedMs = performance.now();
  spawnSync(process.execPath, ['-e', '0']);
  return performance.now() - startedMs;
}
