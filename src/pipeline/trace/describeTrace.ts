import type { Origin, Trace, TracedEvent, TracedReject } from './types.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

const MAX_SHOWN = 20;

/** The trace for people. */
export function describeTrace({ eventId, known, event, duplicates, rejects, redeliveries }: Trace): string {
  if (!known) return `event ${eventId} is unknown: neither in the table, nor among duplicates and rejects`;
  return [
    `event ${eventId}`,
    ...(event === undefined ? ['  not in the table'] : describeEvent(event)).map(printableLine),
    ...section(
      'duplicate',
      duplicates.map(({ file, line, batchId }) => `${file}:${line} (batch ${batchId})`),
    ),
    ...section('reject', rejects.map(describeReject)),
    ...section(
      'redelivery',
      redeliveries.map(
        ({ file, name, seenAt }) => `${file} came again as ${name} at ${seenAt.toISOString()}: not loaded`,
      ),
    ),
  ].join('\n');
}

function describeEvent({ eventType, eventTime, ingestedAt, batch, origins, replayOf }: TracedEvent): string[] {
  const head = `  in the table: ${eventType ?? 'an event without type'} of ${eventTime?.toISOString() ?? 'no time'}, loaded at ${ingestedAt.toISOString()}`;
  if (batch === undefined) return [head, '  not loaded by ecompipe: it has no batch'];
  const lines = [
    `${head} by batch ${batch.batchId} (${batch.loadPath === 'replay' ? 'replay' : `${batch.engine}, ${batch.loadPath} path`}${batch.feed === null ? '' : `, feed ${batch.feed}`})`,
  ];
  if (replayOf !== undefined)
    return [
      ...lines,
      `  from:       reject ${replayOf.rejectId}, corrected; rejected at ${replayOf.file}:${replayOf.line}`,
    ];
  const [origin] = origins;
  if (origin !== undefined && batch.feed !== null)
    return [
      ...lines,
      `  from:       ${origins.length === 1 ? '' : 'one of '}${clipped(origins.map(({ file }) => file))} (the feed made its id, so its line is not known)`,
    ];
  if (origin === undefined) return [...lines, '  from:       unknown'];
  if (origins.length === 1) return [...lines, `  from:       ${describeOrigin(origin)}`];
  return [
    ...lines,
    `  from:       one of ${countOf(origins.length, 'file')} of that batch, whose bytes are gone: ${clipped(origins.map(({ file }) => file))}`,
  ];
}

function describeOrigin({ file, line, firstLine, rows, startOffset, endOffset }: Origin): string {
  return line === undefined
    ? `${file}, one of ${countOf(rows, 'row')} from line ${firstLine} on (bytes ${startOffset}–${endOffset}); the file is gone`
    : `${file}:${line}`;
}

function describeReject({ rejectId, file, line, sqlState, message, resolution, carries }: TracedReject): string {
  return `#${rejectId} ${file}:${line} ${sqlState} ${message}${carries === 'mention' ? ' (the id stands somewhere in the row)' : ''}${resolution === null ? '' : ` (resolved: ${resolution})`}`;
}

function section(name: string, lines: readonly string[]): string[] {
  const shown = lines.slice(0, MAX_SHOWN).map((line) => `  ${`${name}:`.padEnd(11)} ${printableLine(line)}`);
  return lines.length > MAX_SHOWN ? [...shown, `  and ${lines.length - MAX_SHOWN} more; --json has all`] : shown;
}

function clipped(words: readonly string[]): string {
  return words.length > MAX_SHOWN
    ? `${words.slice(0, MAX_SHOWN).join(', ')} and ${words.length - MAX_SHOWN} more`
    : words.join(', ');
}
