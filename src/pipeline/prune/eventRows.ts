import assert from 'node:assert/strict';
import type { QueryResult } from 'pg';
import type { Connection } from '../../platform/db/client.js';
import { withUserPath } from '../../platform/db/sessionSettings.js';
import { withTransaction } from '../../platform/db/transaction.js';
import { failpoint } from '../../platform/failpoint.js';
import type { PrunedEvents } from './types.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { boolean, integer, nullable, queryRow, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/** About this many rows a transaction: a quarter of a second, whose locks nobody notices. */
const ROWS_AT_ONCE = 50_000;
/** 1 MiB of the table: what is counted together, and the smallest step of a removal. */
const BLOCKS_COUNTED = 128;

/** A table that has rows itself: `public.events`, or its partitions where it has some. */
interface Leaf {
  /** As SQL writes it. */
  readonly name: string;
  /** The bound of a partition in PostgreSQL's words; null: it is not one. */
  readonly bound: string | null;
  /** The session's role may drop it. */
  readonly isOwned: boolean;
}

const LEAF: Shape<Leaf> = { name: text, bound: nullable(text), isOwned: boolean };

/** A part of a leaf that has old rows. */
interface OldBlocks {
  readonly leaf: Leaf;
  /** Count of the blocks before, in units of {@link BLOCKS_COUNTED}. */
  readonly chunk: number;
  readonly rows: number;
  /** Some of them are of batches that are not in the rollups yet. */
  readonly arePending: boolean;
}

/** Where old rows are: found by the block-range index, so that a prune of one day doesn't read the years after it. */
export async function findOldEvents({ client }: Connection, before: Date): Promise<OldBlocks[]> {
  const leaves = await queryRows(
    client,
    LEAF,
    `
    select c.oid::regclass::text as name, pg_get_expr(c.relpartbound, c.oid) as bound,
           pg_has_role(current_user, c.relowner, 'USAGE') as is_owned
    from pg_class c
    where c.relkind = 'r'
      and (c.oid = 'public.events'::regclass or c.oid in (select relid from pg_partition_tree('public.events') where isleaf))
    order by 1`,
  );
  const found: OldBlocks[] = [];
  for (const leaf of leaves) {
    const blocks = await queryRows(
      client,
      { chunk: integer, rows: integer, arePending: boolean },
      `select ((ctid::text::point)[0])::bigint / ${BLOCKS_COUNTED} as chunk, count(*) as rows,
              coalesce(bool_or(batch_id in (select batch_id from analytics.pending_batches)), false) as are_pending
       from only ${leaf.name} where event_time < $1 group by 1 order by 1`,
      [before],
    );
    found.push(...blocks.map((part) => ({ leaf, ...part })));
  }
  return found;
}

/**
 * Removes events older than `before` in bounded transactions, each with its count in the ledger's batches: killed at any
 * moment, what is gone is accounted for, and the next run does the rest. A partition with nothing else is dropped.
 * @param removed hears of each transaction's rows after its commit.
 */
export async function removeOldEvents(
  connection: Connection,
  before: Date,
  found: readonly OldBlocks[],
  removed: (change: PrunedEvents) => void,
  checkStop: () => void,
): Promise<void> {
  for (const blocks of byLeaf(found)) {
    const [first] = blocks;
    assert(first !== undefined, 'a leaf is listed because it has old rows');
    if (isOver(first.leaf, before)) {
      const rows = await dropPartition(connection, first.leaf, before);
      if (rows !== undefined) {
        removed({ rows, partitions: [first.leaf.name] });
        continue;
      }
    }
    for (const [start, end] of spans(blocks)) {
      checkStop();
      const rows = await removeSpan(connection, first.leaf, before, start, end);
      removed({ rows, partitions: [] });
    }
  }
}

function byLeaf(found: readonly OldBlocks[]): OldBlocks[][] {
  const groups = new Map<Leaf, OldBlocks[]>();
  for (const part of found) groups.set(part.leaf, [...(groups.get(part.leaf) ?? []), part]);
  return [...groups.values()];
}

/** Ranges of blocks with about {@link ROWS_AT_ONCE} old rows each. */
function* spans(blocks: readonly OldBlocks[]): Generator<readonly [start: number, end: number]> {
  let [start, rows] = [0, 0];
  for (const [index, { chunk, rows: more }] of blocks.entries()) {
    if (rows === 0) start = chunk;
    rows += more;
    if (rows < ROWS_AT_ONCE && index < blocks.length - 1) continue;
    yield [start * BLOCKS_COUNTED, (chunk + 1) * BLOCKS_COUNTED];
    rows = 0;
  }
}

async function removeSpan(
  connection: Connection,
  { name }: Leaf,
  before: Date,
  start: number,
  end: number,
): Promise<number> {
  return await withTransaction(connection, async () => {
    const remove = (): Promise<QueryResult<{ rows: number }>> =>
      connection.client.query(
        `with gone as (
         delete from only ${name} where ctid >= '(${start},0)'::tid and ctid < '(${end},0)'::tid and event_time < $1
         returning batch_id
       ), counted as (
         ${noteRows('gone')}
       )
       select count(*) as rows from gone`,
        [before],
      );
    // Triggers of the table's owner may fire.
    const { rows } = await withUserPath(connection, remove);
    failpoint('ledger-written');
    return soleRow(rows).rows;
  });
}

/** Adds what was removed to the ledger's count, in the order of the batches: two prunes at once must not deadlock. */
function noteRows(source: string): string {
  return `
    update ecompipe.batches b set rows_pruned = b.rows_pruned + g.rows
    from (
      select l.batch_id, c.rows
      from (select batch_id, count(*) as rows from ${source} where batch_id is not null group by batch_id) c
      join lateral (select batch_id from ecompipe.batches where batch_id = c.batch_id for update) l on true
      order by l.batch_id
    ) g
    where b.batch_id = g.batch_id`;
}

/**
 * Event ids of version 7 begin with their time (RFC 9562): a partition of ids up to such a bound gets no younger events.
 * One that is bounded by anything else is emptied, not dropped.
 */
function isOver({ bound, isOwned }: Leaf, before: Date): boolean {
  const end = /TO \('([0-9a-f]{8})-([0-9a-f]{4})-/.exec(bound ?? '');
  return isOwned && end !== null && Number.parseInt(`${end[1] ?? ''}${end[2] ?? ''}`, 16) <= before.getTime();
}

/** @returns how many rows went with it; undefined when it has younger ones. */
async function dropPartition(connection: Connection, { name }: Leaf, before: Date): Promise<number | undefined> {
  const { client } = connection;
  return await withTransaction(connection, async () => {
    // Waiting would make every load wait behind us.
    await client.query(`set local lock_timeout = '2s'`);
    await client.query(`lock table public.events in access exclusive mode`);
    const { isYounger } = await queryRow(
      client,
      { isYounger: boolean },
      `select exists (select from only ${name} where event_time >= $1) as is_younger`,
      [before],
    );
    if (isYounger) return undefined;
    await client.query(noteRows(name));
    const { rows } = await queryRow(client, { rows: integer }, `select count(*) as rows from only ${name}`);
    await client.query(`drop table ${name}`);
    failpoint('ledger-written');
    return rows;
  });
}
