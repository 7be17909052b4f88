import { existsSync } from 'node:fs';
import { stringify } from 'csv-stringify/sync';
import type { Cell } from '../../contract/csv/cells.js';
import type { Connection } from '../../platform/db/client.js';
import { queryRows } from '../../platform/db/decodeRows.js';
import { UsageError, InterruptedError, withFileErrors } from '../../platform/errors.js';
import { shellQuote } from '../../platform/printable.js';
import { rejectCondition, type RejectFilter, countRejects, type FeedRejects } from './list.js';
import { ESCAPED_COLUMN, escapeFormula, REJECT_COLUMNS } from './labels.js';
import { queryRejectedRows, type CutRow, type RejectedRow } from './show.js';
import { nullsOf, RejectSources, SOURCE_ROW, SOURCE_SQL, type SourceRow } from './sources.js';
import { createFile } from '../../platform/files/atomicWrite.js';
import { countOf } from '../../platform/format.js';

/** Rows read at once; each has up to a megabyte. */
const PAGE_ROWS = 200;

export interface ExportOptions {
  /** Text that a spreadsheet would run as a formula gets an apostrophe, which a replay takes off. @default false */
  readonly escapeFormulas?: boolean;
}

/**
 * Rejects as CSV that a person can correct and give to a replay. A row that is one by structure has its values in the
 * columns of events, or in the fields of its file where a feed reads that. Of one that is not they are empty, and
 * `reject_raw` is what to correct instead.
 * @returns pieces of text that end with a row.
 * @throws UsageError when they are of several feeds, as those have other fields.
 */
export async function* exportRejects(
  connection: Connection,
  filter: RejectFilter,
  { escapeFormulas = false }: ExportOptions = {},
): AsyncGenerator<{ readonly text: string; readonly rows: number }> {
  const { sql, values } = rejectCondition(filter);
  assertOneFeed((await countRejects(connection, filter)).feeds);
  const sources = await RejectSources.open(connection);
  const labels = await readLabels(connection, sources, sql, values);
  const write = (rows: readonly (readonly ExportedValue[])[]): string =>
    stringify(escapeFormulas ? rows.map((row) => row.map(escapeValue)) : [...rows], {
      // An empty text is quoted, NULL is not.
      quoted_match: /^$/,
      cast: { object: (cell) => ({ value: (cell as unknown as Cell).text, quoted: true }) },
    });
  const header = [...labels, ...REJECT_COLUMNS];
  yield { text: write([escapeFormulas ? [...header, ESCAPED_COLUMN] : header]), rows: 0 };
  for (let last = 0; ;) {
    const page = await queryRejectedRows(
      connection,
      sources,
      `where ${sql} and r.reject_id > $${values.length + 1} order by r.reject_id limit ${PAGE_ROWS}`,
      [...values, last],
    );
    if (page.length === 0) return;
    const rows = page.map((row) => exportedRow(row, labels));
    yield { text: write(escapeFormulas ? rows.map((row) => [...row, null]) : rows), rows: page.length };
    last = page.at(-1)?.row.rejectId ?? last;
  }
}

type ExportedValue = string | number | null | Cell;

function isCell(value: ExportedValue): value is Cell {
  return typeof value === 'object' && value !== null;
}

function escapeValue(value: ExportedValue): ExportedValue {
  return isCell(value) ? { ...value, text: escapeFormula(value.text) } : escapeFormula(value);
}

/** A text that would mean NULL without the quotes that it has in its file; one that is empty is quoted anyway. */
function cellValue({ text, isQuoted }: Cell, nulls: readonly string[]): ExportedValue {
  if (text === '') return isQuoted ? '' : null;
  return isQuoted && nulls.includes(text) ? { text, isQuoted } : text;
}

/** @throws UsageError with the commands that export those of one. */
function assertOneFeed(feeds: readonly FeedRejects[]): void {
  if (feeds.length <= 1) return;
  const names = feeds.map(({ feed, rows }) => `${rows} of ${feed === null ? 'files without a feed' : `feed ${feed}`}`);
  throw new UsageError(
    [`these rejects have different fields, and cannot be in one file: ${names.join(', ')}`],
    `export those of one: ${feeds.map(exportCommand).join(', or ')}`,
  );
}

export function exportCommand({ feed }: Pick<FeedRejects, 'feed'>): string {
  return `ecompipe rejects export ${feed === null ? '--without-feed' : `--feed ${shellQuote(feed)}`} --output FILE`;
}

/** Files of one feed can differ in their fields: each row has values of those of its own file. */
async function readLabels(
  connection: Connection,
  sources: RejectSources,
  condition: string,
  values: unknown[],
): Promise<readonly string[]> {
  const rows = await queryRows(
    connection.client,
    SOURCE_ROW,
    `select ${SOURCE_SQL}
     from (
       select r.batch_id from ecompipe.rejected_rows r join ecompipe.files f using (file_id) where ${condition} group by r.batch_id
     ) as found join ecompipe.batches b using (batch_id)
     group by 1, 2`,
    values,
  );
  const found = rows.length === 0 ? await sources.of(connection, [NO_FEED]) : await sources.of(connection, rows);
  return [...new Set(found.flatMap(({ labels }) => labels))];
}

const NO_FEED: SourceRow = { feedId: null, columns: null };

function exportedRow({ row, cells, source }: CutRow, labels: readonly string[]): ExportedValue[] {
  const { columns, rejectId, feed, file, line, item, kind, sqlState, column, message, raw, rawBase64 } = row;
  const nulls = nullsOf(source);
  const values = new Map(cells?.map((cell, index) => [columns[index], cellValue(cell, nulls)]));
  const about = [feed, file, line, item === 0 ? null : item, kind, sqlState, column, message];
  return [
    ...labels.map((label) => values.get(label) ?? null),
    rejectId,
    ...about,
    hintFor(row, cells !== undefined),
    raw,
    rawBase64,
  ];
}

/** What a person can do about a row. */
function hintFor({ kind, item, feed }: RejectedRow, isCut: boolean): string {
  if (!isCut)
    return `no ${feed === null ? 'row' : 'record'} by structure: correct reject_raw, or fill in all ${feed === null ? 'columns' : 'fields'}`;
  const only = item === 0 ? '' : `; only row ${item} of the record is loaded, so leave it as many rows`;
  if (kind === 'conflict')
    return `its key is in the table with other content: correct what the key is made of, or leave it out${only}`;
  return `correct the ${feed === null ? 'row' : 'fields'}${only}`;
}

/** Pieces of text with the rows in each. */
type Pieces = AsyncIterable<{ readonly text: string; readonly rows: number }>;

/**
 * Writes pieces to a new file, which appears whole or not at all.
 * @returns how many rows it has.
 * @throws UsageError when there is such a file: it may hold somebody's corrections.
 */
export async function writeNewFile(file: string, pieces: Pieces, stop: AbortSignal): Promise<number> {
  if (existsSync(file)) throw alreadyThere(file);
  let rows = 0;
  const texts = async function* (): AsyncGenerator<string> {
    for await (const piece of pieces) {
      if (stop.aborted)
        throw new InterruptedError({ what: 'the export was interrupted', outcome: 'no file was written' });
      yield piece.text;
      rows += piece.rows;
    }
  };
  const isNew = await withFileErrors('write', file, () => createFile(file, texts(), { mode: 0o600 }));
  if (!isNew) throw alreadyThere(file);
  return rows;
}

function alreadyThere(file: string): UsageError {
  return new UsageError(
    [`${file} already exists and may hold corrections: it was not overwritten`],
    'name another file, or move that one away',
  );
}

/** Hands pieces to `write`, in order. @returns how many rows they had. */
export async function writePieces(
  pieces: Pieces,
  write: (text: string) => Promise<void>,
  stop: AbortSignal,
): Promise<number> {
  let rows = 0;
  for await (const piece of pieces) {
    if (stop.aborted)
      throw new InterruptedError({
        what: 'the export was interrupted',
        outcome: `${countOf(rows, 'row was', 'rows were')} written`,
      });
    await write(piece.text);
    rows += piece.rows;
  }
  return rows;
}
