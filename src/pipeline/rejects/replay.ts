import type { Connection } from '../../platform/db/client.js';
import { queryRows } from '../../platform/db/decodeRows.js';
import { withConnection, type Database } from '../../platform/db/target.js';
import type { CorrectedBatch, LoadCorrected, RejectedAgain } from '../../contract/stageServices.js';
import { assertKnownLabels, checkCorrections, readCorrections, type Correction } from './corrections.js';
import { prepareCorrections } from './corrected.js';
import { RejectSources, SOURCE_ROW, SOURCE_SQL } from './sources.js';

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
 * @param directories where loaded files are: the number of a record in its file can be a part of its rows.
 * @throws UsageError when the file as such is wrong: nothing is loaded then.
 */
export async function runReplay(
  file: string,
  database: Database,
  load: LoadCorrected,
  directories: readonly string[],
  stop: AbortSignal,
): Promise<ReplayResult> {
  const { rows: read, labels, rejectIds } = await checkCorrections(file);
  const what = 'cannot look up the rejects';
  const { sources, known } = await withConnection(database, what, async (connection) => {
    const opened = await RejectSources.open(connection);
    return { sources: opened, known: await labelsOfRejects(connection, opened, rejectIds) };
  });
  // Of rejects that this database does not have nobody knows which columns they can have.
  if (known.length > 0) assertKnownLabels(file, labels, known);
  const aside = { resolvedBefore: 0, unknown: 0, refused: [] as RejectedAgain[] };
  const batches = correctedBatches(file, async (corrections) => {
    const prepared = await withConnection(database, what, (connection) =>
      prepareCorrections(connection, sources, corrections, directories),
    );
    aside.resolvedBefore += prepared.resolvedBefore;
    aside.unknown += prepared.unknown;
    for (const { correction, reason } of prepared.refused)
      aside.refused.push({ rejectId: correction.rejectId, line: correction.line, reason });
    return prepared.batches;
  });
  const loaded = await load(batches, database, stop);
  const { inserted, duplicate, rejected } = loaded.rows;
  const rejectedAgain = [...loaded.rejectedAgain, ...aside.refused]
    .sort((a, b) => a.line - b.line)
    .slice(0, MAX_REPORTED);
  return {
    read,
    inserted,
    duplicate,
    rejected: rejected + aside.refused.length,
    resolvedBefore: loaded.resolvedBefore + aside.resolvedBefore,
    unknown: loaded.unknown + aside.unknown,
    batchIds: loaded.batchIds,
    rejectedAgain,
  };
}

/** So many rejects are asked about in one query. */
const CHUNK_IDS = 50_000;

async function labelsOfRejects(
  connection: Connection,
  sources: RejectSources,
  rejectIds: readonly number[],
): Promise<string[]> {
  const labels = new Set<string>();
  for (let from = 0; from < rejectIds.length; from += CHUNK_IDS) {
    const rows = await queryRows(
      connection.client,
      SOURCE_ROW,
      `select ${SOURCE_SQL}
       from ecompipe.batches b
       where b.batch_id in (select batch_id from ecompipe.rejected_rows where reject_id = any ($1))`,
      [rejectIds.slice(from, from + CHUNK_IDS)],
    );
    for (const source of await sources.of(connection, rows)) for (const label of source.labels) labels.add(label);
  }
  return [...labels];
}

async function* correctedBatches(
  file: string,
  prepare: (corrections: readonly Correction[]) => Promise<readonly CorrectedBatch[]>,
): AsyncGenerator<CorrectedBatch> {
  let batch: Correction[] = [];
  let characters = 0;
  for await (const row of readCorrections(file)) {
    batch.push(row);
    for (const { text } of row.cells.values()) characters += text.length;
    characters += row.raw?.length ?? 0;
    if (batch.length < BATCH_ROWS && characters < BATCH_CHARACTERS) continue;
    yield* await prepare(batch);
    batch = [];
    characters = 0;
  }
  if (batch.length > 0) yield* await prepare(batch);
}
