import { readBacklog } from '../contract/backlog.js';
import type { StreamEvent } from '../pipeline/stream/streamEvents.js';
import type { CommandContext } from './command.js';
import { showBar, type ProgressBar } from './progress.js';

/** A bar for loading what is in a directory now: by bytes, or by files where compressed ones hide how long they are. */
export async function showLoading(
  inputDir: string,
  context: CommandContext,
): Promise<ProgressBar & { readonly observe: (event: StreamEvent) => void }> {
  const { files, bytes, compressed } = await readBacklog(inputDir);
  const unit = compressed === 0 ? 'bytes' : 'files';
  const done = { bytes: 0, files: 0, rows: 0 };
  const bar = showBar(
    'loading',
    unit,
    () => ({ done: done[unit], total: unit === 'bytes' ? bytes : files, rows: done.rows }),
    context,
  );
  return {
    stop: bar.stop,
    observe: (event) => {
      if (event.type === 'batchCommitted') {
        done.bytes += event.bytes;
        done.rows += event.rows.read;
      } else if (['fileLoaded', 'fileRedelivered', 'fileQuarantined', 'fileFailed'].includes(event.type))
        done.files += 1;
    },
  };
}
