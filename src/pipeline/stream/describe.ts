import type { StreamResult } from './events.js';

/** The result for people. */
export function describeStream({ filesLoaded, filesRedelivered, filesQuarantined, rows }: StreamResult): string {
  const lines = [`loaded ${rows.inserted} rows from ${filesLoaded} files`];
  if (rows.duplicate > 0) lines.push(`  ${rows.duplicate} rows were in the table already (duplicates)`);
  if (rows.rejected > 0) lines.push(`  ${rows.rejected} rows were rejected; they are in ecompipe.rejected_rows with the reasons`);
  if (filesRedelivered > 0) lines.push(`  ${filesRedelivered} files had been loaded before and were not loaded again`);
  if (filesQuarantined > 0) lines.push(`  ${filesQuarantined} files can't be read and are in quarantine, each with a .reason.json`);
  return lines.join('\n');
}
