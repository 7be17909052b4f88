import assert from 'node:assert/strict';
import { elementAt } from '../../../platform/elementAt.js';
import type { Connection } from '../../../platform/db/client.js';
import type { BoundFeed } from '../../../contract/feeds/bindFeed.js';
import type { Batch } from '../batch.js';
import { assertAllJudged, insertRows, type Verdicts } from '../staged/judge.js';
import type { Records } from '../staged/records.js';
import { prepareStage } from '../staged/stage.js';
import type { TargetTable } from '../targetTable.js';
import { planFeed, type FeedPlan } from './feedPlan.js';
import { stageSource } from './stageSource.js';
import { integer, queryRow, queryRows } from '../../../platform/db/decodeRows.js';

/** Where a row of a feed comes from: its record, and which of the record's rows it is (0: the only one). */
export interface RowOrigin {
  readonly record: number;
  readonly item: number;
}

/** What became of a batch's records by a feed; malformed ones are not among them. */
export interface FeedVerdicts extends Verdicts {
  /** By part: rows that were made, and records that were skipped. */
  readonly made: readonly { readonly rows: number; readonly skipped: number }[];
  /** Where the rows that were not inserted come from. */
  readonly originOf: (ordinal: number) => RowOrigin;
}

/** Stages the records, makes rows of them by the feed, and has the database judge those. Part of the caller's transaction. */
export async function judgeFeed(
  connection: Connection,
  batch: Batch,
  bound: BoundFeed,
  records: Records,
  target: TargetTable,
  waitForTurn: () => Promise<void>,
): Promise<FeedVerdicts> {
  const { plan, made } = await makeRows(connection, batch, bound, records, target);
  return await judgeRows(connection, plan, made, target, waitForTurn);
}

/** Stages the records and makes rows of them, in the types of the table. */
export async function makeRows(
  connection: Connection,
  batch: Batch,
  bound: BoundFeed,
  records: Records,
  target: TargetTable,
): Promise<{ readonly plan: FeedPlan; readonly made: FeedVerdicts['made'] }> {
  const plan = await planFeed(connection, bound, target);
  await prepareStage(connection, target, plan.columns);
  await stageSource(connection, batch, bound, records);
  return { plan, made: await transformSource(connection, plan, soundParts(batch, records)) };
}

/** What is staged of each part, in order. */
export interface StagedPart {
  readonly firstOrdinal: number;
  /** Records that are such by structure. */
  readonly sound: number;
}

function soundParts(batch: Batch, records: Records): StagedPart[] {
  const sound = batch.parts.map((_, index) => records.rowsOf(index));
  for (const ordinal of records.malformed.keys()) {
    const { partIndex } = records.at(ordinal);
    sound[partIndex] = elementAt(sound, partIndex) - 1;
  }
  return sound.map((count, index) => ({ firstOrdinal: records.firstOrdinalOf(index), sound: count }));
}

/** Makes rows of the records in the session's stage, and has the database judge those. Part of the caller's transaction. */
export async function judgeSource(
  connection: Connection,
  plan: FeedPlan,
  parts: readonly StagedPart[],
  target: TargetTable,
  waitForTurn: () => Promise<void>,
): Promise<FeedVerdicts> {
  const made = await transformSource(connection, plan, parts);
  return await judgeRows(connection, plan, made, target, waitForTurn);
}

async function transformSource(
  connection: Connection,
  plan: FeedPlan,
  parts: readonly StagedPart[],
): Promise<FeedVerdicts['made']> {
  const made = await expand(connection, plan, parts);
  await transformRows(connection, plan);
  return made;
}

/** Brings the rows that were made, or the records where each is one, into the typed stage of the table. */
export async function transformRows({ client, userPath }: Connection, plan: FeedPlan): Promise<void> {
  await client.query('select ecompipe.transform_records($1, $2, $3, $4, $5, $6)', [
    plan.insert,
    plan.makesRows,
    plan.defects,
    plan.probes.map(({ column }) => column),
    plan.probes.map(({ query }) => query),
    userPath,
  ]);
}

async function judgeRows(
  connection: Connection,
  plan: FeedPlan,
  made: FeedVerdicts['made'],
  target: TargetTable,
  waitForTurn: () => Promise<void>,
): Promise<FeedVerdicts> {
  const verdicts = await insertRows(connection, target, plan.columns, waitForTurn);
  assertAllJudged(
    verdicts,
    made.reduce((sum, { rows }) => sum + rows, 0),
  );
  const originOf = plan.hasItems
    ? await readOrigins(connection, [...verdicts.rejected, ...verdicts.duplicates])
    : (ordinal: number): RowOrigin => ({ record: ordinal, item: 0 });
  return { ...verdicts, made, originOf };
}

/** Makes the rows of the staged records; where each record is one, there is nothing to do but to count whether all of them arrived. */
export async function expand(
  { client, userPath }: Connection,
  plan: FeedPlan,
  stagedParts: readonly StagedPart[],
): Promise<FeedVerdicts['made']> {
  const staged = stagedParts.reduce((sum, { sound }) => sum + sound, 0);
  const counted = await queryRow(client, { count: integer }, 'select count(*) from pg_temp.ecompipe_source');
  assert.equal(counted.count, staged, 'the server staged as many records as were sent');
  if (plan.expand === undefined) return stagedParts.map(({ sound }) => ({ rows: sound, skipped: 0 }));
  const thresholds = stagedParts.map(({ firstOrdinal }) => firstOrdinal).slice(1);
  const parts = await queryRows(
    client,
    { part: integer, made: integer, skipped: integer },
    'select part, made, skipped from ecompipe.expand_records($1, $2, $3, $4)',
    [plan.expand, plan.hasItems, thresholds, userPath],
  );
  return stagedParts.map((_, index) => {
    const found = parts.find(({ part }) => part === index);
    return { rows: found?.made ?? 0, skipped: found?.skipped ?? 0 };
  });
}

async function readOrigins({ client }: Connection, ordinals: readonly number[]): Promise<FeedVerdicts['originOf']> {
  const rows = await queryRows(
    client,
    { ordinal: integer, record: integer, item: integer },
    'select ordinal, record, item_number as item from pg_temp.ecompipe_made where ordinal = any ($1)',
    [ordinals],
  );
  const origins = new Map(rows.map(({ ordinal, ...origin }) => [ordinal, origin]));
  return (ordinal) => {
    const origin = origins.get(ordinal);
    assert(origin !== undefined, `row ${ordinal} was made of a record`);
    return origin;
  };
}
