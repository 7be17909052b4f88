import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { dayOf } from '../../src/platform/files/dayFolders.js';
import type { BenchDatabase } from './database.js';
import type { Progress } from './progress.js';

const DAY_MS = 86_400_000;
export const DAYS = 365;
export const FILES_PER_BATCH = 100;
export const ROWS_PER_FILE = 10;
/** Of which the newest: their events and archived files are still there, and those of all others were pruned. */
const KEPT_SHARE = 0.1;
const FILES_AT_ONCE = 200_000;

/** A shop's database and archive after a year: so many small files, of which events and bytes are kept for some weeks. */
export interface Year {
  readonly files: number;
  readonly keptFiles: number;
  readonly filesADay: number;
  /** Whole days whose events and files are still there. */
  readonly keptDays: number;
  /** Midnight (UTC) after the last day. */
  readonly end: Date;
}

export function planYear(files: number, now: Date): Year {
  const filesADay = Math.ceil(files / DAYS / FILES_PER_BATCH) * FILES_PER_BATCH;
  const keptDays = Math.max(4, Math.floor(DAYS * KEPT_SHARE));
  const end = new Date(Math.floor(now.getTime() / DAY_MS) * DAY_MS);
  return { files: filesADay * DAYS, keptFiles: filesADay * keptDays, filesADay, keptDays, end };
}

/** The end of the oldest day that is kept, once so many days after that are gone: what is older goes with it. */
export function dayEnd({ end, keptDays }: Year, pruned: number): Date {
  return new Date(end.getTime() - (keptDays - pruned - 1) * DAY_MS);
}

/**
 * Writes what a year of loading and pruning leaves, in the tables' own form: of pruned files their short entries, of the others
 * entries, batches and events, in the rollups.
 */
export async function fillYear(
  database: Pick<BenchDatabase, 'query'>,
  year: Year,
  progress: Pick<Progress, 'step'>,
): Promise<void> {
  const { files, keptFiles, filesADay, end } = year;
  const values = [filesADay, end, DAYS];
  for (let from = 0; from < files; from += FILES_AT_ONCE) {
    progress.step(`filling the ledger, ${from.toLocaleString('en')} of ${files.toLocaleString('en')} files`);
    await database.query(ENTRIES, [...values, from, Math.min(from + FILES_AT_ONCE, files) - 1, files - keptFiles]);
  }
  await database.query(BATCHES, [...values, files - keptFiles, files - 1]);
  await database.query(`select setval('ecompipe.batches_batch_id_seq', (select max(batch_id) from ecompipe.batches))`);
  for (let from = files - keptFiles; from < files; from += FILES_AT_ONCE / ROWS_PER_FILE) {
    progress.step(`filling the table, up to file ${from.toLocaleString('en')} of ${files.toLocaleString('en')}`);
    await database.query(EVENTS, [...values, from, Math.min(from + FILES_AT_ONCE / ROWS_PER_FILE, files) - 1]);
  }
  await database.query(`insert into ecompipe.prunes (events_before, ledger_before) values ($1, $1)`, [
    new Date(end.getTime() - year.keptDays * DAY_MS),
  ]);
  progress.step('filling the rollups');
  for (let left = 1; left > 0;) {
    const [row] = await database.query<{ left: number }>('select analytics.refresh()::int4 as left');
    left = row?.left ?? 0;
  }
  await database.query('vacuum (analyze) ecompipe.file_entries, ecompipe.batches, public.events');
}

/** File `n` of a year comes at an even pace; its batch is the one of its {@link FILES_PER_BATCH} neighbours. */
const WRITTEN_AT = `$2::timestamptz - make_interval(days => $3::int) + n * interval '1 day' / $1::int`;
const BATCH_ID = `n / ${FILES_PER_BATCH} + 1`;
const nameOf = (written: string, number: string): string =>
  `'events-' || to_char(${written} at time zone 'UTC', 'YYYYMMDD"T"HH24MISSMS') || 'Z-year0000-' || lpad(${number}::text, 9, '0') || '.csv'`;

const ENTRIES = `
  insert into ecompipe.file_entries (batch_id, size, file_stamp, rows, sha256, name)
  select case when n >= $6::bigint then ${BATCH_ID} end, 1900 + n % 100,
         case when n >= $6::bigint then (extract(epoch from written_at) * 1000)::bigint << 20 else 0 end,
         ${ROWS_PER_FILE}, sha256(n::text::bytea), ${nameOf('written_at', 'n')}
  from generate_series($4::bigint, $5::bigint) as n, lateral (select ${WRITTEN_AT} as written_at) as w`;

const BATCHES = `
  insert into ecompipe.batches (batch_id, engine, load_path, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, started_at, committed_at, column_list_id)
  select ${BATCH_ID}, 'native', 'direct', ${FILES_PER_BATCH * ROWS_PER_FILE}, ${FILES_PER_BATCH * ROWS_PER_FILE}, 0, 0,
         (select sum(size) from ecompipe.file_entries f where f.batch_id = ${BATCH_ID}), written_at, written_at + interval '0.1 s',
         ecompipe.column_list_id('{event_id,event_type,event_time,user_id,session_id,product_id,price,currency}')
  from generate_series($4::bigint, $5::bigint, ${FILES_PER_BATCH}) as n, lateral (select ${WRITTEN_AT} as written_at) as w`;

const EVENTS = `
  insert into public.events (event_id, event_type, event_time, user_id, session_id, device, country, traffic_source, page_url, product_id, product_name, brand, category, price, currency, ingested_at, batch_id)
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(e), 3, '0') || '8' || substr(md5(n || '/' || e), 1, 15))::uuid,
         'view_item', at, 'u' || n % 100000, 's' || n / 8, 'mobile', 'DE', 'organic', '/p/' || n % 10000,
         'p' || n % 10000, 'A product of this shop ' || n % 10000, 'Some brand', 'some/category', 19.99, 'EUR', written_at, ${BATCH_ID}
  from generate_series($4::bigint, $5::bigint) as n, generate_series(0, ${ROWS_PER_FILE - 1}) as e,
       lateral (select ${WRITTEN_AT} as written_at) as w, lateral (select written_at + e * interval '50 ms' as at) as t
  order by at`;

/** Names of the archived files as they are in the ledger, in folders of days; empty, as nobody reads them here. */
export async function fillArchive(
  database: Pick<BenchDatabase, 'query'>,
  { files, keptFiles, filesADay, keptDays, end }: Year,
  archiveDir: string,
  progress: Pick<Progress, 'step'>,
): Promise<void> {
  for (let day = 0; day < keptDays; day++) {
    const from = files - keptFiles + day * filesADay;
    const moment = new Date(end.getTime() - (keptDays - day) * DAY_MS);
    const folder = path.join(archiveDir, dayOf(moment));
    progress.step(`filling the archive, ${dayOf(moment)}`);
    const rows = await database.query<{ name: string }>(
      `select ${nameOf('written_at', 'n')} as name
       from generate_series($4::bigint, $5::bigint) as n, lateral (select ${WRITTEN_AT} as written_at) as w`,
      [filesADay, end, DAYS, from, from + filesADay - 1],
    );
    mkdirSync(folder, { recursive: true });
    for (const { name } of rows) writeFileSync(path.join(folder, name), '');
    utimesSync(folder, moment, moment);
  }
}
