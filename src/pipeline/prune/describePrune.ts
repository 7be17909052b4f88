import { countOf, formatBytes } from '../../platform/format.js';
import type { PruneResult } from './types.js';

/** What went, or would go, a line for each kind. */
export function describePrune({ outcome, before, events, archive, ledger }: PruneResult): string {
  const isDry = outcome === 'would-prune';
  const lines = [`${isDry ? 'would remove' : 'removed'} what is older than ${before.toISOString()}:`];
  if (events !== null)
    lines.push(
      `  events   ${countOf(events.rows, 'row')} of public.events${events.partitions.length === 0 ? '' : `, ${events.partitions.length === 1 ? 'partition' : 'partitions'} ${events.partitions.join(', ')} dropped`}`,
    );
  if (archive !== null)
    lines.push(`  archive  ${countOf(archive.files, 'file')} (${formatBytes(archive.bytes)}), by whole days`);
  if (ledger !== null)
    lines.push(
      `  ledger   ${isDry ? 'at most ' : ''}${countOf(ledger.files, 'file')} and ${countOf(ledger.batches, 'batch', 'batches')}${ledger.rejects === 0 ? '' : `, with ${countOf(ledger.rejects, 'rejected row')} (${ledger.openRejects} open)`}; a file stays while the table has events of it`,
    );
  return lines.join('\n');
}
