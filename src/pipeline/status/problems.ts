import { soleRow } from '../../platform/db/soleRow.js';
import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { float, integer, text } from '../../platform/db/decodeRows.js';

/** What went wrong of late; all ages by the server's clock. */
export interface Problems {
  /** Rows of the last hour's batches (at most the latest 5,000): how many were read, and rejected. */
  readonly recentRead: number;
  readonly recentRejected: number;
  readonly recentQuarantined: number;
  readonly lastReject:
    | {
        readonly file: string;
        readonly line: number;
        readonly kind: string;
        readonly message: string;
        readonly ageMs: number;
      }
    | undefined;
  readonly lastQuarantine: { readonly file: string; readonly reason: string; readonly ageMs: number } | undefined;
}

const HOUR = `interval '1 hour'`;

export async function readProblems(ask: QueryFn): Promise<Problems> {
  const sums = await ask(
    { recentRead: integer, recentRejected: integer, recentQuarantined: integer },
    `select coalesce(sum(rows_read), 0)::bigint as recent_read, coalesce(sum(rows_rejected), 0)::bigint as recent_rejected,
            (select count(*) from ecompipe.file_entries where state = 'quarantined' and finished_at > clock_timestamp() - ${HOUR}) as recent_quarantined
     from (select * from ecompipe.batches order by batch_id desc limit 5000) as latest
     where committed_at > clock_timestamp() - ${HOUR}`,
  );
  const [lastReject] = await ask(
    { file: text, line: integer, kind: text, message: text, ageMs: float },
    `select f.name as file, r.line, r.kind, r.message, (extract(epoch from clock_timestamp() - r.rejected_at) * 1000)::float8 as age_ms
     from ecompipe.rejected_rows r join ecompipe.files f using (file_id) order by r.reject_id desc limit 1`,
  );
  const [lastQuarantine] = await ask(
    { file: text, reason: text, ageMs: float },
    `select name as file, reason, (extract(epoch from clock_timestamp() - finished_at) * 1000)::float8 as age_ms
     from ecompipe.file_entries where state = 'quarantined' order by finished_at desc nulls last limit 1`,
  );
  return { ...soleRow(sums), lastReject, lastQuarantine };
}
