import { ours } from '../contenders/ours.js';
import { dataset } from '../harness/data.js';
import { runEcompipe } from '../harness/ecompipe.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, type Contender, type Sample } from '../harness/rounds.js';
import type { Dataset } from '../harness/workspace.js';

const BATCHES = 10_000;
const REJECTS_PER_BATCH = 100;
const ROWS = 400_000;
const NONE = 'no rejects before';

/** The commands that people look at rejects with. */
const QUESTIONS = { status: ['status'], list: ['rejects', 'list', '--limit', '20'] } as const;

export const rejected: Question = {
  name: 'rejected',
  title: 'Does it slow down as rejects pile up?',
  run: async (bench) => {
    const rows = scaled(bench, ROWS, 20_000);
    const batches = scaled(bench, BATCHES, 100);
    const data = await dataset(bench.workspace.cacheDir, bench.progress, { rows, rowsPerFile: rows, dirtPercent: 1 });
    const many = `${batches.toLocaleString('en')} batches of rejects before`;
    const results = await measureRounds(bench, [
      contender(bench, data, NONE, 0),
      contender(bench, data, many, batches),
    ]);
    const ratio = results.ratio(many, 'load', NONE);
    const answersMs = (name: string): string[] =>
      Object.keys(QUESTIONS).map((asked) => `${results.median(name, asked)!.toFixed(0)} ms`);
    return {
      settings: [
        `The ledger has so many batches of ${REJECTS_PER_BATCH} rejects each, in files of a year; then a file of ${rows.toLocaleString('en')} rows is loaded, 1 % bad and 1 % duplicate. Then \`${QUESTIONS.status.join(' ')}\` and \`${QUESTIONS.list.join(' ')}\`, whole processes.`,
      ],
      header: ['ledger', 'loading, median', 'all runs', 'ratio', 'status', 'rejects list'],
      rows: [NONE, many].map((name) => [
        name,
        ...describeRates(results.values(name, 'load'), 'rows/s'),
        name === NONE ? '' : `${ratio?.toFixed(2) ?? '?'} ×`,
        ...answersMs(name),
      ]),
      goals: [
        goal('rows/s with many rejects before', ratio, '>=', 0.9, '× that with none'),
        goal('`status` with many rejects', results.median(many, 'status'), '<=', 1000, 'ms'),
        goal('`rejects list` with many rejects', results.median(many, 'list'), '<=', 1000, 'ms'),
      ],
    };
  },
};

function contender(bench: Bench, data: Dataset, name: string, batches: number): Contender {
  const loader = ours(bench, data, Math.round(data.rows * 0.98), name);
  const { database } = bench;
  return {
    name,
    prepare: async () => {
      await loader.prepare?.();
      if (batches === 0) return;
      bench.progress.step(`making ${batches.toLocaleString('en')} batches of rejects`);
      await database.query(PAST, [batches, REJECTS_PER_BATCH]);
      await database.query('vacuum (analyze) ecompipe.rejected_rows');
      await database.query('checkpoint');
    },
    run: async (): Promise<Sample> => {
      const sample: Record<string, number> = { ...(await loader.run()) };
      for (const [asked, args] of Object.entries(QUESTIONS))
        sample[asked] = (await runEcompipe(args, { env: database.env, stop: bench.stop })).wallMs;
      return sample;
    },
  };
}

/** Files of a year, each loaded by one batch that rejected all of its rows. */
const PAST = `
  with n as (
    select n, now() - interval '1 year' + n * interval '1 year' / $1::integer as at from generate_series(1, $1::integer) as n
  ), file as (
    insert into ecompipe.file_entries (file_id, sha256, name, size, file_stamp, state, committed_offset, committed_lines, committed_records,
                                       rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at, finished_at)
    select n, sha256(n::text::bytea), 'past-' || n || '.csv', 17000, 0, 'loaded', 17000, $2 + 1, $2, $2, 0, 0, $2, at, at from n
  ), batch as (
    insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at, committed_at)
    select n, 'native', 'staged', $2, 0, 0, $2, 17000, at, at from n
  ), range as (
    insert into ecompipe.range_entries (batch_id, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected)
    select n, n, 0, 17000, 2, $2, 0, 0, $2 from n
  ), rejects as (
    insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, kind, sql_state, column_name, constraint_name, message, rejected_at)
    select n, n, 1 + r, 170 * r, convert_to(repeat('x', 169), 'UTF8'), 'invalid', '23514', null, 'events_event_type_known',
           'new row for relation "events" violates check constraint "events_event_type_known"', at
    from n, generate_series(1, $2::integer) as r
  )
  select setval('ecompipe.batches_batch_id_seq', $1::integer + 1),
         setval(pg_get_serial_sequence('ecompipe.file_entries', 'file_id'), $1::integer + 1)`;
