import { ours, OURS, rival } from '../contenders/ours.js';
import { findParallelCopy } from '../contenders/parallelCopy.js';
import { findPgloader } from '../contenders/pgloader.js';
import { copyWithPsql, psqlVersion } from '../contenders/psql.js';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Contender } from '../harness/rounds.js';

const ROWS = 1_000_000;
const PSQL = 'psql `\\copy`';
const PARALLEL_COPY = 'timescaledb-parallel-copy';
const PGLOADER = 'pgloader';
/** pgloader is an order of magnitude slower, at any size. */
const PGLOADER_SHARE = 0.2;

export const rivals: Question = {
  name: 'rivals',
  title: 'Other tools',
  run: async (bench) => {
    const { cacheDir } = bench.workspace;
    const shape = { rows: scaled(bench, ROWS, 50_000), rowsPerFile: scaled(bench, ROWS, 50_000) };
    const data = await dataset(cacheDir, bench.progress, shape);
    const fewRows = Math.round(shape.rows * PGLOADER_SHARE);
    const few = await dataset(cacheDir, bench.progress, { rows: fewRows, rowsPerFile: fewRows });
    const [parallelCopy, pgloader] = [findParallelCopy(cacheDir), findPgloader(cacheDir)];
    const others: Contender[] = [
      ...(psqlVersion === undefined ? [] : [rival(bench, PSQL, data, (files) => copyWithPsql(bench.database, files))]),
      ...(parallelCopy === undefined
        ? []
        : [rival(bench, PARALLEL_COPY, data, ([file]) => parallelCopy.load(bench.database, file!))]),
      ...(pgloader === undefined
        ? []
        : [rival(bench, PGLOADER, few, ([file]) => pgloader.load(bench.database, file!))]),
    ];
    const results = await measureRounds(bench, [ours(bench, data), ...others]);
    const missing = 'not installed (`npm run bench -- rivals --install-rivals`)';
    return {
      settings: [
        `${shape.rows.toLocaleString('en')} rows in one file; whole processes, from start to exit. Only ${OURS} keeps a ledger and can't load a file twice or half.`,
        `${PSQL}: ${psqlVersion ?? 'not installed'}.`,
        `${PARALLEL_COPY}: ${parallelCopy === undefined ? missing : `${parallelCopy.version}; 2 workers, batches of 50,000 rows`}.`,
        `${PGLOADER}: ${pgloader === undefined ? missing : `${pgloader.version}; 2 workers, batches of 25,000 rows or 20 MB, ${fewRows.toLocaleString('en')} rows only`}.`,
      ],
      header: ['tool', 'median', 'all runs', 'ours is'],
      rows: [OURS, ...others.map(({ name }) => name)].map((name) => [
        name,
        ...describeRates(results.values(name, 'wall'), 'rows/s'),
        name === OURS ? '' : `${results.ratio(OURS, 'wall', name)!.toFixed(2)} ×`,
      ]),
      goals: others.map(({ name }) => goal('whole process:', results.ratio(OURS, 'wall', name), '>=', 1, `× ${name}`)),
    };
  },
};
