import { readBacklog } from '../contract/backlog.js';
import type { ListOptions } from '../contract/listFiles.js';
import type { StreamFigures } from '../pipeline/stream/streamEventTable.js';
import type { CommandContext } from './command.js';
import { showBar, type ProgressBar } from './progress.js';

/** A bar for loading what is in a directory now: by bytes, or by files where compressed ones hide how long they are. */
export async function showLoading(
  inputDir: string,
  listing: ListOptions,
  figures: Readonly<StreamFigures>,
  context: CommandContext,
): Promise<ProgressBar> {
  const { files, bytes, compressed } = await readBacklog(inputDir, listing);
  const unit = compressed === 0 ? 'bytes' : 'files';
  const total = unit === 'bytes' ? bytes : files;
  const filesDone = (): number =>
    figures.filesLoaded + figures.filesRedelivered + figures.filesQuarantined + figures.filesFailed;
  return showBar(
    'loading',
    unit,
    () => ({ done: unit === 'bytes' ? figures.bytes : filesDone(), total, rows: figures.rows.read }),
    context,
  );
}
