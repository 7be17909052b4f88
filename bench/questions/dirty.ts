import { ours } from '../contenders/ours.js';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Question } from '../harness/question.js';
import { describeRates, measureRounds } from '../harness/rounds.js';

const ROWS = 1_000_000;
const CLEAN = 'clean rows';
const DIRTY = '1 % bad, 1 % duplicate';

export const dirty: Question = {
  name: 'dirty',
  title: 'Dirty rows in every batch',
  run: async (bench) => {
    const shape = { rows: scaled(bench, ROWS, 20_000), rowsPerFile: scaled(bench, ROWS, 20_000) };
    const clean = await dataset(bench.workspace.cacheDir, bench.progress, shape);
    const spoiled = await dataset(bench.workspace.cacheDir, bench.progress, { ...shape, dirtPercent: 1 });
    const results = await measureRounds(bench, [
      ours(bench, clean, clean.rows, CLEAN),
      ours(bench, spoiled, Math.round(spoiled.rows * 0.98), DIRTY),
    ]);
    const ratio = results.ratio(DIRTY, 'load', CLEAN);
    return {
      settings: [
        `${shape.rows.toLocaleString('en')} rows in one file; of each hundred one is refused (event id, event type, time or field count, in turn) and one is the copy of an earlier row. Every run must end with exactly the good rows in the table.`,
      ],
      header: ['rows', 'median', 'all runs', 'of the clean rate'],
      rows: [
        [`${CLEAN}, loading`, ...describeRates(results.values(CLEAN, 'load'), 'rows/s'), ''],
        [
          `${DIRTY}, loading`,
          ...describeRates(results.values(DIRTY, 'load'), 'rows/s'),
          `${ratio?.toFixed(2) ?? '?'} ×`,
        ],
      ],
      profile:
        "every batch has a bad row, so every row goes through the stage. Of the server's time there, `insert … select` is 35 % (row by row, where COPY inserts whole pages), COPY into the stage 27 %, looking ahead (all rules once more) 14 %, comparing known keys 4 %, finding missing rows 4 % (pg_stat_statements).",
      goals: [goal('loading:', ratio, '>=', 0.6, '× the clean rate')],
    };
  },
};
