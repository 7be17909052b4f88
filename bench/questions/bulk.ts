import { ours, OURS, rival } from '../contenders/ours.js';
import { copyWithPsql, psqlVersion } from '../contenders/psql.js';
import { copyFilesInTurn, copyHalves } from '../contenders/rawCopy.js';
import { goal, scaled, type Answer, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Results } from '../harness/rounds.js';
import type { Dataset } from '../harness/workspace.js';
import { dataset } from '../harness/data.js';

const PSQL = 'psql \\copy';
const RAW = 'two raw pg-copy-streams connections';
const ROWS = 2_000_000;
const FILE_ROWS = 10_000;

export const bulk: Question = {
  name: 'bulk',
  title: 'One large file',
  run: async (bench) => {
    const rows = scaled(bench, ROWS, FILE_ROWS);
    const data = await dataset(bench.workspace.cacheDir, bench.progress, { rows, rowsPerFile: rows });
    return await answer(
      bench,
      data,
      ([file]) => copyHalves(bench.database, file!),
      'each raw connection sends half of the file',
      1,
    );
  },
};

export const files: Question = {
  name: 'files',
  title: 'The same rows as files of 10,000',
  run: async (bench) => {
    const data = await dataset(bench.workspace.cacheDir, bench.progress, {
      rows: scaled(bench, ROWS, FILE_ROWS),
      rowsPerFile: FILE_ROWS,
    });
    return await answer(
      bench,
      data,
      (all) => copyFilesInTurn(bench.database, all),
      'psql takes all files in one session, the raw connections take them in turn',
      0.97,
    );
  },
};

async function answer(
  bench: Bench,
  data: Dataset,
  raw: (files: readonly string[]) => Promise<number>,
  how: string,
  leastOfRaw: number,
): Promise<Answer> {
  const contenders = [
    ours(bench, data),
    ...(psqlVersion === undefined ? [] : [rival(bench, PSQL, data, (all) => copyWithPsql(bench.database, all))]),
    rival(bench, RAW, data, raw),
  ];
  const results = await measureRounds(bench, contenders);
  return {
    settings: [
      `${data.rows.toLocaleString('en')} rows of ${Math.round(data.bytes / data.rows)} bytes in ${data.files.length.toLocaleString('en')} ${data.files.length === 1 ? 'file' : 'files'}, into \`events\` with its key, constraints and indexes; a new database and CHECKPOINT before every run; ${how}.`,
      `Whole process: from before its start to its exit. Loading: from its first look at the directory to its last commit; the raw connections are measured so too, without process start and connecting. ${psqlVersion ?? 'psql is not installed'}.`,
    ],
    header: ['way', 'median', 'all runs', 'ours is'],
    rows: [
      [`\`${OURS}\`, whole process`, ...describeRates(results.values(OURS, 'wall'), 'rows/s'), ''],
      [`\`${OURS}\`, loading`, ...describeRates(results.values(OURS, 'load'), 'rows/s'), ''],
      ...(psqlVersion === undefined
        ? []
        : [
            [
              `\`${PSQL}\`, whole process`,
              ...describeRates(results.values(PSQL, 'wall'), 'rows/s'),
              times(results, 'wall', PSQL),
            ],
          ]),
      [
        `${RAW}, loading`,
        ...describeRates(results.values(RAW, 'wall'), 'rows/s'),
        `${times(results, 'load', RAW)} (${times(results, 'wall', RAW)} with start and exit)`,
      ],
    ],
    goals: [
      goal('whole process:', results.ratio(OURS, 'wall', PSQL), '>=', 1.3, `× ${PSQL}`),
      goal('loading:', results.ratio(OURS, 'load', RAW, 'wall'), '>=', leastOfRaw, '× two raw connections'),
    ],
  };
}

function times(results: Results, ourName: string, rivalName: string): string {
  return `${results.ratio(OURS, ourName, rivalName, 'wall')?.toFixed(2) ?? '?'} ×`;
}
