import type { StreamResult } from './streamEvents.js';

/** The result for people. */
export function describeStream({ filesLoaded, filesRedelivered, filesQuarantined, rows }: StreamResult): string {
  const lines = [`loaded ${count(rows.inserted, 'row')} from ${count(filesLoaded, 'file')}`];
  if (rows.duplicate > 0) lines.push(`  ${count(rows.duplicate, 'row')} in the table already (duplicates)`);
  if (rows.rejected > 0)
    lines.push(`  ${count(rows.rejected, 'row')} rejected; kept in ecompipe.rejected_rows with the reasons`);
  if (filesRedelivered > 0) lines.push(`  ${count(filesRedelivered, 'file')} loaded before and not loaded again`);
  if (filesQuarantined > 0)
    lines.push(`  ${count(filesQuarantined, 'file')} unreadable and in quarantine, each with a .reason.json`);
  return lines.join('\n');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
