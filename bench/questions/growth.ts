import { statfsSync } from 'node:fs';
import { ours } from '../contenders/ours.js';
import { withOtherDatabase } from '../harness/database.js';
import { dataset } from '../harness/data.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Contender } from '../harness/rounds.js';

const SMALL_ROWS = 1_000_000;
const LARGE_ROWS = 200_000_000;
/** Of a filled table with its indexes; half of the disk is left to WAL and everything else. */
const DISK_BYTES_PER_ROW = 300;
/** Rows that are loaded and timed in each round. */
const PROBE_ROWS = 500_000;
const FILL_SLICE = 500_000;

export const growth: Question = {
  name: 'growth',
  title: 'Does it slow down as the table grows?',
  run: async (bench) => {
    const [smallRows, wantedRows] = [scaled(bench, SMALL_ROWS, 10_000), scaled(bench, LARGE_ROWS, 100_000)];
    const largeRows = Math.min(wantedRows, rowsThatFit(bench));
    const rows = scaled(bench, PROBE_ROWS, 50_000);
    const [small, large] = [smallRows, largeRows].map((size) => `${size.toLocaleString('en')} rows in the table`) as [
      string,
      string,
    ];
    const results = await withOtherDatabase(bench.database, 'large', async (largeDatabase) => {
      const largeBench = { ...bench, database: largeDatabase };
      await fill(largeBench, largeRows);
      return await measureRounds(bench, [
        probeContender(bench, small, smallRows, rows, true),
        probeContender(largeBench, large, largeRows, rows, false),
      ]);
    });
    const ratio = results.ratio(large, 'load', small);
    return {
      settings: [
        `The tables are filled with rows of earlier years, the small one anew before each run; then a new file of ${rows.toLocaleString('en')} rows is loaded, in both tables the same.`,
        ...(largeRows < wantedRows
          ? [`The disk has no room for the ${wantedRows.toLocaleString('en')} rows that were asked for.`]
          : []),
      ],
      header: ['table', 'loading, median', 'all runs', 'ratio'],
      rows: [
        [small, ...describeRates(results.values(small, 'load'), 'rows/s'), ''],
        [large, ...describeRates(results.values(large, 'load'), 'rows/s'), `${ratio?.toFixed(2) ?? '?'} ×`],
      ],
      goals: [goal('rows/s of the large table', ratio, '>=', 0.9, '× that of the small one')],
    };
  },
};

function rowsThatFit({ workspace }: Bench): number {
  const { bavail, bsize } = statfsSync(workspace.cacheDir);
  return Math.floor((bavail * bsize) / 2 / DISK_BYTES_PER_ROW / FILL_SLICE) * FILL_SLICE;
}

/** A contender that loads another file each round, of later events than the round before: ids and times go on as in life. */
function probeContender(bench: Bench, name: string, size: number, rows: number, isRefilled: boolean): Contender {
  let round = 0;
  let current: Contender | undefined;
  return {
    name,
    prepare: async () => {
      const data = await dataset(bench.workspace.cacheDir, bench.progress, {
        rows,
        rowsPerFile: rows,
        seed: 100 + round,
        start: `${2027 + round}-01-01`,
      });
      if (isRefilled) {
        await bench.database.reset();
        await fill(bench, size);
      }
      await bench.database.query('checkpoint');
      bench.workspace.stage(data.files);
      const loaded = size + (isRefilled ? 0 : round * rows) + rows;
      current = ours(bench, data, loaded, name);
      round++;
    },
    run: async () => await current!.run(),
  };
}

/** Rows of the past, in the order of time, made by the server itself: one event a second from 2020 on. */
async function fill({ database, progress, stop }: Bench, rows: number): Promise<void> {
  for (let from = 0; from < rows; from += FILL_SLICE) {
    stop.throwIfAborted();
    progress.step(`filling the table, ${from.toLocaleString('en')} of ${rows.toLocaleString('en')} rows`);
    await database.query(FILL, [from, Math.min(from + FILL_SLICE, rows) - 1]);
  }
  await database.query('vacuum (analyze) public.events');
}

const FILL = `
  insert into public.events (event_id, event_type, event_time, user_id, session_id, device, country, traffic_source, page_url, product_id, product_name, brand, category, price, currency)
  select (lpad(to_hex(1577836800000 + n * 1000), 12, '0') || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid,
         'view_item', to_timestamp(1577836800 + n), 'u' || n % 100000, 's' || n / 8, 'mobile', 'DE', 'organic', '/p/' || n % 10000,
         'p' || n % 10000, 'A product of this shop ' || n % 10000, 'Some brand', 'some/category', 19.99, 'EUR'
  from generate_series($1::bigint, $2::bigint) as n`;
