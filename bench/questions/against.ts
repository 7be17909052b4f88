import { ours } from '../contenders/ours.js';
import { withOtherDatabase } from '../harness/database.js';
import { dataset, type DataShape } from '../harness/data.js';
import type { OtherBuild } from '../harness/otherBuild.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Results } from '../harness/rounds.js';

const NOW = 'this build';

/** A loader that is slower than this, in the median of a run on a noisy machine, wants to be looked at. */
const LEAST_RATIO = 0.95;

/** Whether a change made the loader slower: this build and an earlier one in the same rounds, each on its own schema. */
export function against({ commit, executable }: OtherBuild): Question {
  const before = `build of ${commit}`;
  return {
    name: 'against',
    title: `Against the build of ${commit}`,
    run: async (bench) => {
      const answers: { what: string; results: Results }[] = [];
      await withOtherDatabase(
        bench.database,
        'before',
        async (database) => {
          for (const [what, shape, inserted] of shapes(bench)) {
            const data = await dataset(bench.workspace.cacheDir, bench.progress, shape);
            const results = await measureRounds(bench, [
              ours(bench, data, inserted, NOW),
              ours({ ...bench, database }, data, inserted, before, { executable }),
            ]);
            answers.push({ what, results });
          }
        },
        executable,
      );
      return {
        settings: [
          'Loading: from the first look at the directory to the last commit; each build migrates a database of its own.',
        ],
        header: ['what is loaded', NOW, 'all runs', before, 'all runs', 'ratio'],
        rows: answers.map(({ what, results }) => [
          what,
          ...describeRates(results.values(NOW, 'load'), 'rows/s'),
          ...describeRates(results.values(before, 'load'), 'rows/s'),
          `${results.ratio(NOW, 'load', before)?.toFixed(2) ?? '?'} ×`,
        ]),
        goals: answers.map(({ what, results }) =>
          goal(`${what}:`, results.ratio(NOW, 'load', before), '>=', LEAST_RATIO, `× ${before}`),
        ),
      };
    },
  };
}

/** What is loaded, and how many of its rows are in the table afterwards. */
function shapes(bench: Bench): readonly (readonly [what: string, shape: DataShape, inserted: number])[] {
  const rows = (size: number): number => scaled(bench, size, 20_000);
  return [
    ['one large file', { rows: rows(2_000_000), rowsPerFile: rows(2_000_000) }, rows(2_000_000)],
    ['files of 10,000 rows', { rows: rows(2_000_000), rowsPerFile: 10_000 }, rows(2_000_000)],
    ['files of 10 rows', { rows: rows(200_000), rowsPerFile: 10 }, rows(200_000)],
    [
      '1 % bad, 1 % duplicate',
      { rows: rows(1_000_000), rowsPerFile: rows(1_000_000), dirtPercent: 1 },
      Math.round(rows(1_000_000) * 0.98),
    ],
  ];
}
