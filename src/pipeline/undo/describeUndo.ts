import type { UndoResult } from './types.js';
import { printableLine } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';

const MAX_FILES = 10;

/** What was, or would be, taken out, and what follows from it. */
export function describeUndo(result: UndoResult): string {
  const {
    outcome,
    target,
    files,
    batchIds,
    eventsRemoved,
    eventsMissing,
    rejectsRemoved,
    duplicatesRemoved,
    redeliveriesRemoved,
    rejectsReopened,
    rollupsRebuilt,
  } = result;
  if (outcome === 'already-undone') return `${printableLine(target)}: taken out before, nothing is left to do`;
  const isDry = outcome === 'would-undo';
  const lines = [
    `${isDry ? 'would take out' : 'took out'} ${printableLine(target)}: ${countOf(eventsRemoved, 'event')}, ${countOf(rejectsRemoved, 'reject')}, ${countOf(duplicatesRemoved, 'duplicate')} of ${countOf(files.length, 'file')} (${batchIds.length === 1 ? 'batch' : 'batches'} ${clipped(batchIds.map(String))})`,
  ];
  if (files.length > 1) lines.push(`  files: ${clipped(files.map(({ name }) => name))}`);
  if (eventsMissing > 0)
    lines.push(
      `  ${countOf(eventsMissing, 'event')} of it ${eventsMissing === 1 ? 'was' : 'were'} not in the table any more`,
    );
  if (redeliveriesRemoved > 0)
    lines.push(
      `  the same content came ${countOf(redeliveriesRemoved, 'more time', 'more times')} under other names; the next time it is loaded`,
    );
  lines.push(...describeStrandedDuplicates(result));
  if (rejectsReopened > 0)
    lines.push(
      `  ${countOf(rejectsReopened, 'reject')} ${rejectsReopened === 1 ? 'is' : 'are'} open again, as the corrected row is gone, or what it was a duplicate of`,
    );
  if (rollupsRebuilt)
    lines.push(
      `  the rollups of the analytics views ${isDry ? 'would begin' : 'begin'} anew: the views are right at once, and fast again after \`select analytics.refresh()\` or an idle stream`,
    );
  if (isDry) lines.push('nothing was changed');
  else lines.push(...describeFiles(result));
  return lines.join('\n');
}

function describeStrandedDuplicates({ strandedDuplicates }: UndoResult): string[] {
  if (strandedDuplicates.length === 0) return [];
  const rows = strandedDuplicates.reduce((sum, duplicate) => sum + duplicate.rows, 0);
  return [
    `  attention: ${countOf(rows, 'row')} of ${countOf(strandedDuplicates.length, 'other file')} had been duplicates of these events and are in no table now: ${clipped(strandedDuplicates.map((orphan) => `${orphan.file} (${orphan.rows})`))}`,
    '    to have them back, undo those files too and load them again',
  ];
}

function describeFiles({ files }: UndoResult): string[] {
  const waiting = files.filter(({ isWaiting }) => isWaiting);
  const away = files.filter(({ isWaiting, path }) => !isWaiting && path !== undefined);
  const gone = files.filter(({ path }) => path === undefined);
  return [
    ...(waiting.length === 0
      ? []
      : [
          `  still in processing/, where the next stream loads ${waiting.length === 1 ? 'it' : 'them'} again: ${clipped(waiting.map(({ path }) => path ?? ''))}`,
        ]),
    ...(away.length === 0
      ? []
      : [
          `  to load ${away.length === 1 ? 'it' : 'them'} again, move back into processing/: ${clipped(away.map(({ path }) => path ?? ''))}`,
        ]),
    ...(gone.length === 0
      ? []
      : [`  not found, neither in archive/ nor in processing/: ${clipped(gone.map(({ name }) => name))}`]),
  ];
}

function clipped(words: readonly string[]): string {
  const shown = words.map(printableLine);
  return shown.length > MAX_FILES
    ? `${shown.slice(0, MAX_FILES).join(', ')} and ${shown.length - MAX_FILES} more`
    : shown.join(', ');
}
