import type { Connection } from '../../platform/db/client.js';
import type { Findings } from './findings.js';
import { boolean, integer, nullable, queryRows, text } from '../../platform/db/decodeRows.js';

/** So many rows are read at once; more are still counted. */
const MAX_ROWS = 10_000;

/** What both queries tell of a row. */
const REJECT_ROW = { file: text, line: integer, total: integer };

/** Compares the rows that must have been rejected with those that were, by file and line. */
export async function compareRejects(connection: Connection, findings: Findings): Promise<void> {
  await reportMissing(connection, findings);
  await reportUnexpected(connection, findings);
}

/** Not among the rejects: then the table has it, or nobody has. */
async function reportMissing({ client }: Connection, findings: Findings): Promise<void> {
  const rows = await queryRows(
    client,
    { ...REJECT_ROW, eventId: nullable(text), kind: text, isInTable: boolean, isDuplicate: boolean },
    `
    select e.name as file, t.line, t.event_id, t.kind, count(*) over () as total,
           t.kind <> 'conflict' and exists (select from public.events v where v.event_id::text = t.event_id and v.event_id = ${uuidOrNull('t.event_id')}) as is_in_table,
           exists (select from ecompipe.duplicate_rows d where d.file_id = e.file_id and d.line = t.line) as is_duplicate
    from expected_fault t
    join expected_file e using (file_no)
    where t.outcome = 'rejected' and e.state = 'loaded' and e.quarantined is null
      and not exists (select from ecompipe.rejected_rows r where r.file_id = e.file_id and r.line = t.line)
    order by e.file_no, t.line
    limit ${MAX_ROWS}`,
  );
  for (const { file, line, eventId, kind, isInTable, isDuplicate } of rows) {
    const place = { file, line, ...(eventId === null ? {} : { eventId }) };
    if (isInTable || isDuplicate)
      findings.add({
        kind: 'wronglyAccepted',
        ...place,
        detail: `${isDuplicate ? 'taken as a duplicate' : 'in the table'}, but must be rejected (${kind})`,
      });
    else findings.add({ kind: 'lost', ...place, detail: `must be among the rejects (${kind}) and is nowhere` });
  }
  findings.addRest('lost', rows);
}

async function reportUnexpected({ client }: Connection, findings: Findings): Promise<void> {
  const rows = await queryRows(
    client,
    { ...REJECT_ROW, detail: text },
    `
    select e.name as file, r.line, r.message as detail, count(*) over () as total
    from ecompipe.rejected_rows r
    join expected_file e using (file_id)
    where e.quarantined is null
      and not exists (select from expected_fault t where t.file_no = e.file_no and t.line = r.line and t.outcome = 'rejected')
    order by e.file_no, r.line
    limit ${MAX_ROWS}`,
  );
  for (const { file, line, detail } of rows)
    findings.add({ kind: 'wronglyRejected', file, line, detail: `rejected, but must be accepted: ${detail}` });
  findings.addRest('wronglyRejected', rows);
}

/** SQL of a text as uuid, null where it is not one. */
function uuidOrNull(column: string): string {
  return `case when ${column} ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then ${column}::uuid end`;
}
