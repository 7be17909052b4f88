import { assertLoaded } from '../contenders/ours.js';
import { copyHalves } from '../contenders/rawCopy.js';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, perSecond, type Contender } from '../harness/rounds.js';

const ROWS = 1_000_000;
const [WITH, WITHOUT] = ['`events` as it is', 'the same table without its CHECKs'];

export const rules: Question = {
  name: 'rules',
  title: 'What the rules of events cost a COPY',
  run: async (bench) => {
    const rows = scaled(bench, ROWS, 20_000);
    const data = await dataset(bench.workspace.cacheDir, bench.progress, { rows, rowsPerFile: rows });
    const [file] = data.files;
    const results = await measureRounds(bench, [
      copies(bench, file!, rows, WITH),
      copies(bench, file!, rows, WITHOUT, WITHOUT_CHECKS),
    ]);
    const ratio = results.ratio(WITH, 'rows', WITHOUT);
    return {
      settings: [
        `${rows.toLocaleString('en')} rows, by two raw connections, each of which sends half of the file; key, defaults and index are there in both.`,
      ],
      header: ['table', 'median', 'all runs', 'share of the time'],
      rows: [
        [WITHOUT, ...describeRates(results.values(WITHOUT, 'rows'), 'rows/s'), ''],
        [WITH, ...describeRates(results.values(WITH, 'rows'), 'rows/s'), shareOf(ratio)],
      ],
      profile:
        'each CHECK is an expression that is evaluated by itself for each row, which costs something even if it asks nothing; the rest is comparisons of texts, most of them of the type with those of a rule.',
      goals: [goal('the CHECKs', ratio === undefined ? undefined : (1 - ratio) * 100, '<=', 8, '% of the time')],
    };
  },
};

function shareOf(ratio: number | undefined): string {
  return ratio === undefined ? '?' : `${((1 - ratio) * 100).toFixed(1)} %`;
}

function copies(bench: Bench, file: string, rows: number, name: string, alter?: string): Contender {
  const { database } = bench;
  return {
    name,
    prepare: async () => {
      await database.reset();
      if (alter !== undefined) await database.query(alter);
    },
    run: async () => {
      const durationMs = await copyHalves(database, file);
      await assertLoaded(bench, rows, name);
      return { rows: perSecond(rows, durationMs) };
    },
  };
}

const WITHOUT_CHECKS = `
  do $$
  declare
    rule name;
  begin
    for rule in select conname from pg_constraint where conrelid = 'public.events'::regclass and contype = 'c' loop
      execute format('alter table public.events drop constraint %I', rule);
    end loop;
  end
  $$`;
