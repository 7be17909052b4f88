import { withConnection, type Database } from '../../platform/db/target.js';
import { countOf, formatSpan } from '../../platform/format.js';
import { printableLine } from '../../platform/printable.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { integer, nullable, oneOf, queryRows, type Shape, text, timestamp } from '../../platform/db/decodeRows.js';

/** What can be off between the ledger and the tables, in the order in which it is reported. */
export const LEDGER_FINDING_KINDS = ['lost', 'surplus', 'unknownBatch', 'miscounted'] as const;

/**
 * - `lost`: the table has fewer rows of a batch than it committed (`delete`, `truncate`, a restored backup).
 * - `surplus`: the table has more rows of a batch than it committed.
 * - `unknownBatch`: rows that name a batch which the ledger does not have.
 * - `miscounted`: the ledger contradicts itself: rejects, duplicates, ranges or sums that don't add up.
 */
export type LedgerFindingKind = (typeof LEDGER_FINDING_KINDS)[number];

export interface LedgerFinding {
  readonly kind: LedgerFindingKind;
  readonly detail: string;
}

export interface LedgerProof {
  /** Table and ledger agree. */
  readonly ok: boolean;
  readonly batches: number;
  readonly files: number;
  /** Rows that the ledger says its batches inserted, without those that were taken out again or pruned. */
  readonly rows: number;
  /** Rows of the tables that no batch loaded; nothing is claimed of them. */
  readonly rowsWithoutBatch: number;
  /** Tables that feeds load into and of which nothing can be claimed: gone, or without a column `batch_id`. */
  readonly unprovedTables: readonly string[];
  /** How many rows (batches or files for `miscounted`) are off, by kind. */
  readonly counts: Readonly<Record<LedgerFindingKind, number>>;
  /** At most {@link MAX_FINDINGS} examples. */
  readonly findings: readonly LedgerFinding[];
  readonly durationMs: number;
}

const MAX_FINDINGS = 100;

/** A table that batches were loaded into: as the ledger names it, and as SQL where it can be proved. */
interface LedgerTable {
  readonly target: string;
  readonly relation: string | null;
}

const LEDGER_TABLE: Shape<LedgerTable> = { target: text, relation: nullable(text) };

const TABLES = `
  select t.target, case when exists (
           select from pg_attribute a where a.attrelid = to_regclass(t.target) and a.attname = 'batch_id' and not a.attisdropped
         ) then to_regclass(t.target)::text end as relation
  from (select 'public.events' as target union select target from ecompipe.batches where target is not null) as t
  order by t.target`;

/** Rows of each batch in its table beside what the ledger says; the batches of one kind of finding, largest first. */
const batchesSql = (tables: readonly LedgerTable[]): string => `
  with proved as (
    select target from unnest ($2::text[]) as target
  ), found as (
    ${tables.map(({ relation }, index) => `select ($2::text[])[${index + 1}] as target, batch_id::int8 as batch_id, count(*) as rows from ${relation} where batch_id is not null group by 1, 2`).join(' union all ')}
  ), entered as (
    select *, coalesce(target, 'public.events') as table_name from ecompipe.batches where coalesce(target, 'public.events') in (select target from proved)
  ), compared as (
    select coalesce(b.batch_id, f.batch_id) as batch_id, b.committed_at, b.rows_inserted - b.rows_pruned as rows_inserted, coalesce(f.rows, 0) as rows,
           case when b.batch_id is null then 'unknownBatch' when coalesce(f.rows, 0) < b.rows_inserted - b.rows_pruned then 'lost' else 'surplus' end as kind
    from entered b full join found f on f.batch_id = b.batch_id and f.target = b.table_name
    where coalesce(f.rows, 0) is distinct from b.rows_inserted - b.rows_pruned
  )
  select kind, batch_id, rows, coalesce(rows_inserted, 0) as committed, committed_at,
         (select string_agg(name, ', ' order by name) from (
            select distinct f.name from ecompipe.batch_ranges r join ecompipe.files f using (file_id)
            where r.batch_id = compared.batch_id order by f.name limit 3) as first) as files,
         sum(abs(rows - coalesce(rows_inserted, 0))) over (partition by kind)::bigint as total
  from compared
  order by kind, abs(rows - coalesce(rows_inserted, 0)) desc, batch_id
  limit $1`;

/** Of older batches some of the files may have been compacted, with their rejects and duplicates. */
const NOT_COMPACTED = `b.committed_at >= (select coalesce(max(ledger_before), '-infinity') from ecompipe.prunes)`;

/** What the ledger must say of itself, each as a query that returns a line for every contradiction. */
const CONTRADICTIONS: readonly string[] = [
  // A replay's rejects stand with the batch that rejected them first.
  `select format('batch %s counted %s rejected rows, and %s are kept', b.batch_id, b.rows_rejected, coalesce(r.rows, 0))
   from ecompipe.batches b
   left join (select batch_id, count(*) as rows from ecompipe.rejected_rows group by batch_id) r using (batch_id)
   where b.load_path <> 'replay' and b.rows_rejected <> coalesce(r.rows, 0) and ${NOT_COMPACTED}`,
  `select format('batch %s counted %s duplicates, and %s are noted', b.batch_id, b.rows_duplicate, coalesce(d.rows, 0))
   from ecompipe.batches b
   left join (select batch_id, count(*) as rows from ecompipe.duplicate_rows group by batch_id) d using (batch_id)
   where b.load_path <> 'replay' and b.rows_duplicate <> coalesce(d.rows, 0) and ${NOT_COMPACTED}`,
  `select format('batch %s counted %s rows in %s bytes, and its files have %s in %s', b.batch_id, b.rows_read, b.bytes, coalesce(r.rows, 0), coalesce(r.bytes, 0))
   from ecompipe.batches b
   left join (
     select batch_id, sum(rows_read) as rows, sum(end_offset - start_offset) as bytes from ecompipe.batch_ranges group by batch_id
   ) r using (batch_id)
   where b.load_path <> 'replay' and (b.rows_read, b.bytes) is distinct from (coalesce(r.rows, 0), coalesce(r.bytes, 0)) and ${NOT_COMPACTED}`,
  `select format('%s counted %s rows in %s bytes, and its ranges have %s in %s', f.name, f.rows_read, f.committed_offset, coalesce(r.rows, 0), coalesce(r.bytes, 0))
   from ecompipe.files f
   left join (
     select file_id, sum(rows_read) as rows, sum(end_offset - start_offset) as bytes from ecompipe.batch_ranges group by file_id
   ) r using (file_id)
   where f.state not in ('quarantined', 'pruned') and (f.rows_read, f.committed_offset) is distinct from (coalesce(r.rows, 0), coalesce(r.bytes, 0))`,
  `select format('%s has a gap or an overlap before byte %s', f.name, r.start_offset)
   from (
     select file_id, start_offset, lag(end_offset, 1, 0::bigint) over (partition by file_id order by start_offset) as expected
     from ecompipe.batch_ranges
   ) r join ecompipe.files f using (file_id)
   where r.start_offset <> r.expected`,
];

/**
 * Proves that the tables hold what the ledger says was loaded, without the generator's manifests: the rows of every
 * batch, and that rejects, duplicates and byte ranges add up. Reads one snapshot, so that a running stream does no harm.
 * What it can't see is a row that was exchanged for another one of the same batch.
 * @throws DatabaseError. A contradiction is a result, not an error.
 */
export async function proveLedger(database: Database): Promise<LedgerProof> {
  const startMs = performance.now();
  return await withConnection(database, 'cannot verify the ledger', async ({ client }) => {
    const counts = { lost: 0, surplus: 0, unknownBatch: 0, miscounted: 0 };
    const findings: LedgerFinding[] = [];
    await client.query('begin isolation level repeatable read read only');
    const tables = await queryRows(client, LEDGER_TABLE, TABLES);
    const proved = tables.filter(({ relation }) => relation !== null);
    const targets = proved.map(({ target }) => target);
    const batches = await queryRows(client, COMPARED_BATCH, batchesSql(proved), [MAX_FINDINGS, targets]);
    for (const batch of batches) {
      counts[batch.kind] = batch.total;
      findings.push({ kind: batch.kind, detail: describeBatch(batch) });
    }
    for (const sql of CONTRADICTIONS) {
      const rows = await queryRows(
        client,
        { detail: text, total: integer },
        `select detail, count(*) over () as total from (${sql}) as c (detail) limit $1`,
        [MAX_FINDINGS],
      );
      counts.miscounted += rows[0]?.total ?? 0;
      for (const { detail } of rows) if (findings.length < MAX_FINDINGS) findings.push({ kind: 'miscounted', detail });
    }
    const totals = await queryRows(
      client,
      LEDGER_TOTALS,
      `select count(*) as batches, (select count(*) from ecompipe.files) as files,
              coalesce(sum(rows_inserted - rows_pruned), 0)::bigint as rows,
              (${proved.map(({ relation }) => `(select count(*) from ${relation} where batch_id is null)`).join(' + ')}) as rows_without_batch
       from ecompipe.batches where coalesce(target, 'public.events') = any ($1)`,
      [targets],
    );
    await client.query('commit');
    const total = soleRow(totals);
    const ok = Object.values(counts).every((count) => count === 0);
    const unprovedTables = tables.filter(({ relation }) => relation === null).map(({ target }) => target);
    return { ok, ...total, unprovedTables, counts, findings, durationMs: Math.round(performance.now() - startMs) };
  });
}

interface LedgerTotals {
  readonly batches: number;
  readonly files: number;
  readonly rows: number;
  readonly rowsWithoutBatch: number;
}

const LEDGER_TOTALS: Shape<LedgerTotals> = {
  batches: integer,
  files: integer,
  rows: integer,
  rowsWithoutBatch: integer,
};

interface ComparedBatch {
  readonly kind: Exclude<LedgerFindingKind, 'miscounted'>;
  readonly batchId: number;
  readonly rows: number;
  readonly committed: number;
  readonly committedAt: Date | null;
  /** Names of the first three files that the batch loaded; null for a replay or an unknown batch. */
  readonly files: string | null;
  /** Rows that are off in all batches of this kind. */
  readonly total: number;
}

const COMPARED_BATCH: Shape<ComparedBatch> = {
  kind: oneOf('lost', 'surplus', 'unknownBatch'),
  batchId: integer,
  rows: integer,
  committed: integer,
  committedAt: nullable(timestamp),
  files: nullable(text),
  total: integer,
};

function describeBatch({ kind, batchId, rows, committed, committedAt, files }: ComparedBatch): string {
  if (kind === 'unknownBatch') return `${countOf(rows, 'row')} of batch ${batchId}, which the ledger does not have`;
  const origin = files === null ? '' : ` from ${printableLine(files)}`;
  const time = committedAt === null ? '' : ` at ${committedAt.toISOString()}`;
  return `batch ${batchId} committed ${countOf(committed, 'row')}${origin}${time}, and the table has ${countOf(rows, 'row')} of it`;
}

const LABELS: Readonly<Record<LedgerFindingKind, string>> = {
  lost: 'lost',
  surplus: 'surplus',
  unknownBatch: 'of unknown batches',
  miscounted: 'miscounted',
};

const MAX_SHOWN = 20;

/** The proof for people: the verdict in one line, what it covers, and what is off. */
export function describeLedgerProof({
  counts,
  batches,
  files,
  rows,
  rowsWithoutBatch,
  unprovedTables,
  findings,
  ...rest
}: LedgerProof): string {
  const foreign =
    rowsWithoutBatch === 0 ? '' : `; ${countOf(rowsWithoutBatch, 'row')} without a batch were not checked`;
  return [
    LEDGER_FINDING_KINDS.map((kind) => `${LABELS[kind]} ${counts[kind]}`).join(' · '),
    `${countOf(rows, 'row')} in the ledger, ${countOf(batches, 'batch', 'batches')}, ${countOf(files, 'file')}${foreign}; ${formatSpan(rest.durationMs)}`,
    ...(unprovedTables.length === 0
      ? []
      : [`not proved, because there is no column batch_id: ${printableLine(unprovedTables.join(', '))}`]),
    ...findings.slice(0, MAX_SHOWN).map(({ kind, detail }) => `  ${LABELS[kind]}: ${detail}`),
    ...(findings.length > MAX_SHOWN ? [`  and more: --json shows the first ${findings.length}`] : []),
  ].join('\n');
}
