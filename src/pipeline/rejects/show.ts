import type { Cell } from '../../contract/csv/cells.js';
import type { Connection } from '../../platform/db/client.js';
import { bytea, queryRows, type Shape } from '../../platform/db/decodeRows.js';
import { elementAt } from '../../platform/elementAt.js';
import { UsageError } from '../../platform/errors.js';
import { REJECT, REJECT_COLUMNS_SQL, type Reject } from './list.js';
import { readable, textOf } from '../../contract/feeds/encodings.js';
import {
  cutRecord,
  encodingOf,
  readTexts,
  RejectSources,
  SOURCE_ROW,
  SOURCE_SQL,
  valuesOf,
  type RejectSource,
  type SourceRow,
} from './sources.js';

/** A text, or NULL, for each field. */
export type Fields = readonly (string | null)[];

/** A rejected row with all that is known of it. */
export interface RejectedRow extends Reject {
  /** Its bytes as text, `\xNN` where they are none. */
  readonly raw: string;
  /** Its bytes, when they are no text. */
  readonly rawBase64: string | null;
  /** Those of events, in its order; of a record that a feed reads, the fields of its file. */
  readonly columns: readonly string[];
  /** By structure it is a row: a text or NULL for each of `columns`. */
  readonly fields: Fields | null;
}

/** The same, with its fields as the file has them. */
export interface CutRow {
  readonly row: RejectedRow;
  readonly cells: readonly Cell[] | undefined;
  readonly source: RejectSource;
}

interface StoredRow extends Reject, SourceRow {
  readonly rawBytes: Buffer;
}

const STORED_ROW: Shape<StoredRow> = { ...REJECT, ...SOURCE_ROW, rawBytes: bytea };

/** Rejects that a condition finds, over `rejected_rows r`, `files f` and `batches b`. */
export async function queryRejectedRows(
  connection: Connection,
  sources: RejectSources,
  condition: string,
  values: unknown[],
): Promise<CutRow[]> {
  const rows = await queryRows(
    connection.client,
    STORED_ROW,
    `select ${REJECT_COLUMNS_SQL}, r.raw as raw_bytes, ${SOURCE_SQL}
     from ecompipe.rejected_rows r
     join ecompipe.files f using (file_id)
     join ecompipe.batches b on b.batch_id = r.batch_id
     ${condition}`,
    values,
  );
  const found = rows.map(({ rawBytes, feedId, columns, ...reject }) => ({
    reject,
    rawBytes,
    of: { feedId, columns },
  }));
  const ofRows = await sources.of(
    connection,
    found.map(({ of }) => of),
  );
  const stored = found.map(({ reject: { rejectId, kind }, rawBytes }, index) => ({
    rejectId,
    kind,
    raw: rawBytes,
    source: elementAt(ofRows, index),
  }));
  const texts = await readTexts(connection, stored);
  return found.map(({ reject, rawBytes }, index) => {
    const { source } = elementAt(stored, index);
    const text = texts.get(reject.rejectId);
    const cells = text === undefined ? undefined : cutRecord(text, source);
    const encoding = encodingOf(source);
    const row = {
      ...reject,
      raw: text ?? readable(rawBytes, encoding),
      rawBase64: text === undefined && textOf(rawBytes, encoding) === undefined ? rawBytes.toString('base64') : null,
      columns: source.labels,
      fields: cells === undefined ? null : valuesOf(cells, source),
    };
    return { row, cells, source };
  });
}

/** @throws UsageError when there is no such reject. */
export async function showReject(connection: Connection, rejectId: number): Promise<RejectedRow> {
  const sources = await RejectSources.open(connection);
  const [found] = await queryRejectedRows(connection, sources, 'where r.reject_id = $1', [rejectId]);
  if (found === undefined)
    throw new UsageError([`there is no reject ${rejectId}`], '`ecompipe rejects list --all` shows which there are');
  return found.row;
}
