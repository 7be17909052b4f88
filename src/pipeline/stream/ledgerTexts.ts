import { quoteText } from '../../contract/feeds/sqlNames.js';
import { storableName, type BatchEntry, type FileIdentity } from './ledger.js';
import { storedStamp } from './storedStamp.js';
import { EVENTS_TABLE } from './targetTable.js';

// What is written to the ledger as text without parameters, so that it shares a round trip with other statements: half a
// millisecond each of a small file's two.

/**
 * Enters contents as loaded whole by the batch that the transaction has begun (see registerFiles), but only those of which
 * the ledger knows nothing at all: what is to become of the others takes a closer look. Answers with those it has entered.
 */
export function entryOfUsual(files: readonly (FileIdentity & { readonly rows: number })[]): string {
  const rows = files.map(
    ({ sha256, name, size, fileStamp, rows }) =>
      `(${quoteText(`\\x${sha256.toString('hex')}`)}, ${quoteText(storableName(name))}, ${size}, ${storedStamp(fileStamp)}, current_setting('ecompipe.batch_id')::bigint, ${rows})`,
  );
  return `
    insert into ecompipe.file_entries (sha256, name, size, file_stamp, batch_id, rows)
    values ${rows.join(', ')}
    on conflict (ecompipe.content_key(sha256)) do nothing
    returning sha256, file_id`;
}

/**
 * The ledger of a batch whose files were all entered as loaded, as {@link writeLedger} writes it: there is nothing to
 * compare and to advance, so that it can be sent together with COMMIT.
 * @returns undefined for any other batch.
 */
export function ledgerOfEntered(entry: BatchEntry): string | undefined {
  const { batchId, token, engine, loadPath, columns, feed, target, parts, counts, bytes, enteredLoaded } = entry;
  if (feed !== undefined || parts.length === 0 || !parts.every(({ fileId }) => enteredLoaded.has(fileId)))
    return undefined;
  const values = [
    ...[batchId, quoteText(engine), quoteText(loadPath), 'now()'],
    ...[counts.read, counts.inserted, counts.duplicate, counts.rejected, bytes],
    `ecompipe.column_list_id(array[${columns.map(quoteText).join(', ')}]::text[])`,
    target === EVENTS_TABLE ? 'null' : quoteText(target),
    quoteText(token),
  ];
  return `
    insert into ecompipe.batches (batch_id, engine, load_path, started_at, rows_read, rows_inserted, rows_duplicate, rows_rejected, bytes, column_list_id, target, token)
    values (${values.join(', ')});`;
}
