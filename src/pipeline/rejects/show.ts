import type { Connection } from '../../platform/db/client.js';
import { UsageError } from '../../platform/errors.js';
import { REJECT_COLUMNS_SQL, type Reject } from './list.js';
import { fieldsOf, isText, readable, readEventColumns, type Fields } from './rawRow.js';

/** A rejected row with all that is known of it. */
export interface RejectedRow extends Reject {
  /** Its bytes as text, `\xNN` where they are none. */
  readonly raw: string;
  /** Its bytes, when they are no text. */
  readonly rawBase64: string | null;
  /** Those of the table, in its order. */
  readonly columns: readonly string[];
  /** By structure it is a row: a text or NULL for each of `columns`. */
  readonly fields: Fields | null;
}

interface StoredRow extends Reject {
  readonly rawBytes: Buffer;
  readonly columns: readonly string[] | null;
}

/** SQL of whole rejects; conditions are the caller's. */
export const WHOLE_REJECTS_SQL = `
  select ${REJECT_COLUMNS_SQL}, r.raw as "rawBytes", ecompipe.columns_of(b) as columns
  from ecompipe.rejected_rows r
  join ecompipe.files f using (file_id)
  join ecompipe.batches b on b.batch_id = r.batch_id`;

export async function queryRejectedRows(
  connection: Connection,
  condition: string,
  values: unknown[],
): Promise<RejectedRow[]> {
  const tableColumns = await readEventColumns(connection);
  const { rows } = await connection.client.query<StoredRow>(`${WHOLE_REJECTS_SQL} ${condition}`, values);
  return rows.map(({ rawBytes, columns, ...reject }) => ({
    ...reject,
    raw: readable(rawBytes),
    rawBase64: isText(rawBytes) ? null : rawBytes.toString('base64'),
    columns: tableColumns,
    fields: (isText(rawBytes) ? fieldsOf(rawBytes.toString('utf8'), columns, tableColumns) : undefined) ?? null,
  }));
}

/** @throws UsageError when there is no such reject. */
export async function showReject(connection: Connection, rejectId: number): Promise<RejectedRow> {
  const [row] = await queryRejectedRows(connection, 'where r.reject_id = $1', [rejectId]);
  if (row === undefined)
    throw new UsageError([`there is no reject ${rejectId}`], '`ecompipe rejects list --all` shows which there are');
  return row;
}
