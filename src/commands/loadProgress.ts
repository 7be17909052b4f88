import { readBacklog } from '../contract/backlog.js';
import type { ListOptions } from '../contract/listFiles.js';
import { countOf, formatCount } from '../platform/format.js';
import type { StreamFigures } from '../pipeline/stream/streamEventTable.js';
import type { CommandContext } from './command.js';
import { reportRejects } from './rejectReport.js';
import type { ProgressBar } from './progress.js';

/**
 * Shows the loading on a terminal, and says now and then what was rejected.
 * @param bulkDir loading ends with what is in this directory; undefined: it goes on with whatever comes.
 */
export async function showStream(
  bulkDir: string | undefined,
  listing: ListOptions,
  figures: Readonly<StreamFigures>,
  context: CommandContext,
): Promise<ProgressBar> {
  if (!context.interactive) return { stop: () => undefined };
  const bar =
    bulkDir === undefined
      ? await showStreaming(figures, context)
      : await showLoading(bulkDir, listing, figures, context);
  const endReports = reportRejects(figures, context.log);
  return {
    stop: () => {
      endReports();
      bar.stop();
    },
  };
}

/** A bar for loading what is in a directory now: by bytes, or by files where compressed ones hide how long they are. */
async function showLoading(
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
  const { showBar } = await import('./progress.js');
  return showBar(
    'loading',
    unit,
    () => ({ done: unit === 'bytes' ? figures.bytes : filesDone(), total, rows: figures.rows.read }),
    context,
  );
}

/** One line for loading whatever comes. */
async function showStreaming(figures: Readonly<StreamFigures>, context: CommandContext): Promise<ProgressBar> {
  const { showLiveLine } = await import('./progress.js');
  return showLiveLine(
    'loading',
    () => {
      const { rows, filesLoaded } = figures;
      const rejected = rows.rejected === 0 ? [] : [`${formatCount(rows.rejected)} rejected`];
      return {
        count: rows.inserted,
        unit: 'rows',
        parts: [countOf(rows.inserted, 'row'), countOf(filesLoaded, 'file'), ...rejected],
      };
    },
    context,
  );
}
