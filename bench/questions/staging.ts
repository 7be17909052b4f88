import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { plainJob } from '../contenders/spark.js';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Question } from '../harness/question.js';
import { describeRates, median, perSecond } from '../harness/rounds.js';

const ROWS = 500_000;
const FILE_ROWS = 10_000;
const WAYS = [
  ['copy', 'COPY by CopyManager'],
  ['jdbc', 'batched INSERT, rewritten'],
] as const;

export const staging: Question = {
  name: 'staging',
  title: 'How Spark executors stage',
  onlyByName: true,
  run: async (bench) => {
    const { workspace, database, progress } = bench;
    const data = await dataset(workspace.cacheDir, progress, {
      rows: scaled(bench, ROWS, FILE_ROWS * 4),
      rowsPerFile: FILE_ROWS,
    });
    await database.reset();
    workspace.stage(data.files);
    progress.step('staging in both ways');
    // One round more: the first runs uncompiled code.
    const {
      program: [program = '', ...args],
      env,
    } = await plainJob(bench, 'plain.Staging', [workspace.processing, String(bench.runs + 1)]);
    const { stdout } = await promisify(execFile)(program, args, {
      cwd: workspace.root,
      env: { PATH: process.env['PATH'], ...env },
      signal: bench.stop,
      maxBuffer: 2 ** 24,
    });
    const rates = (way: string): number[] =>
      [...stdout.matchAll(new RegExp(`^${way} ([\\d.E]+)$`, 'gm'))]
        .slice(1)
        .map(([, milliseconds]) => perSecond(data.rows, Number(milliseconds)));
    const ratio = median(rates('copy')) / median(rates('jdbc'));
    return {
      settings: [
        `${data.rows.toLocaleString('en')} rows in ${data.files.length} files into an unlogged table of texts without constraints, one Spark task a file, \`local[*]\`. INSERT: prepared, batches of 10,000 rows, reWriteBatchedInserts. In turns; a first round is not counted.`,
      ],
      header: ['way', 'median', 'all runs'],
      rows: WAYS.map(([way, name]) => [name, ...describeRates(rates(way), 'rows/s')]),
      goals: [goal('COPY, which ours uses:', ratio, '>=', 1, '× batched INSERT')],
    };
  },
};
