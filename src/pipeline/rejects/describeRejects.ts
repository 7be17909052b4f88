import type { RejectFilter } from './filter.js';
import type { Reject, RejectGroup, RejectList } from './list.js';
import type { ReplayResult } from './replay.js';
import type { RejectedRow } from './show.js';
import { clip } from '../../platform/clip.js';
import { printableLine, shellQuote } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

const MAX_GROUPS = 20;
const MAX_REPORTED = 20;

export function describeList({ groups, total, rejects }: RejectList, { all }: RejectFilter): string {
  const open = all ? '' : 'open ';
  if (total === 0) return `no ${open}rejects`;
  const lines = [
    `${countOf(total, `${open}reject`)}, by reason:`,
    ...groups.slice(0, MAX_GROUPS).map(describeGroup),
    ...(groups.length > MAX_GROUPS ? [`  and ${countOf(groups.length - MAX_GROUPS, 'more reason')}`] : []),
    '',
    rejects.length < total ? `the newest ${rejects.length}:` : 'newest first:',
    ...rejects.map(
      (reject) =>
        `  ${printableLine(describePlace(reject))}  ${reject.sqlState}  ${firstLine(reject.message)}${reject.resolution === null ? '' : `  (resolved: ${reject.resolution})`}`,
    ),
    '',
    'to correct them: ecompipe rejects export --output FILE, edit it, ecompipe rejects replay FILE',
  ];
  return lines.join('\n');
}

function describeGroup({ rows, files, sqlState, rule, example }: RejectGroup): string {
  return `  ${String(rows).padStart(7)}  ${sqlState}  ${printableLine(rule)} in ${files} ${files === 1 ? 'file' : 'files'}, such as: ${firstLine(example)}`;
}

function describePlace({ rejectId, file, line }: Reject): string {
  return `#${rejectId}  ${file}:${line}`;
}

/** One line of a message, as long as one line may be. */
function firstLine(text: string): string {
  return clip(text.split('\n', 1).join(), 160);
}

export function describeReject(row: RejectedRow): string {
  const {
    rejectId,
    file,
    line,
    byteOffset,
    batchId,
    rejectedAt,
    kind,
    sqlState,
    column,
    constraint,
    message,
    raw,
    rawBase64,
    columns,
    fields,
  } = row;
  const facts: [string, string | null][] = [
    ['place', `${file}:${line}, byte ${byteOffset}`],
    ['rejected', `${rejectedAt.toISOString()} in batch ${batchId}`],
    ['SQLSTATE', `${sqlState} (${kind})`],
    ['column', column],
    ['rule', constraint],
    ['why', message],
    ['resolved', describeResolution(row)],
  ];
  const values =
    fields === null
      ? []
      : columns.flatMap((name, index) => {
          const value = fields[index] ?? null;
          return value === null ? [] : [`  ${printableLine(name).padEnd(14)} ${printableLine(value)}`];
        });
  return [
    `reject ${rejectId}`,
    ...facts.flatMap(([name, text]) => (text === null ? [] : [`  ${name.padEnd(9)} ${printableLine(text)}`])),
    '',
    rawBase64 === null
      ? 'the row as it came:'
      : 'the row as it came (\\xNN: bytes that are no text; --json has them all):',
    ...raw.split('\n').map((text) => `  | ${text}`),
    ...(values.length === 0 ? [] : ['', 'its values:', ...values]),
    '',
    whatToDo(row),
  ].join('\n');
}

function describeResolution({ resolution, resolvedAt, resolvedBy, resolvedBatchId, eventId }: Reject): string | null {
  if (resolution === null) return null;
  const how = resolution === 'inserted' ? 'a corrected row was inserted' : 'an equal event was in the table already';
  return `${resolvedAt?.toISOString() ?? ''} by ${resolvedBy ?? ''}: ${how} (event ${eventId ?? ''}, batch ${resolvedBatchId ?? 0})`;
}

function whatToDo({ resolution, kind, file }: RejectedRow): string {
  if (resolution !== null) return 'nothing is left to do';
  if (kind === 'conflict')
    return `to do: the first delivery of this event stays. Ask the producer which one is right; to load this one besides, give it another event_id: ecompipe rejects export --file ${shellQuote(file)} --output FILE, edit it, ecompipe rejects replay FILE`;
  return `to do: ecompipe rejects export --file ${shellQuote(file)} --output FILE, correct the ${kind === 'malformed' ? 'reject_raw of the row' : 'row'}, ecompipe rejects replay FILE`;
}

export function describeReplay(
  { read, inserted, duplicate, rejected, resolvedBefore, unknown, batchIds, rejectedAgain }: ReplayResult,
  file: string,
): string {
  const lines = [
    `${read} ${read === 1 ? 'row' : 'rows'} of ${printableLine(file)}: ${inserted} inserted${duplicate > 0 ? `, ${duplicate} in the table already` : ''}${batchIds.length === 0 ? '' : ` (batch ${batchIds.join(', ')})`}`,
  ];
  if (resolvedBefore > 0) lines.push(`  ${resolvedBefore} resolved before: left alone`);
  if (unknown > 0) lines.push(`  ${unknown} of no reject that this database has: not loaded`);
  if (rejected > 0)
    lines.push(
      `  ${rejected} rejected again; they stay open:`,
      ...rejectedAgain
        .slice(0, MAX_REPORTED)
        .map(({ rejectId, line, reason }) =>
          printableLine(`    ${file}:${line} (reject ${rejectId}): ${reason.sqlState} ${reason.message}`),
        ),
    );
  if (rejectedAgain.length > MAX_REPORTED) lines.push(`    and ${rejected - MAX_REPORTED} more`);
  return lines.join('\n');
}
