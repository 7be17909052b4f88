import assert from 'node:assert/strict';
import { shapeOf, type Header } from '../../../contract/csv/header.js';
import { parseFeedHeader } from '../../../contract/feeds/feedHeader.js';
import type { LoadedByFeed, RemadeRow } from '../../../contract/stageServices.js';
import type { Connection } from '../../../platform/db/client.js';
import type { Batch } from '../batch.js';
import { wholeFilePart } from '../smallFiles.js';
import { splitRecords } from '../staged/records.js';
import { checkFeedWithin } from './checkFeed.js';
import { makeRows } from './judgeFeed.js';
import { reopenFeed } from './storedFeed.js';
import { integer, queryRows, text } from '../../../platform/db/decodeRows.js';

/**
 * Makes the rows of a file once more by its feed, in a stage of this session that nothing is inserted from: whether they
 * were inserted then, the ledger tells. Part of the caller's transaction.
 * @throws EcompipeError (2) when the feed does not compile any more.
 */
export async function remakeRows(connection: Connection, loaded: LoadedByFeed): Promise<readonly RemadeRow[]> {
  const { feed, table, sqlFields } = await reopenFeed(connection, loaded.feed, checkFeedWithin);
  const parse = (start: Buffer): Header | undefined => parseFeedHeader(start, feed, sqlFields);
  const whole = wholeFilePart({ name: loaded.file, fileStamp: '' }, { sha256: Buffer.alloc(0) }, loaded.bytes, parse);
  assert(whole !== undefined, 'a file that shares its batch has no more rows than a batch may have');
  const { part, shape } = whole;
  if (shape.feed === undefined) return [];
  const batch: Batch = { ...shapeOf(shape), parts: [part], isDurable: true };
  const records = await splitRecords(batch);
  const { plan } = await makeRows(connection, batch, shape.feed, records, table);
  const origin = plan.hasItems
    ? 'm.record, m.item_number as item from pg_temp.ecompipe_made m join keys k using (ordinal)'
    : 'k.ordinal as record, 0 as item from keys k';
  const rows = await queryRows(
    connection.client,
    { key: text, record: integer, item: integer },
    `with keys as (select ordinal, key from ecompipe.staged_keys($1::regclass, $2)) select k.key, ${origin}`,
    [table.name, plan.columns],
  );
  return rows.map(({ key, record, item }) => {
    const { frame } = records.at(record);
    return { key, item, byteOffset: part.bodyOffset + frame.start, line: part.firstLine + frame.line };
  });
}
