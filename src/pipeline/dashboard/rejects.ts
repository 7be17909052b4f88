import type { QueryFn } from '../../platform/db/readOnlyClient.js';
import { askWithin } from './askWithin.js';
import { RANGES, type Range } from './ranges.js';
import { soleRow } from '../../platform/db/soleRow.js';
import { bytea, float, integer, text } from '../../platform/db/decodeRows.js';

/** Rejected rows that nobody has corrected yet, of all tables that files are loaded into. */
export interface RejectFigures {
  /** All that were rejected within the range; null when there were too many to count in time. */
  readonly total: number | null;
  /** The latest ones, at most so many, are what `reasons` groups. */
  readonly looked: number;
  readonly reasons: readonly {
    readonly kind: string;
    readonly sqlState: string;
    readonly rule: string;
    readonly rows: number;
  }[];
  readonly examples: readonly {
    readonly file: string;
    readonly line: number;
    readonly kind: string;
    readonly message: string;
    readonly raw: string;
    readonly ageMs: number;
  }[];
}

const LOOKED_AT = 10_000;
const REASONS = 8;
const EXAMPLES = 5;
/** Of a row that may have a megabyte. */
const RAW_BYTES_SHOWN = 200;
const COUNT_TIMEOUT_MS = 1000;

export async function readRejects(ask: QueryFn, range: Range): Promise<RejectFigures> {
  const seconds = RANGES[range];
  const open = `resolved_at is null${seconds === undefined ? '' : ` and rejected_at > clock_timestamp() - interval '${seconds} seconds'`}`;
  const latest = `(select * from ecompipe.rejected_rows order by reject_id desc limit ${LOOKED_AT}) as latest where ${open}`;
  const total = await askWithin(ask, COUNT_TIMEOUT_MS, async () => {
    return soleRow(await ask({ rows: integer }, `select count(*) as rows from ecompipe.rejected_rows where ${open}`))
      .rows;
  });
  const looked = soleRow(await ask({ rows: integer }, `select count(*) as rows from ${latest}`)).rows;
  const reasons = await ask(
    { kind: text, sqlState: text, rule: text, rows: integer },
    `select kind, sql_state, left(coalesce(constraint_name, column_name, ''), 200) as rule, count(*) as rows
     from ${latest} group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit ${REASONS}`,
  );
  const examples = await ask(
    { file: text, line: integer, kind: text, message: text, ageMs: float, raw: bytea },
    `select f.name as file, r.line, r.kind, left(r.message, 300) as message, substr(r.raw, 1, ${RAW_BYTES_SHOWN}) as raw, greatest(0, extract(epoch from clock_timestamp() - r.rejected_at) * 1000)::float8 as age_ms
     from (select * from ${latest} order by reject_id desc limit ${EXAMPLES}) as r join ecompipe.files f using (file_id) order by r.reject_id desc`,
  );
  return {
    total: total ?? null,
    looked,
    reasons,
    // Invalid UTF-8 becomes the replacement character.
    examples: examples.map((example) => ({ ...example, raw: example.raw.toString('utf8') })),
  };
}
