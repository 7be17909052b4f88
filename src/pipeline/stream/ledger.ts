import type { Connection } from '../../platform/db/client.js';
import type { BoundFeed } from '../../contract/feeds/bindFeed.js';
import { EVENTS_TABLE } from './targetTable.js';
import type { BatchPart, ByteRange, RowCounts } from './batch.js';
import { storedStamp } from './storedStamp.js';
import {
  bytea,
  integer,
  jsonObject,
  nullable,
  oneOf,
  queryRows,
  type Shape,
  text,
  timestamp,
} from '../../platform/db/decodeRows.js';

// Statements with a name are planned once a connection: planning took as long as running them for a file of ten rows.

/** What the ledger knows of a content. */
export interface LedgerFile {
  readonly fileId: number;
  readonly sha256: Buffer;
  readonly name: string;
  readonly committedOffset: number;
  readonly committedLines: number;
  readonly committedRecords: number;
  readonly state: 'loading' | 'loaded' | 'quarantined';
  /** Why the file, or the rest of it, can't be loaded: only of a quarantined one. */
  readonly reason: string | null;
  /** Stamp of the file it was first read from, as {@link storedStamp} makes it: a hint, see ResultRecorder. */
  readonly storedStamp: string;
  /** The batch that loaded its last range; null of a file that has none yet, or whose batches were pruned. */
  readonly lastBatch: LedgerBatch | null;
  readonly rows: RowCounts;
}

export interface LedgerBatch {
  readonly batchId: number;
  /** Null where an older version wrote it. */
  readonly token: string | null;
  readonly committedAt: Date;
}

/**
 * Thrown when a range was committed by somebody else meanwhile: roll back and read the ledger again. Nothing passes by
 * waiting here, so it must not look like a fault of the database to those who retry.
 */
export class CompareAndSetLost extends Error {
  override readonly name = 'CompareAndSetLost';
  constructor(what: string, cause?: unknown) {
    super(what, { cause });
  }
}

/**
 * Keys of the ledger that only a second commit of the same range can violate, or one of a file that was taken out of the
 * ledger meanwhile (`ecompipe undo`).
 */
const RANGE_KEYS: ReadonlySet<string> = new Set([
  'batch_ranges_pkey',
  'rejected_rows_once',
  'duplicate_rows_pkey',
  'batch_ranges_file_id_fkey',
]);

/** What a failed transaction's error means: a violated key of the ledger is a lost compare-and-set. */
export function explainLedgerError(error: unknown): unknown {
  return RANGE_KEYS.has((error as { constraint?: string }).constraint ?? '')
    ? new CompareAndSetLost('the range is committed already', error)
    : error;
}

/** The ledger's rows of these contents, by hexadecimal SHA-256. */
export async function readLedger({ client }: Connection, sha256s: readonly Buffer[]): Promise<Map<string, LedgerFile>> {
  const rows = await queryRows(
    client,
    FILE_ROW,
    `select f.sha256, f.file_id, f.name, f.committed_offset, f.committed_lines, f.committed_records,
            case f.state when 'pruned' then 'loaded' else f.state end as state, f.reason, f.file_stamp::text as stored_stamp,
            json_build_object('read', f.rows_read, 'inserted', f.rows_inserted, 'duplicate', f.rows_duplicate, 'rejected', f.rows_rejected) as rows,
            last.batch_id, last.token, last.committed_at
     from ecompipe.files f
     left join lateral (
       select b.batch_id, b.token, b.committed_at
       from ecompipe.batches b
       where b.batch_id = coalesce(
         (select e.batch_id from ecompipe.file_entries e where e.file_id = f.file_id),
         (select r.batch_id from ecompipe.range_entries r where r.file_id = f.file_id order by r.start_offset desc limit 1))
     ) as last on true
     where ecompipe.content_key(f.sha256) = any (array(select ecompipe.content_key(s) from unnest ($1::bytea[]) as s)) and f.sha256 = any ($1)`,
    [sha256s],
  );
  return new Map(rows.map((row) => [row.sha256.toString('hex'), ledgerFileOf(row)]));
}

interface FileRow extends Omit<LedgerFile, 'lastBatch'> {
  readonly batchId: number | null;
  readonly token: string | null;
  readonly committedAt: Date | null;
}

const FILE_ROW: Shape<FileRow> = {
  batchId: nullable(integer),
  token: nullable(text),
  committedAt: nullable(timestamp),
  name: text,
  fileId: integer,
  sha256: bytea,
  committedOffset: integer,
  committedLines: integer,
  committedRecords: integer,
  state: oneOf('loading', 'loaded', 'quarantined'),
  reason: nullable(text),
  storedStamp: text,
  rows: jsonObject({ read: integer, inserted: integer, duplicate: integer, rejected: integer }),
};

function ledgerFileOf({ batchId, token, committedAt, ...file }: FileRow): LedgerFile {
  return { ...file, lastBatch: batchId === null || committedAt === null ? null : { batchId, token, committedAt } };
}

export interface FileIdentity {
  readonly sha256: Buffer;
  readonly name: string;
  readonly size: number;
  readonly fileStamp: string;
}

/** A content to be entered: with nothing committed yet, or as loaded whole, where the same transaction loads all its rows or rolls back. */
export interface FileEntry extends FileIdentity {
  readonly usual: UsualFile | undefined;
}

/**
 * What there is to say of a usual file, whose entry is short: one batch inserts all its rows, each of which is one line, after a
 * header of one line.
 */
export interface UsualFile {
  readonly batchId: number;
  readonly rows: number;
}

/**
 * Enters readable contents that the ledger has not seen; says which of them are new, by hexadecimal SHA-256. One that was
 * unreadable to an earlier version (a column that came since) is new again. Waits for another transaction that is
 * entering the same content at this moment: for a content entered as loaded, this is its compare-and-set.
 */
export async function registerFiles({ client }: Connection, files: readonly FileEntry[]): Promise<Map<string, number>> {
  const rows = await queryRows(
    client,
    { sha256: bytea, fileId: integer },
    {
      name: 'register_files',
      text: REGISTER_SQL,
      values: [
        files.map((file) => file.sha256),
        files.map((file) => storableName(file.name)),
        files.map((file) => file.size),
        files.map((file) => storedStamp(file.fileStamp)),
        files.map(({ usual }) => usual?.batchId ?? null),
        files.map(({ usual }) => usual?.rows ?? null),
      ],
    },
  );
  return new Map(rows.map((row) => [row.sha256.toString('hex'), row.fileId]));
}

const REGISTER_SQL = `
  insert into ecompipe.file_entries as f
    (sha256, name, size, file_stamp, batch_id, rows, state, committed_offset, committed_lines, committed_records, rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at)
  select sha256, name, size, file_stamp, batch_id, rows,
         case when rows is null then 'loading' end, zero, zero, zero, zero, zero, zero, zero, case when rows is null then clock_timestamp() end
  from unnest ($1::bytea[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[]) as n (sha256, name, size, file_stamp, batch_id, rows),
       lateral (select case when rows is null then 0 end as zero) as z
  on conflict (ecompipe.content_key(sha256)) do update
    set (state, reason, finished_at, name, size, file_stamp, batch_id, rows, committed_offset, committed_lines, committed_records,
         rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at) =
        (excluded.state, null, null, excluded.name, excluded.size, excluded.file_stamp, excluded.batch_id, excluded.rows,
         excluded.committed_offset, excluded.committed_lines, excluded.committed_records,
         excluded.rows_read, excluded.rows_inserted, excluded.rows_duplicate, excluded.rows_rejected, excluded.first_seen_at)
    where f.state = 'quarantined' and f.committed_offset = 0 and f.sha256 = excluded.sha256
  returning sha256, file_id`;

/** Notes that a content which is in the ledger came once more. @returns false when it is no longer there (`ecompipe undo`). */
export async function noteRedelivery({ client }: Connection, fileId: number, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    'insert into ecompipe.redeliveries (file_id, name) select file_id, $2 from ecompipe.file_entries where file_id = $1 for key share',
    [fileId, storableName(name)],
  );
  return rowCount === 1;
}

/** Whether the ledger (still) has a file. */
export async function hasFile({ client }: Connection, fileId: number): Promise<boolean> {
  return (await client.query('select from ecompipe.file_entries where file_id = $1', [fileId])).rowCount === 1;
}

/** Notes that a content can't be read at all. */
export async function noteQuarantine({ client }: Connection, file: FileIdentity, reason: string): Promise<void> {
  await client.query(
    `insert into ecompipe.file_entries as f
       (sha256, name, size, file_stamp, state, reason, finished_at, committed_offset, committed_lines, committed_records, rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at)
     values ($1, $2, $3, $4, 'quarantined', $5, clock_timestamp(), 0, 0, 0, 0, 0, 0, 0, clock_timestamp())
     on conflict (ecompipe.content_key(sha256)) do update set (state, reason, finished_at) = (excluded.state, excluded.reason, excluded.finished_at)
       where f.state = 'loading' and f.committed_offset = 0`,
    [file.sha256, storableName(file.name), file.size, storedStamp(file.fileStamp), reason],
  );
}

/** Gives up the rest of a file that is being loaded: what is committed of it stays. */
export async function quarantineRest({ client }: Connection, fileId: number, reason: string): Promise<void> {
  await client.query(
    `update ecompipe.file_entries set state = 'quarantined', reason = $2, finished_at = clock_timestamp() where file_id = $1 and state = 'loading'`,
    [fileId, reason],
  );
}

export interface CommittedPart {
  readonly fileId: number;
  readonly part: BatchPart;
  readonly counts: RowCounts;
  /** Records that a feed left out. */
  readonly skipped: number;
}

export type LoadEngine = 'native' | 'spark';

/** How rows came into the table: by COPY of the files' own bytes, by the stage, or from rejects that were corrected. */
export type LoadPath = 'direct' | 'staged' | 'replay';

export interface BatchEntry {
  readonly batchId: number;
  readonly token: string;
  readonly engine: LoadEngine;
  readonly loadPath: LoadPath;
  readonly columns: readonly string[];
  readonly feed: BoundFeed | undefined;
  /** The table that the rows are in, as `schema.table`. */
  readonly target: string;
  readonly parts: readonly CommittedPart[];
  /** The sums of the parts; of a replay, which has none, its own. */
  readonly counts: RowCounts;
  readonly skipped: number;
  readonly bytes: number;
  /** Files that were entered as loaded (see registerFiles) in this transaction: there is nothing to advance. */
  readonly enteredLoaded: ReadonlySet<number>;
}

/**
 * Writes a batch into the ledger and advances its files, each by compare-and-set from the range's start to its end.
 * @throws CompareAndSetLost when any of them did not stand at the range's start; the caller's transaction must roll back.
 */
export async function writeLedger({ client }: Connection, entry: BatchEntry): Promise<CommittedTotals[]> {
  const parts = entry.parts.filter(({ fileId }) => !entry.enteredLoaded.has(fileId));
  const column = (value: (part: CommittedPart) => number): number[] => parts.map(value);
  const values = [
    entry.batchId,
    entry.loadPath,
    entry.token,
    column(({ fileId }) => fileId),
    column(({ part }) => part.startOffset),
    column(({ part }) => part.endOffset),
    column(({ part }) => part.firstLine),
    column(({ part }) => part.lines),
    column(({ counts }) => counts.read),
    column(({ counts }) => counts.inserted),
    column(({ counts }) => counts.duplicate),
    column(({ counts }) => counts.rejected),
    parts.map(({ part }) => part.isLast),
    fieldNamesOf(entry),
    entry.engine,
    entry.counts.read,
    entry.counts.inserted,
    entry.counts.duplicate,
    entry.counts.rejected,
    entry.bytes,
    column(({ part }) => part.rows),
    ...recordsOf(entry),
    entry.feed === undefined ? parts.map(() => null) : column(({ skipped }) => skipped),
  ];
  const rows = await queryRows(client, COMMITTED_TOTALS, { name: 'write_ledger', text: LEDGER_SQL, values });
  if (rows.length !== parts.length) throw new CompareAndSetLost(`${rows.length} of ${parts.length} ranges advanced`);
  return rows;
}

/**
 * The columns of the batch's files. A feed makes those of the table of other fields: their names are kept where there are
 * rejects, which are corrected under them.
 */
function fieldNamesOf({ columns, feed, counts, loadPath }: BatchEntry): readonly string[] | null {
  if (feed === undefined) return columns;
  return counts.rejected > 0 || loadPath === 'replay' ? feed.fields : null;
}

/**
 * What the ledger says of a load by a feed: its hash, its table, and how many records were read, skipped, and became rows. A
 * replay reads none: those of its rejects were counted when they were rejected.
 */
function recordsOf({ feed, target, parts, skipped }: BatchEntry): (Buffer | string | number | null)[] {
  if (feed === undefined) return [null, target === EVENTS_TABLE ? null : target, null, null, null];
  const records = parts.reduce((sum, { part }) => sum + part.rows, 0);
  return [feed.feed.sha256, target === EVENTS_TABLE ? null : target, records, skipped, records - skipped];
}

/** What a file has had so far, this batch included; only of files that advanced. */
export interface CommittedTotals {
  readonly fileId: number;
  readonly read: number;
  readonly rejected: number;
}

const COMMITTED_TOTALS: Shape<CommittedTotals> = { fileId: integer, read: integer, rejected: integer };

/** The range that starts here, if it is committed: by which batch, and with what counts. */
export async function findCommittedRange(
  { client }: Connection,
  fileId: number,
  part: ByteRange,
): Promise<{ batchId: number; counts: RowCounts } | undefined> {
  const rows = await queryRows(
    client,
    { read: integer, inserted: integer, duplicate: integer, rejected: integer, batchId: integer },
    `select batch_id, rows_read as read, rows_inserted as inserted, rows_duplicate as duplicate, rows_rejected as rejected
     from ecompipe.batch_ranges
     where file_id = $1 and start_offset = $2 and end_offset = $3`,
    [fileId, part.startOffset, part.endOffset],
  );
  const [row] = rows;
  return row === undefined
    ? undefined
    : {
        batchId: row.batchId,
        counts: { read: row.read, inserted: row.inserted, duplicate: row.duplicate, rejected: row.rejected },
      };
}

const LEDGER_SQL = `
  with part as (
    select *
    from unnest ($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[], $21::bigint[], $27::bigint[])
      as p (file_id, start_offset, end_offset, first_line, lines, rows_read, rows_inserted, rows_duplicate, rows_rejected, is_last, records, skipped)
  ), batch as (
    insert into ecompipe.batches (batch_id, engine, load_path, started_at, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, column_list_id, feed_id, target, records_read, records_skipped, records_expanded, token)
    values ($1, $15, $2, now(), $16::bigint, $17::bigint, $18::bigint, $19::bigint, $20::bigint, ecompipe.column_list_id($14::text[]),
            (select feed_id from ecompipe.feeds where sha256 = $22::bytea), $23::text, $24::bigint, $25::bigint, $26::bigint, $3::uuid)
  ), range as (
    insert into ecompipe.range_entries (batch_id, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected, records_read, records_skipped)
    select $1, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected,
           case when skipped is not null then records end, skipped
    from part
  ), advanced as (
    update ecompipe.file_entries f
    set committed_offset = p.end_offset,
        committed_lines  = f.committed_lines + p.lines,
        committed_records = f.committed_records + p.records,
        rows_read        = f.rows_read + p.rows_read,
        rows_inserted    = f.rows_inserted + p.rows_inserted,
        rows_duplicate   = f.rows_duplicate + p.rows_duplicate,
        rows_rejected    = f.rows_rejected + p.rows_rejected,
        state            = case when p.is_last then 'loaded' else 'loading' end,
        finished_at      = case when p.is_last then clock_timestamp() end
    from part p
    where f.file_id = p.file_id and f.committed_offset = p.start_offset and f.state = 'loading'
    returning f.file_id, f.rows_read, f.rows_rejected
  )
  select file_id, rows_read as read, rows_rejected as rejected from advanced`;

/** PostgreSQL's text has no NUL, and neither has a file name; anything else goes as it is. */
export function storableName(name: string): string {
  return name.replaceAll('\0', '');
}
