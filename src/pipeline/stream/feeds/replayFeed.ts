import assert from 'node:assert/strict';
import type { BoundFeed } from '../../../contract/feeds/bindFeed.js';
import { sourceColumn } from '../../../contract/feeds/compile.js';
import type { CorrectedRecord, RejectReason } from '../../../contract/stageServices.js';
import type { Connection } from '../../../platform/db/client.js';
import { boolean, integer, queryRows } from '../../../platform/db/decodeRows.js';
import { elementAt } from '../../../platform/elementAt.js';
import { countOf } from '../../../platform/format.js';
import { judgedRow, readVerdicts, refusedRow, type JudgedRow } from '../staged/corrected.js';
import { insertRows } from '../staged/judge.js';
import { prepareStage } from '../staged/stage.js';
import type { TargetTable } from '../targetTable.js';
import { planFeed, type FeedPlan } from './feedPlan.js';
import { expand, transformRows } from './judgeFeed.js';
import { stagePartNames } from './stageSource.js';

/** What corrected records become rows of. */
export interface CorrectedSource {
  readonly bound: BoundFeed;
  readonly table: TargetTable;
}

/**
 * Makes rows of corrected records by their feed and inserts those that the table accepts; of a record all rows, or none.
 * Part of the caller's transaction.
 * @returns the rows of each record, in order; of one that is refused, the first reason.
 */
export async function insertCorrectedRecords(
  connection: Connection,
  source: CorrectedSource,
  records: readonly CorrectedRecord[],
): Promise<JudgedRow[]> {
  const { client } = connection;
  const refused = new Map<number, JudgedRow>();
  for (;;) {
    await client.query('savepoint ecompipe_corrected');
    const left = records.filter(({ rejectId }) => !refused.has(rejectId));
    const judged = left.length === 0 ? [] : await judgeCorrected(connection, source, left);
    const halves = halfRefused(judged);
    if (halves.length === 0) {
      await client.query('release savepoint ecompipe_corrected');
      const rows = new Map<number, JudgedRow[]>([...refused].map(([rejectId, row]) => [rejectId, [row]]));
      for (const row of judged) {
        const found = rows.get(row.rejectId);
        if (found === undefined) rows.set(row.rejectId, [row]);
        else found.push(row);
      }
      return records.flatMap(({ rejectId }) => {
        const found = rows.get(rejectId);
        assert(found !== undefined, `reject ${rejectId} was judged`);
        return found.some(({ kind }) => kind === 'rejected') ? found.slice(0, 1) : found;
      });
    }
    // Their other rows went in: once more, without any of theirs.
    await client.query('rollback to savepoint ecompipe_corrected');
    for (const row of halves) refused.set(row.rejectId, row);
  }
}

/** The first refused row of each record of which other rows were accepted. */
function halfRefused(judged: readonly JudgedRow[]): JudgedRow[] {
  const accepted = new Set(judged.flatMap(({ kind, rejectId }) => (kind === 'rejected' ? [] : [rejectId])));
  const first = new Map<number, JudgedRow>();
  for (const row of judged)
    if (row.kind === 'rejected' && accepted.has(row.rejectId) && !first.has(row.rejectId)) first.set(row.rejectId, row);
  return [...first.values()];
}

/** A row that was made of a record of the stage, and which of the record's rows it is. */
interface MadeRow {
  readonly ordinal: number;
  readonly record: number;
  readonly item: number;
}

async function judgeCorrected(
  connection: Connection,
  { bound, table }: CorrectedSource,
  records: readonly CorrectedRecord[],
): Promise<JudgedRow[]> {
  const plan = await planFeed(connection, bound, table);
  await prepareStage(connection, table, plan.columns);
  const originals = plan.hasItems ? records.filter(({ original }) => original !== undefined) : [];
  await stageCorrected(connection, bound, records, originals);
  await expand(connection, plan, [{ firstOrdinal: 0, sound: records.length + originals.length }]);
  const refused = plan.makesRows ? await keepWanted(connection, plan, records, originals) : [];
  await transformRows(connection, plan);
  await insertRows(connection, table, plan.columns, () => Promise.resolve());
  const origins = plan.hasItems ? await readMade(connection) : undefined;
  const verdicts = await readVerdicts(connection, table, plan.columns);
  const rows = verdicts
    .map((verdict) => ({ verdict, made: origins?.get(verdict.ordinal) ?? { record: verdict.ordinal, item: 0 } }))
    .sort((a, b) => a.made.record - b.made.record || a.made.item - b.made.item);
  return [
    ...refused,
    ...rows.map(({ verdict, made: { record, item } }) => judgedRow(elementAt(records, record), item, verdict)),
  ];
}

/** Brings records as they were corrected into the session's stage; behind them, those that are compared, as they were. */
async function stageCorrected(
  connection: Connection,
  { fields }: BoundFeed,
  records: readonly CorrectedRecord[],
  originals: readonly CorrectedRecord[],
): Promise<void> {
  const files = [...new Set(records.map(({ file }) => file))];
  await stagePartNames(
    connection,
    files.map((name) => ({ name })),
  );
  const staged = [...records, ...originals];
  const texts = [...records.map((record) => record.fields), ...originals.map(({ original = [] }) => original)];
  const columns = ['ordinal', 'record_number', 'part', ...fields.map((_, index) => sourceColumn(index))];
  const types = ['integer', 'bigint', 'integer', ...fields.map(() => 'text')];
  await connection.client.query(
    `insert into pg_temp.ecompipe_source (${columns.join(', ')})
     select * from unnest(${types.map((type, index) => `$${index + 1}::${type}[]`).join(', ')})`,
    [
      staged.map((_, ordinal) => ordinal),
      staged.map(({ recordNumber }) => recordNumber),
      staged.map(({ file }) => files.indexOf(file)),
      ...fields.map((_, index) => texts.map((record) => elementAt(record, index))),
    ],
  );
}

/** How many rows a record of the stage made; none where `rows:` failed on it. */
interface MadeCount {
  readonly record: number;
  readonly rows: number;
  readonly hasFailed: boolean;
}

/**
 * Of a record of which one row was rejected, keeps that row: its others are in the table, or rejects of their own. It can
 * only be told from them by its number, so that the record must make as many rows as it did.
 * @returns those of which nothing is left.
 */
async function keepWanted(
  { client }: Connection,
  { hasItems }: FeedPlan,
  records: readonly CorrectedRecord[],
  originals: readonly CorrectedRecord[],
): Promise<JudgedRow[]> {
  const rows = await queryRows(
    client,
    { record: integer, rows: integer, hasFailed: boolean },
    'select record, count(*) as rows, bool_or(place is null) as has_failed from pg_temp.ecompipe_made group by record',
  );
  const made = new Map(rows.map((row) => [row.record, row]));
  const before = new Map(originals.map(({ rejectId }, index) => [rejectId, made.get(records.length + index)] as const));
  const refused = records.flatMap((record, ordinal) => {
    const reason = unlikeBefore(record, made.get(ordinal), before.get(record.rejectId));
    return reason === undefined ? [] : [{ ordinal, row: refusedRow(record, reason) }];
  });
  const isRefused = new Set(refused.map(({ ordinal }) => ordinal));
  const kept = records.flatMap(({ item }, ordinal) => (isRefused.has(ordinal) ? [] : [{ ordinal, item }]));
  await client.query(
    `delete from pg_temp.ecompipe_made m where not exists (
       select from unnest($1::integer[], $2::integer[]) as k (record, item)
       where k.record = m.record and (k.item = 0 or k.item = m.item_number or m.place is null))`,
    [kept.map(({ ordinal }) => ordinal), kept.map(({ item }) => item)],
  );
  if (hasItems)
    await client.query(
      'delete from pg_temp.ecompipe_verdicts v where not exists (select from pg_temp.ecompipe_made m where m.ordinal = v.ordinal)',
    );
  return refused.map(({ row }) => row);
}

/** SQLSTATEs of PostgreSQL: no_data, and cardinality_violation. */
const NO_DATA = '02000';
const OTHER_NUMBER = '21000';

function unlikeBefore(
  { item }: CorrectedRecord,
  now: MadeCount | undefined,
  before: MadeCount | undefined,
): RejectReason | undefined {
  if (now === undefined)
    return { kind: 'invalid', sqlState: NO_DATA, message: 'the feed makes no row of the corrected record' };
  if (item === 0 || now.hasFailed) return undefined;
  const wanted = before === undefined || before.hasFailed ? Math.max(item, now.rows) : before.rows;
  if (wanted === now.rows) return undefined;
  const message = `the corrected record makes ${countOf(now.rows, 'row')} instead of ${wanted}: which of them is row ${item}, which was rejected, cannot be told`;
  return { kind: 'invalid', sqlState: OTHER_NUMBER, message };
}

async function readMade({ client }: Connection): Promise<Map<number, MadeRow>> {
  const rows = await queryRows(
    client,
    { ordinal: integer, record: integer, item: integer },
    'select ordinal, record, item_number as item from pg_temp.ecompipe_made',
  );
  return new Map(rows.map((row) => [row.ordinal, row]));
}
