import { assertLoaded, ours, OURS } from '../contenders/ours.js';
import { copyFileByFile } from '../contenders/rawCopy.js';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Question } from '../harness/question.js';
import { describeRates, measureRounds, perSecond } from '../harness/rounds.js';

const FILES = 20_000;
const ROWS_PER_FILE = 10;
/** The rival's speed does not depend on how many files it has had, and it is slow: a tenth is enough. */
const RIVAL_SHARE = 0.1;
const RIVAL = 'one transaction a file';

export const small: Question = {
  name: 'small',
  title: 'Small files',
  run: async (bench) => {
    const files = scaled(bench, FILES, 1000);
    const data = await dataset(bench.workspace.cacheDir, bench.progress, {
      rows: files * ROWS_PER_FILE,
      rowsPerFile: ROWS_PER_FILE,
    });
    const some = data.files.slice(0, Math.round(files * RIVAL_SHARE));
    const rival = {
      name: RIVAL,
      prepare: () => bench.database.reset(),
      run: async () => {
        const durationMs = await copyFileByFile(bench.database, some);
        await assertLoaded(bench, some.length * ROWS_PER_FILE, RIVAL);
        return { files: perSecond(some.length, durationMs) };
      },
    };
    const results = await measureRounds(bench, [ours(bench, data), rival]);
    const ratio = results.ratio(OURS, 'filesLoad', RIVAL, 'files');
    return {
      settings: [
        `${files.toLocaleString('en')} files of ${ROWS_PER_FILE} rows (${Math.round(data.bytes / files)} bytes), archived after loading.`,
        `Rival: one pg connection, one COPY and so one transaction a file, ${some.length.toLocaleString('en')} of the files; it reads them and does nothing else (no ledger, no archive).`,
      ],
      header: ['way', 'median', 'all runs', 'ours is'],
      rows: [
        [`\`${OURS}\`, whole process`, ...describeRates(results.values(OURS, 'files'), 'files/s'), ''],
        [`\`${OURS}\`, loading`, ...describeRates(results.values(OURS, 'filesLoad'), 'files/s'), ''],
        [RIVAL, ...describeRates(results.values(RIVAL, 'files'), 'files/s'), `${ratio?.toFixed(1) ?? '?'} ×`],
      ],
      profile:
        "our one thread is busy for five sixths of the time, the server for half of it. Of our time, three tenths are ten system calls a file (open, read, close, link, unlink, and five that look: as it is read, before the commit, before it is put away, at the folder, before its old name goes), an eighth is garbage collection, 3 % are writes to the socket, 2 % listing the directory; nothing else is above 3 %. Of the server's, COPY is 90 % and the ledger 10 % (`node --cpu-prof`, pg_stat_statements).",
      goals: [
        goal('loading:', ratio, '>=', 10, `× ${RIVAL}`),
        goal('loading:', results.median(OURS, 'filesLoad'), '>=', 12_000, 'files/s'),
      ],
    };
  },
};
