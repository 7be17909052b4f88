import type { RejectFilter, Reject, RejectGroup, RejectList } from './list.js';
import type { ReplayResult } from './replay.js';
import type { RejectedRow } from './show.js';
import { clip } from '../../platform/clip.js';
import { printableLine, shellQuote } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';
import { padTo, textWidth } from '../../platform/textWidth.js';
import { exportCommand } from './export.js';

const MAX_GROUPS = 20;
const MAX_REPORTED = 20;

export function describeList({ groups, feeds, total, rejects }: RejectList, { all }: RejectFilter): string {
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
    ...howToCorrect(feeds),
  ];
  return lines.join('\n');
}

/** What feeds load has other fields each: there is a file for every one of them. */
function howToCorrect(feeds: RejectList['feeds']): string[] {
  const [first] = feeds;
  if (feeds.length === 1 && first?.feed === null)
    return ['to correct them: ecompipe rejects export --output FILE, edit it, ecompipe rejects replay FILE'];
  const commands = feeds.map((each): [string, number] => [exportCommand(each), each.rows]);
  const width = Math.max(...commands.map(([command]) => textWidth(command)));
  return [
    'to correct them, edit what one of these writes, then: ecompipe rejects replay FILE',
    ...commands.map(([command, rows]) => `  ${padTo(command, width)}  # ${countOf(rows, 'row')}`),
  ];
}

function describeGroup({ rows, files, sqlState, rule, example }: RejectGroup): string {
  return `  ${String(rows).padStart(7)}  ${sqlState}  ${printableLine(rule)} in ${files} ${files === 1 ? 'file' : 'files'}, such as: ${firstLine(example)}`;
}

function describePlace({ rejectId, file, line, item }: Reject): string {
  return `#${rejectId}  ${file}:${line}${item === 0 ? '' : ` row ${item}`}`;
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
    feed,
    item,
  } = row;
  const facts: [string, string | null][] = [
    ['place', `${file}:${line}, byte ${byteOffset}${item === 0 ? '' : `, row ${item} of the record`}`],
    ['feed', feed],
    ['rejected', `${rejectedAt.toISOString()} in batch ${batchId}`],
    ['SQLSTATE', `${sqlState} (${kind})`],
    ['column', column],
    ['rule', constraint],
    ['why', message],
    ['resolved', describeResolution(row)],
  ];
  const width = Math.max(14, ...columns.map((name) => Math.min(40, textWidth(printableLine(name)))));
  const values =
    fields === null
      ? []
      : columns.flatMap((name, index) => {
          const value = fields[index] ?? null;
          return value === null ? [] : [`  ${padTo(printableLine(name), width)} ${printableLine(value)}`];
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

function whatToDo({ resolution, kind, file, item, feed, fields }: RejectedRow): string {
  if (resolution !== null) return 'nothing is left to do';
  const steps = (edit: string): string =>
    `ecompipe rejects export --file ${shellQuote(file)} --output FILE, ${edit}, ecompipe rejects replay FILE`;
  if (kind === 'conflict')
    return `to do: the first delivery of this ${feed === null ? 'event' : 'row'} stays. Ask the producer which one is right; to load this one besides, ${feed === null ? 'give it another event_id' : 'correct what its key is made of'}: ${steps('edit it')}`;
  if (fields === null)
    return `to do: ${steps(`correct the reject_raw of the ${feed === null ? 'row' : 'record, or fill in its fields'}`)}`;
  return `to do: ${steps(`correct the ${feed === null ? 'row' : 'fields'}${item === 0 ? '' : ` (only row ${item} of the record is loaded)`}`)}`;
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
