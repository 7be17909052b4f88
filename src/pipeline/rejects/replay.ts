import { countOf } from '../../platform/format.js';
import type { CorrectedRow, LoadCorrected, RejectedAgain, RejectReason } from '../../contract/stageServices.js';
import { withConnection, type Database } from '../../platform/db/target.js';
import { checkCorrections, readCorrections, type Correction } from './corrections.js';
import { fieldsOf, readable, readEventColumns } from './rawRow.js';

export interface ReplayResult {
  /** What was read of the file: inserted, duplicate, rejected, resolvedBefore and unknown add up to it. */
  readonly read: number;
  readonly inserted: number;
  /** The same event was in the table already. */
  readonly duplicate: number;
  /** Still wrong: their rejects stay open. */
  readonly rejected: number;
  /** Their rejects were resolved before: nothing was done. */
  readonly resolvedBefore: number;
  /** Their rejects do not exist (any more). */
  readonly unknown: number;
  readonly batchIds: readonly number[];
  /** The first of those that are still wrong. */
  readonly rejectedAgain: readonly RejectedAgain[];
}

/** One transaction loads about so much. */
const BATCH_ROWS = 2000;
const BATCH_CHARACTERS = 4 * 2 ** 20;
const MAX_REPORTED = 1000;

/**
 * Loads a file of corrected rejects, exactly once, and resolves those that are accepted.
 * @throws UsageError when the file as such is wrong: nothing is loaded then.
 */
export async function runReplay(
  file: string,
  database: Database,
  load: LoadCorrected,
  stop: AbortSignal,
): Promise<ReplayResult> {
  const columns = await withConnection(database, 'cannot look at the table of events', readEventColumns);
  const read = await checkCorrections(file, columns);
  const uncorrected: RejectedAgain[] = [];
  const loaded = await load(correctedBatches(file, columns, database, uncorrected), database, stop);
  const { inserted, duplicate, rejected } = loaded.rows;
  const rejectedAgain = [...loaded.rejectedAgain, ...uncorrected]
    .sort((a, b) => a.line - b.line)
    .slice(0, MAX_REPORTED);
  return {
    read,
    inserted,
    duplicate,
    rejected: rejected + uncorrected.length,
    resolvedBefore: loaded.resolvedBefore,
    unknown: loaded.unknown,
    batchIds: loaded.batchIds,
    rejectedAgain,
  };
}

async function* correctedBatches(
  file: string,
  columns: readonly string[],
  database: Database,
  uncorrected: RejectedAgain[],
): AsyncGenerator<readonly CorrectedRow[]> {
  let batch: Correction[] = [];
  let characters = 0;
  const take = async (): Promise<CorrectedRow[]> => {
    const rows = await withRawFields(batch, columns, database, uncorrected);
    batch = [];
    characters = 0;
    return rows;
  };
  for await (const row of readCorrections(file, columns)) {
    batch.push(row);
    characters += row.fields.reduce((sum, field) => sum + (field?.length ?? 0), row.raw?.length ?? 0);
    if (batch.length >= BATCH_ROWS || characters >= BATCH_CHARACTERS) yield await take();
  }
  if (batch.length > 0) yield await take();
}

/**
 * Where the columns of a row are all empty, `reject_raw` is what was corrected: its fields are those that the columns of
 * its file make of it. One that is as it was exported, or still no row, is not for the server.
 */
async function withRawFields(
  batch: readonly Correction[],
  columns: readonly string[],
  database: Database,
  uncorrected: RejectedAgain[],
): Promise<CorrectedRow[]> {
  const byRaw = batch.filter(isByRaw);
  const stored =
    byRaw.length === 0
      ? new Map<number, StoredReject>()
      : await readStored(
          database,
          byRaw.map(({ rejectId }) => rejectId),
        );
  return batch.flatMap((row) => {
    const reject = isByRaw(row) ? stored.get(row.rejectId) : undefined;
    // Unknown or resolved: the loader says so.
    if (reject === undefined || reject.isResolved) return [{ ...row, columns }];
    const isChanged = normalize(row.raw ?? '') !== normalize(readable(reject.raw));
    const fields = isChanged ? fieldsOf(row.raw ?? '', reject.columns, columns) : undefined;
    if (fields !== undefined) return [{ ...row, columns, fields }];
    uncorrected.push({ rejectId: row.rejectId, line: row.line, reason: stillBroken(reject, isChanged) });
    return [];
  });
}

function isByRaw({ fields, raw }: Correction): boolean {
  return raw !== null && fields.every((field) => field === null);
}

/** A spreadsheet may write other line ends than it read. */
function normalize(raw: string): string {
  return raw.replaceAll('\r\n', '\n').trimEnd();
}

interface StoredReject extends RejectReason {
  readonly rejectId: number;
  readonly raw: Buffer;
  readonly columns: readonly string[] | null;
  readonly isResolved: boolean;
}

function stillBroken({ kind, sqlState, message, columns }: StoredReject, isChanged: boolean): RejectReason {
  if (!isChanged) return { kind, sqlState, message: `not corrected: ${message}` };
  const why =
    columns === null
      ? 'its fields are not the columns of the table, or nobody knows them any more; fill in the columns instead'
      : `reject_raw is no row of ${countOf(columns.length, 'field')}: ${columns.join(',')}`;
  return { kind, sqlState, message: why };
}

async function readStored(database: Database, rejectIds: readonly number[]): Promise<Map<number, StoredReject>> {
  const rows = await withConnection(
    database,
    'cannot read the rejects',
    async ({ client }) =>
      (
        await client.query<StoredReject>(
          `select r.reject_id as "rejectId", r.raw, r.kind, r.sql_state as "sqlState", r.message, ecompipe.columns_of(b) as columns, r.resolved_at is not null as "isResolved"
         from ecompipe.rejected_rows r join ecompipe.batches b on b.batch_id = r.batch_id
         where r.reject_id = any ($1)`,
          [rejectIds],
        )
      ).rows,
  );
  return new Map(rows.map((row) => [row.rejectId, row]));
}
