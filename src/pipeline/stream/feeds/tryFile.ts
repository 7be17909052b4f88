import assert from 'node:assert/strict';
import path from 'node:path';
import type { Connection } from '../../../platform/db/client.js';
import type { Database } from '../../../platform/db/target.js';
import { EcompipeError, EXIT, withFileErrors } from '../../../platform/errors.js';
import { canonicalShape, parseHeader, shapeOf, UnreadableFile, type Header } from '../../../contract/csv/header.js';
import { decode, UTF_8 } from '../../../contract/feeds/encodings.js';
import type { Feed } from '../../../contract/feeds/feed.js';
import { addCounts, NO_ROWS, type Batch, type RowCounts } from '../batch.js';
import { openLarge, type Content } from '../content.js';
import { readRanges } from '../ranges.js';
import { judgeBatch } from '../staged/loadStaged.js';
import { recordBytes, splitRecords, type Records } from '../staged/records.js';
import { Target, type TargetTable } from '../targetTable.js';
import { fieldsOf, readStart } from './fields.js';
import type { FeedVerdicts } from './judgeFeed.js';
import { openFeeds, targetFor, type LoaderFeeds } from './loaderFeeds.js';
import { hintOfShipped } from './shippedFeeds.js';
import { printableLine } from '../../../platform/printable.js';
import { arrayOf, integer, nullable, queryRows, type Shape, text } from '../../../platform/db/decodeRows.js';

/** A record before, and the first row that was made of it, if any. */
export interface TriedRecord {
  readonly line: number;
  /** Texts of its fields, by name; what is NULL is left out. */
  readonly before: Readonly<Record<string, string>>;
  /** Values of the row as texts; undefined where it was rejected, or skipped. */
  readonly after: Readonly<Record<string, string | null>> | undefined;
}

/** Why rows were rejected: all with the same kind, column and rule, and one of them. */
export interface TriedReason {
  readonly kind: string;
  readonly sqlState: string;
  readonly column: string | null;
  readonly rows: number;
  readonly message: string;
  readonly line: number;
  readonly record: string;
}

/** What would become of a file. */
export interface Trial {
  readonly file: string;
  /** Undefined: the file's columns are the table's. */
  readonly feed: string | undefined;
  readonly table: string;
  readonly records: number;
  readonly skipped: number;
  readonly rows: RowCounts;
  readonly first: readonly TriedRecord[];
  readonly reasons: readonly TriedReason[];
}

const FIRST_RECORDS = 3;
const BATCH_BYTES = 8 * 2 ** 20;

/**
 * Loads a file as a stream would, in a transaction that is rolled back, and says what would become of it.
 * @throws EcompipeError (7) when it can't be read at all; UsageError when a feed is wrong.
 */
export async function tryFile(database: Database, file: string, feeds: readonly Feed[]): Promise<Trial> {
  const content = await withFileErrors('read', file, () => openLarge(file));
  const connection = await database.retry('cannot check the file', () => database.connect());
  try {
    const target = await Target.open(connection);
    const open = await openFeeds(connection, feeds, target);
    const feed = open.find(path.basename(file));
    if (content.fault !== undefined) throw content.fault;
    const header = await readHeader(content, feed, open, target.table);
    return await tryContent(connection, file, content, header, targetFor({ target, feeds: open }, header.feed).table);
  } catch (error) {
    if (!(error instanceof UnreadableFile)) throw error;
    throw new EcompipeError(EXIT.checkFailed, {
      what: `${printableLine(file)} would be quarantined`,
      why: error.message,
    });
  } finally {
    await connection.close();
    await content.close();
  }
}

async function readHeader(
  content: Content,
  feed: Feed | undefined,
  feeds: LoaderFeeds,
  table: TargetTable,
): Promise<Header> {
  const start = await readStart(content);
  const empty = { ...canonicalShape([]), length: content.size, lines: 0 };
  if (feed !== undefined) return feeds.parseHeader(start, feed) ?? empty;
  try {
    return parseHeader(start, table.header) ?? empty;
  } catch (error) {
    if (!(error instanceof UnreadableFile)) throw error;
    throw new UnreadableFile(
      `no feed is for a file of this name, and its columns are not the table's: ${error.message}${await hintOfShipped(start)}`,
    );
  }
}

async function tryContent(
  connection: Connection,
  file: string,
  content: Content,
  header: Header,
  table: TargetTable,
): Promise<Trial> {
  const source = { name: path.basename(file), fileStamp: '', fileId: 0, content, header };
  let [records, skipped, rows]: [number, number, RowCounts] = [0, 0, NO_ROWS];
  const first: TriedRecord[] = [];
  const reasons = new Map<string, TriedReason>();
  await connection.client.query('begin');
  try {
    for await (const { part, release } of readRanges(source, { offset: 0, lines: 0, records: 0 }, BATCH_BYTES, 1)) {
      const batch: Batch = { ...shapeOf(header), parts: [part], isDurable: false };
      const split = await splitRecords(batch);
      const { verdicts, results } = await judgeBatch(connection, batch, split, table, () => Promise.resolve());
      const [result] = results;
      assert(result !== undefined, 'one part has one result');
      records += part.rows;
      skipped += result.skipped;
      rows = addCounts(rows, result.counts);
      if (first.length === 0) first.push(...(await firstRecords(connection, batch, split)));
      await collectReasons(connection, batch, split, verdicts, reasons);
      release();
    }
  } finally {
    await connection.client.query('rollback');
  }
  const sorted = [...reasons.values()].sort((a, b) => b.rows - a.rows);
  return { file, feed: header.feed?.feed.name, table: table.name, records, skipped, rows, first, reasons: sorted };
}

async function firstRecords({ client }: Connection, batch: Batch, records: Records): Promise<TriedRecord[]> {
  const made: TriedRecord[] = [];
  const hasItems = batch.feed?.feed.rows !== undefined;
  for (let ordinal = 0; ordinal < Math.min(records.length, FIRST_RECORDS); ordinal++) {
    const record = records.at(ordinal);
    // A record that `rows:` multiplies has the row of its first element here.
    const rowOf = hasItems
      ? '(select min(m.ordinal) from pg_temp.ecompipe_made m where m.record = $1 and m.item_number > 0)'
      : '$1::integer';
    const [typed] = records.malformed.has(ordinal)
      ? []
      : await queryRows(
          client,
          { values: arrayOf(nullable(text)) },
          `select array[${batch.columns.map((_, index) => `t.c${index + 1}::text`).join(', ')}] as values from pg_temp.ecompipe_typed t
           where t.ordinal = ${rowOf} and not exists (select from pg_temp.ecompipe_verdicts v where v.ordinal = t.ordinal and v.kind <> 'duplicate')`,
          [ordinal],
        );
    const values = typed?.values;
    made.push({
      line: record.part.firstLine + record.frame.line,
      before: fieldsOf(recordBytes(record), batch),
      after:
        values === undefined
          ? undefined
          : Object.fromEntries(batch.columns.map((name, index) => [name, values[index] ?? null])),
    });
  }
  return made;
}

interface Verdict {
  readonly ordinal: number;
  readonly kind: string;
  readonly sqlState: string;
  readonly column: string | null;
  readonly constraint: string | null;
  readonly message: string;
}

const VERDICT: Shape<Verdict> = {
  ordinal: integer,
  kind: text,
  sqlState: text,
  column: nullable(text),
  constraint: nullable(text),
  message: text,
};

async function collectReasons(
  { client }: Connection,
  batch: Batch,
  records: Records,
  { originOf }: FeedVerdicts,
  reasons: Map<string, TriedReason>,
): Promise<void> {
  const add = (verdict: Omit<Verdict, 'ordinal'>, ordinal: number): void => {
    const { kind, sqlState, column, constraint, message } = verdict;
    const key = JSON.stringify([kind, sqlState, column, constraint]);
    const known = reasons.get(key);
    if (known !== undefined) {
      reasons.set(key, { ...known, rows: known.rows + 1 });
      return;
    }
    const record = records.at(ordinal);
    const line = record.part.firstLine + record.frame.line;
    reasons.set(key, { kind, sqlState, column, message, rows: 1, line, record: textOf(recordBytes(record), batch) });
  };
  for (const [ordinal, reason] of records.malformed) add({ ...reason, column: null, constraint: null }, ordinal);
  if (records.length === records.malformed.size) return;
  const verdicts = await queryRows(
    client,
    VERDICT,
    `select ordinal, kind, sql_state, column_name as column, constraint_name as constraint, message
     from pg_temp.ecompipe_verdicts where kind <> 'duplicate' order by ordinal`,
  );
  for (const { ordinal, ...verdict } of verdicts) add(verdict, originOf(ordinal).record);
}

function textOf(bytes: Buffer, { feed }: Batch): string {
  try {
    return decode(bytes, feed?.feed.format.encoding ?? UTF_8);
  } catch {
    return bytes.toString('latin1');
  }
}
