import { ours } from '../contenders/ours.js';
import { dataset, discard, type DataShape } from '../harness/data.js';
import { goal, scaled, type Question } from '../harness/question.js';
import { describeRates, measureRounds } from '../harness/rounds.js';

const FEW = 20_000;
const MANY = 1_000_000;
const ROWS_PER_FILE = 10;

export const waiting: Question = {
  name: 'waiting',
  title: 'Does it slow down when many files wait?',
  run: async (bench) => {
    const { workspace, progress } = bench;
    const shapes = [scaled(bench, FEW, 500), scaled(bench, MANY, 5000)].map((files, index): DataShape => ({
      rows: files * ROWS_PER_FILE,
      rowsPerFile: ROWS_PER_FILE,
      seed: 3 + index,
    }));
    const contenders = [];
    for (const shape of shapes) {
      const data = await dataset(workspace.cacheDir, progress, shape);
      contenders.push(ours(bench, data, data.rows, `${data.files.length.toLocaleString('en')} files`));
    }
    const [few, many] = contenders.map(({ name }) => name) as [string, string];
    const results = await measureRounds(bench, contenders);
    // A million small files take gigabytes of the disk.
    if (bench.scale >= 1) discard(workspace.cacheDir, shapes[1]!);
    const ratio = results.ratio(many, 'filesLoad', few);
    return {
      settings: [
        `Files of ${ROWS_PER_FILE} rows that wait in processing/ when the loader starts, archived after loading: all of them go into one folder of the day. Peak: VmHWM of the process.`,
      ],
      header: ['waiting', 'loading, median', 'all runs', 'ratio', 'peak'],
      rows: [few, many].map((name) => [
        name,
        ...describeRates(results.values(name, 'filesLoad'), 'files/s'),
        name === few ? '' : `${ratio?.toFixed(2) ?? '?'} ×`,
        `${Math.max(...results.values(name, 'peakMegabytes')).toFixed(0)} MB`,
      ]),
      goals: [
        goal('files/s when many wait', ratio, '>=', 0.9, '× that when few do'),
        goal('memory when many wait', Math.max(...results.values(many, 'peakMegabytes')), '<=', 120, 'MB'),
      ],
    };
  },
};
