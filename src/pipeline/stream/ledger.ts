import type { Connection } from '../../platform/db/client.js';
import type { BoundFeed } from '../../contract/feeds/bindFeed.js';
import { EVENTS_TABLE } from './targetTable.js';
import type { BatchPart, ByteRange, RowCounts } from './batch.js';

// Statements with a name are planned once a connection: planning took as long as running them for a file of ten rows.

/** What the ledger knows of a content. */
export interface LedgerFile {
  readonly fileId: number;
  readonly name: string;
  readonly committedOffset: number;
  readonly committedLines: number;
  readonly committedRecords: number;
  readonly state: 'loading' | 'loaded' | 'quarantined';
  /** Why the file, or the rest of it, can't be loaded: only of a quarantined one. */
  readonly reason: string | null;
  /** Stamp of the file it was first read from: a hint, see ResultRecorder. */
  readonly fileStamp: string;
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
  const { rows } = await client.query<FileRow>(
    `select f.sha256, f.file_id as "fileId", f.name, f.committed_offset as "committedOffset", f.committed_lines as "committedLines", f.committed_records as "committedRecords",
            case f.state when 'pruned' then 'loaded' else f.state end as state, f.reason, f.file_stamp as "fileStamp",
            json_build_object('read', f.rows_read, 'inserted', f.rows_inserted, 'duplicate', f.rows_duplicate, 'rejected', f.rows_rejected) as rows,
            last.batch_id as "batchId", last.token, last.committed_at as "committedAt"
     from ecompipe.files f
     left join lateral (
       select b.batch_id, b.token, b.committed_at
       from ecompipe.batch_ranges r
       join ecompipe.batches b using (batch_id)
       where r.file_id = f.file_id
       order by r.start_offset desc
       limit 1
     ) as last on true
     where f.sha256 = any ($1)`,
    [sha256s],
  );
  return new Map(rows.map((row) => [row.sha256.toString('hex'), ledgerFileOf(row)]));
}

interface FileRow extends Omit<LedgerFile, 'lastBatch'> {
  readonly sha256: Buffer;
  readonly batchId: number | null;
  readonly token: string | null;
  readonly committedAt: Date | null;
}

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
  readonly loaded: { readonly endOffset: number; readonly lines: number; readonly rows: number } | undefined;
}

/**
 * Enters readable contents that the ledger has not seen; says which of them are new, by hexadecimal SHA-256. One that was
 * unreadable to an earlier version (a column that came since) is new again. Waits for another transaction that is
 * entering the same content at this moment: for a content entered as loaded, this is its compare-and-set.
 */
export async function registerFiles({ client }: Connection, files: readonly FileEntry[]): Promise<Map<string, number>> {
  const { rows } = await client.query<{ sha256: Buffer; fileId: number }>({
    name: 'register_files',
    text: `insert into ecompipe.files (sha256, name, size, file_stamp, committed_offset, committed_lines, committed_records, rows_read, rows_inserted, state, finished_at)
     select sha256, name, size, file_stamp, coalesce(end_offset, 0), coalesce(lines, 0), coalesce(rows, 0), coalesce(rows, 0), coalesce(rows, 0),
            case when end_offset is null then 'loading' else 'loaded' end, case when end_offset is not null then clock_timestamp() end
     from unnest ($1::bytea[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
       as f (sha256, name, size, file_stamp, end_offset, lines, rows)
     on conflict (sha256) do update
       set (state, reason, finished_at, name, size, file_stamp, committed_offset, committed_lines, committed_records, rows_read, rows_inserted) =
           (excluded.state, null, excluded.finished_at, excluded.name, excluded.size, excluded.file_stamp,
            excluded.committed_offset, excluded.committed_lines, excluded.committed_records, excluded.rows_read, excluded.rows_inserted)
       where files.state = 'quarantined' and files.committed_offset = 0
     returning sha256, file_id as "fileId"`,
    values: [
      files.map((file) => file.sha256),
      files.map((file) => storableName(file.name)),
      files.map((file) => file.size),
      files.map((file) => file.fileStamp),
      files.map(({ loaded }) => loaded?.endOffset ?? null),
      files.map(({ loaded }) => loaded?.lines ?? null),
      files.map(({ loaded }) => loaded?.rows ?? null),
    ],
  });
  return new Map(rows.map((row) => [row.sha256.toString('hex'), row.fileId]));
}

/** Notes that a content which is in the ledger came once more. @returns false when it is no longer there (`ecompipe undo`). */
export async function noteRedelivery({ client }: Connection, fileId: number, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    'insert into ecompipe.redeliveries (file_id, name) select file_id, $2 from ecompipe.files where file_id = $1 for key share',
    [fileId, storableName(name)],
  );
  return rowCount === 1;
}

/** Whether the ledger (still) has a file. */
export async function hasFile({ client }: Connection, fileId: number): Promise<boolean> {
  return (await client.query('select from ecompipe.files where file_id = $1', [fileId])).rowCount === 1;
}

/** Notes that a content can't be read at all. */
export async function noteQuarantine({ client }: Connection, file: FileIdentity, reason: string): Promise<void> {
  await client.query(
    `insert into ecompipe.files (sha256, name, size, file_stamp, state, reason, finished_at)
     values ($1, $2, $3, $4, 'quarantined', $5, clock_timestamp())
     on conflict (sha256) do update set (state, reason, finished_at) = (excluded.state, excluded.reason, excluded.finished_at)
       where files.state = 'loading' and files.committed_offset = 0`,
    [file.sha256, storableName(file.name), file.size, file.fileStamp, reason],
  );
}

/** Gives up the rest of a file that is being loaded: what is committed of it stays. */
export async function quarantineRest({ client }: Connection, fileId: number, reason: string): Promise<void> {
  await client.query(
    `update ecompipe.files set state = 'quarantined', reason = $2, finished_at = clock_timestamp() where file_id = $1 and state = 'loading'`,
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
  const { parts } = entry;
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
    parts.map(({ fileId }) => !entry.enteredLoaded.has(fileId)),
    // Those of the table are no columns of the file where a feed made them.
    entry.feed === undefined ? entry.columns : null,
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
  const { rows } = await client.query<CommittedTotals>({ name: 'write_ledger', text: LEDGER_SQL, values });
  const expected = parts.length - entry.enteredLoaded.size;
  if (rows.length !== expected) throw new CompareAndSetLost(`${rows.length} of ${expected} ranges advanced`);
  return rows;
}

/** What the ledger says of a load by a feed: its text's hash, its table, and how many records were read, skipped, and became rows. */
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

/** The range that starts here, if it is committed: by which batch, and with what counts. */
export async function findCommittedRange(
  { client }: Connection,
  fileId: number,
  part: ByteRange,
): Promise<{ batchId: number; counts: RowCounts } | undefined> {
  const { rows } = await client.query<RowCounts & { batchId: number }>(
    `select batch_id as "batchId", rows_read as read, rows_inserted as inserted, rows_duplicate as duplicate, rows_rejected as rejected
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
    from unnest ($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[], $14::boolean[], $22::bigint[], $28::bigint[])
      as p (file_id, start_offset, end_offset, first_line, lines, rows_read, rows_inserted, rows_duplicate, rows_rejected, is_last, advances, records, skipped)
  ), batch as (
    insert into ecompipe.batches (batch_id, engine, load_path, started_at, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, columns, feed_id, target, records_read, records_skipped, records_expanded, token)
    values ($1, $16, $2, now(), $17::bigint, $18::bigint, $19::bigint, $20::bigint, $21::bigint, $15::text[],
            (select feed_id from ecompipe.feeds where sha256 = $23::bytea), $24::text, $25::bigint, $26::bigint, $27::bigint, $3::uuid)
  ), range as (
    insert into ecompipe.batch_ranges (batch_id, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected, records_read, records_skipped)
    select $1, file_id, start_offset, end_offset, first_line, rows_read, rows_inserted, rows_duplicate, rows_rejected,
           case when skipped is not null then records end, skipped
    from part
  ), advanced as (
    update ecompipe.files f
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
    where p.advances and f.file_id = p.file_id and f.committed_offset = p.start_offset and f.state = 'loading'
    returning f.file_id, f.rows_read, f.rows_rejected
  )
  select file_id as "fileId", rows_read as read, rows_rejected as rejected from advanced`;

/** PostgreSQL's text has no NUL, and neither has a file name; anything else goes as it is. */
function storableName(name: string): string {
  return name.replaceAll('\0', '');
}
