import type { Connection } from '../../platform/db/client.js';
import { EVENT_COLUMNS } from '../../contract/columns.js';
import type { Findings } from './findings.js';
import { integer, nullable, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/** So many rows of each kind are reported one by one; the rest is counted. */
const MAX_ROWS = 10_000;

const CONTENT = EVENT_COLUMNS.filter((column) => column !== 'event_id');

interface ComparedRow {
  readonly eventId: string;
  readonly file: string;
  readonly line: number;
  readonly detail: string;
  readonly total: number;
}

const COMPARED_ROW: Shape<ComparedRow> = { eventId: text, file: text, line: integer, detail: text, total: integer };

/** Compares `file_row` with the table, row by row and column by column. @returns whether any row is off. */
export async function compareRows(connection: Connection, findings: Findings): Promise<boolean> {
  const lost = await lostRows(connection);
  const corrupted = await corruptedRows(connection);
  report(findings, 'lost', lost);
  report(findings, 'corrupted', corrupted);
  const surplus = await reportSurplus(connection, findings);
  return lost.length + corrupted.length + surplus > 0;
}

async function lostRows({ client }: Connection): Promise<ComparedRow[]> {
  return await queryRows(
    client,
    COMPARED_ROW,
    `
    select *, count(*) over () as total
    from (
      select distinct on (r.event_id) r.event_id, f.name as file, r.line, 'not in the table' as detail
      from file_row r
      join expected_file f using (file_no)
      where not exists (select from public.events e where e.event_id = r.event_id)
      order by r.event_id, r.file_no, r.line
    ) as lost
    order by file, line
    limit ${MAX_ROWS}`,
  );
}

async function corruptedRows({ client }: Connection): Promise<ComparedRow[]> {
  const differences = CONTENT.map(
    (name) =>
      `case when r.${name} is distinct from e.${name} then format('%s is %L, must be %L', '${name}', e.${name}, r.${name}) end`,
  );
  return await queryRows(
    client,
    COMPARED_ROW,
    `
    select *, count(*) over () as total
    from (
      select distinct on (r.event_id) r.event_id, f.name as file, r.line, concat_ws('; ', ${differences.join(', ')}) as detail
      from file_row r
      join expected_file f using (file_no)
      join public.events e using (event_id)
      where ${CONTENT.map((name) => `r.${name} is distinct from e.${name}`).join(' or ')}
      order by r.event_id, r.file_no, r.line
    ) as corrupted
    order by file, line
    limit ${MAX_ROWS}`,
  );
}

/** Rows in the batches of these files that none of the files has. */
async function reportSurplus({ client }: Connection, findings: Findings): Promise<number> {
  const rows = await queryRows(
    client,
    { eventId: text, batchId: integer, rejectedAs: nullable(text), copyOf: nullable(text), total: integer },
    `
    with surplus as materialized (
      select e.*
      from public.events e
      join our_batch b using (batch_id)
      join narrowed using (component)
      where not exists (select from file_row r where r.event_id = e.event_id)
    )
    select s.event_id, s.batch_id,
           (select t.kind from expected_fault t where t.event_id = s.event_id::text and t.outcome = 'rejected' limit 1) as rejected_as,
           (select r.event_id from file_row r
            where r.session_id = s.session_id and r.event_time = s.event_time and r.event_type = s.event_type and r.product_id is not distinct from s.product_id
            limit 1) as copy_of,
           count(*) over () as total
    from surplus s
    order by s.event_id
    limit ${MAX_ROWS}`,
  );
  for (const { eventId, batchId, rejectedAs, copyOf } of rows) {
    if (rejectedAs !== null)
      findings.add({
        kind: 'wronglyAccepted',
        eventId,
        detail: `in the table (batch ${batchId}), but must be rejected (${rejectedAs})`,
      });
    else
      findings.add({
        kind: 'duplicated',
        eventId,
        detail:
          copyOf === null
            ? `in the table (batch ${batchId}), but in no file of that batch`
            : `a copy of event ${copyOf} under another id (batch ${batchId})`,
      });
  }
  findings.addRest('duplicated', rows);
  return rows.length;
}

/**
 * Rows that no batch loaded may be anybody's, but not copies of ours: same session, moment, type and product under
 * another id.
 */
export async function reportForeignCopies({ client }: Connection, findings: Findings): Promise<void> {
  const rows = await queryRows(
    client,
    { eventId: text, copyOf: text, total: integer },
    `
    select foreigner.event_id, min(ours.event_id::text) as copy_of, count(*) over () as total
    from public.events foreigner
    join public.events ours
      on ours.session_id = foreigner.session_id and ours.event_time = foreigner.event_time and ours.event_type = foreigner.event_type
     and ours.user_id = foreigner.user_id and ours.product_id is not distinct from foreigner.product_id
    where foreigner.batch_id is null and ours.batch_id in (select batch_id from our_batch)
    group by foreigner.event_id
    order by foreigner.event_id
    limit ${MAX_ROWS}`,
  );
  for (const { eventId, copyOf } of rows)
    findings.add({
      kind: 'duplicated',
      eventId,
      detail: `a copy of event ${copyOf} under another id, loaded by no batch`,
    });
  findings.addRest('duplicated', rows);
}

function report(findings: Findings, kind: 'lost' | 'corrupted', rows: readonly ComparedRow[]): void {
  for (const { eventId, file, line, detail } of rows) findings.add({ kind, file, line, eventId, detail });
  findings.addRest(kind, rows);
}
