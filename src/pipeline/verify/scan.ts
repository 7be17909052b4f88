import { InterruptedError } from '../../platform/errors.js';
import type { Connection } from '../../platform/db/client.js';
import type { Database } from '../../platform/db/target.js';
import { contentSql, fingerprintSql, idTailSql } from '../../contract/manifest/checksum.js';
import type { VerifyEvent } from './verifyEvents.js';
import { integer, nullable, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/** 128 MiB of the table, about half a million rows: a step of progress, and the memory that one answer may take. */
const CHUNK_BLOCKS = 16_384;

/**
 * SQL of a row's values that are summed, and of their sums. The values come from a subquery that the planner must not
 * dissolve (`offset 0`), or it computes the longest of them twice a row: 1.6 times as slow.
 */
export const VALUES = `e.price * coalesce(e.quantity, 1) as money, ${idTailSql()} as id_tail, ${contentSql()} as content`;
export const SUMS = `count(*) as rows, coalesce(sum(money), 0) * 100 as cents, sum(id_tail) as id_sum, sum(${fingerprintSql('id_tail', 'content')}) as content_sum`;

interface Sums {
  readonly batchId: number | null;
  readonly eventType: string | null;
  readonly rows: number;
  readonly cents: string;
  readonly idSum: string;
  readonly contentSum: string;
}

const SUMS_ROW: Shape<Sums> = {
  batchId: nullable(integer),
  eventType: nullable(text),
  rows: integer,
  cents: text,
  idSum: text,
  contentSum: text,
};

export interface ScanResult {
  readonly rowsScanned: number;
  /** Rows that no batch of the ledger loaded. */
  readonly rowsWithoutBatch: number;
}

/**
 * Reads `public.events` once, in ranges of blocks of its partitions, if it has any, and sums it by batch and type into the temporary table `observed`. The
 * readers share the caller's snapshot, so that what is loaded meanwhile is not there for any of them.
 * @param snapshot of the caller's transaction, from pg_export_snapshot().
 */
export async function scanEvents(
  connection: Connection,
  database: Database,
  snapshot: string,
  readers: number,
  stop: AbortSignal,
  emit: (event: VerifyEvent) => void,
): Promise<ScanResult> {
  const { client } = connection;
  await client.query(
    'create temp table observed (batch_id bigint, event_type text not null, rows bigint not null, cents numeric not null, id_sum numeric not null, content_sum numeric not null)',
  );
  const chunks = await listChunks(connection);
  let [next, done, rowsScanned, rowsWithoutBatch] = [0, 0, 0, 0];
  const failed = new AbortController();
  // The caller's connection takes one query at a time.
  let writing: Promise<unknown> = Promise.resolve();
  const read = async (): Promise<void> => {
    const reader = await openReader(database, snapshot);
    try {
      for (let chunk = chunks[next]; chunk !== undefined && !failed.signal.aborted; chunk = chunks[next]) {
        next++;
        if (stop.aborted)
          throw new InterruptedError({ what: 'verify was interrupted', outcome: 'nothing is proved either way' });
        const sums = await sumChunk(reader, chunk);
        writing = writing.then(() => store(connection, sums));
        await writing;
        for (const { rows, batchId } of sums) {
          rowsScanned += rows;
          if (batchId === null) rowsWithoutBatch += rows;
        }
        emit({ type: 'tableScanned', share: ++done / chunks.length, rows: rowsScanned });
      }
    } catch (error) {
      failed.abort();
      throw error;
    } finally {
      await reader.close();
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(readers, chunks.length) }, read));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return { rowsScanned, rowsWithoutBatch };
}

/** A range of blocks of the table, or of one of its partitions; all of a foreign one, which has no blocks for us. */
interface Chunk {
  readonly relation: string;
  readonly startBlock: number | null;
}

const CHUNK: Shape<Chunk> = { relation: text, startBlock: nullable(integer) };

async function listChunks({ client }: Connection): Promise<Chunk[]> {
  return await queryRows(
    client,
    CHUNK,
    `
    select c.oid::regclass::text as relation, b.start_block
    from pg_class c
    cross join lateral (
      select start_block::int8
      from generate_series(0::int8, pg_relation_size(c.oid) / current_setting('block_size')::int8 - 1, ${CHUNK_BLOCKS}) as start_block
      where c.relkind = 'r'
      union all
      select null where c.relkind = 'f'
    ) as b
    where c.oid = 'public.events'::regclass or c.oid in (select relid from pg_partition_tree('public.events') where isleaf)
    order by c.oid, b.start_block`,
  );
}

async function openReader(database: Database, snapshot: string): Promise<Connection> {
  const reader = await database.open();
  try {
    await reader.client.query(
      `begin isolation level repeatable read read only; set transaction snapshot '${snapshot}'`,
    );
    return reader;
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function sumChunk({ client }: Connection, { relation, startBlock }: Chunk): Promise<Sums[]> {
  const tid = (block: number): string => `'(${block},0)'::tid`;
  const inChunk =
    startBlock === null ? 'true' : `e.ctid >= ${tid(startBlock)} and e.ctid < ${tid(startBlock + CHUNK_BLOCKS)}`;
  return await queryRows(
    client,
    SUMS_ROW,
    `with sums as (
       select batch_id, event_type, ${SUMS}
       from (
         select e.batch_id, e.event_type, ${VALUES}
         from only ${relation} e
         where ${inChunk}
         offset 0
       ) as value
       group by batch_id, event_type
     )
     select batch_id, event_type, rows, cents, id_sum, content_sum from sums`,
  );
}

async function store({ client }: Connection, sums: readonly Sums[]): Promise<void> {
  await client.query(
    'insert into observed select * from unnest ($1::bigint[], $2::text[], $3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[])',
    [
      sums.map(({ batchId }) => batchId),
      sums.map(({ eventType }) => eventType),
      sums.map(({ rows }) => rows),
      sums.map(({ cents }) => cents),
      sums.map(({ idSum }) => idSum),
      sums.map(({ contentSum }) => contentSum),
    ],
  );
}
