import { stringify } from 'csv-stringify/sync';
import type { Connection } from '../../platform/db/client.js';
import { rejectCondition, type RejectFilter } from './filter.js';
import { readEventColumns } from './rawRow.js';
import { queryRejectedRows, type RejectedRow } from './show.js';
import { ESCAPED_COLUMN, escapeFormula } from './formulas.js';

/** Rows read at once; each has up to a megabyte. */
const PAGE_ROWS = 200;

/** What a file of rejects has beside the columns of events. A replay only needs the id; the rest is for people. */
export const REJECT_COLUMNS = [
  'reject_id',
  'reject_file',
  'reject_line',
  'reject_kind',
  'reject_sqlstate',
  'reject_column',
  'reject_reason',
  'reject_raw',
  'reject_raw_base64',
] as const;

export interface ExportOptions {
  /** Text that a spreadsheet would run as a formula gets an apostrophe, which a replay takes off. @default false */
  readonly escapeFormulas?: boolean;
}

/**
 * Rejects as CSV that a person can correct and give to a replay. A row that is one by structure has its values in the
 * columns of events. Of one that is not they are empty, and `reject_raw` is what to correct instead.
 * @returns pieces of text that end with a row.
 */
export async function* exportRejects(
  connection: Connection,
  filter: RejectFilter,
  { escapeFormulas = false }: ExportOptions = {},
): AsyncGenerator<{ readonly text: string; readonly rows: number }> {
  const header = [...(await readEventColumns(connection)), ...REJECT_COLUMNS];
  yield { text: stringify([escapeFormulas ? [...header, ESCAPED_COLUMN] : header]), rows: 0 };
  const { sql, values } = rejectCondition(filter);
  for (let last = 0; ;) {
    const page = await queryRejectedRows(
      connection,
      `where ${sql} and r.reject_id > $5 order by r.reject_id limit ${PAGE_ROWS}`,
      [...values, last],
    );
    if (page.length === 0) return;
    const rows = page.map(exportedRow);
    // An empty text is quoted, NULL is not.
    yield {
      text: stringify(escapeFormulas ? rows.map((row) => [...row.map(escapeFormula), null]) : rows, {
        quoted_match: /^$/,
      }),
      rows: page.length,
    };
    last = page.at(-1)?.rejectId ?? last;
  }
}

function exportedRow({
  columns,
  fields,
  rejectId,
  file,
  line,
  kind,
  sqlState,
  column,
  message,
  raw,
  rawBase64,
}: RejectedRow): (string | number | null)[] {
  const values = fields ?? columns.map(() => null);
  return [...values, rejectId, file, line, kind, sqlState, column, message, raw, rawBase64];
}
