import { EXIT } from '../platform/errors.js';
import { countOf, formatBytes, formatSpan } from '../platform/format.js';
import { demoteProgress } from '../platform/log.js';
import { wrapFor } from '../platform/terminal.js';
import { recordEvents } from '../platform/stageEvents.js';
import type { MoveEvent, MoveResult } from '../pipeline/move/moveEvents.js';
import { defineCommand } from './command.js';
import { metricsSettings, withMetrics } from './metrics.js';
import { feedSettings, loadFeeds, ownDirectories } from './feedSettings.js';
import { listOptions } from '../contract/listFiles.js';
import { moveSettings } from '../pipeline/move/settingsTable.js';
import { printableLine } from '../platform/printable.js';

/** Only matters where the system doesn't tell about new files (network file systems). */
const POLL_INTERVAL_MS = 1000;

/** Below this, somebody has most likely meant seconds. */
const MIN_SENSIBLE_SETTLE_MS = 100;

export const move = defineCommand({
  name: 'move',
  summary: 'publish finished files from incoming/ to processing/',
  whenStopped: 'finishing the file that is being moved',
  settings: { ...moveSettings, ...ownDirectories, ...feedSettings, ...metricsSettings },
  examples: [
    ['ecompipe move', 'move files from data/incoming to data/processing until stopped'],
    ['ecompipe move --once --from /srv/ftp/shop', 'move what is there and exit'],
    ['ecompipe move --from /srv/ftp --recursive --exclude test', 'also from subdirectories, but not from test/'],
    ['ecompipe move --max-backlog 1000', 'wait while 1000 files are not loaded yet'],
  ],
  run: async ({ once, ...settings }, context) => {
    const feeds = await loadFeeds(settings);
    const { from: incoming, to: processing } = settings;
    const listing = listOptions({ ...settings, feeds, incomingDir: incoming, processingDir: processing });
    const [{ ensureDirectory }, { runMove }, { createMoveEvents }, { showLiveLine }] = await Promise.all([
      import('../platform/files/directories.js'),
      import('../pipeline/move/runMove.js'),
      import('../pipeline/move/moveEventTable.js'),
      import('./progress.js'),
    ]);
    const { log, stop } = context;
    // A newcomer may start the commands in any order. A directory that somebody chose and that isn't there is a mistake.
    if (settings.from === moveSettings.from.default) await ensureDirectory(settings.from);
    if (settings.settleMs > 0 && settings.settleMs < MIN_SENSIBLE_SETTLE_MS)
      log.warn(
        'settle_short',
        `--settle is ${settings.settleMs} ms: a producer that pauses for longer has its file moved unfinished (write ${settings.settleMs}s if seconds are meant)`,
      );
    const drain = once ? AbortSignal.abort() : new AbortController().signal;
    const stage = createMoveEvents();
    const record = recordEvents(stage, context.interactive ? demoteProgress(log) : log);
    return await withMetrics(
      settings,
      context,
      { command: 'move', stages: { move: stage }, directories: { incoming, processing }, listing },
      async (meter) => {
        const emit = (event: MoveEvent): void => {
          record(event);
          meter.observe({ stage: 'move', event });
        };
        const startMs = performance.now();
        const { figures } = stage;
        const line = showLiveLine(
          'moving',
          () => ({
            count: figures.files,
            unit: 'files',
            parts: [countOf(figures.files, 'file'), formatBytes(figures.bytes)],
          }),
          context,
        );
        const result = await runMove(
          { ...settings, ...listing, pollIntervalMs: POLL_INTERVAL_MS },
          { stop, drain, log, emit },
        ).finally(() => line.stop());
        return {
          json: result,
          exitCode: once && stop.aborted ? EXIT.interrupted : EXIT.done,
          isReport: true,
          text: wrapFor(process.stdout, describeMove(result, performance.now() - startMs)),
        };
      },
    );
  },
});

function describeMove({ filesMoved, bytesMoved, filesStillWritten }: MoveResult, durationMs: number): string {
  const moved = `moved ${countOf(filesMoved, 'file')} (${formatBytes(bytesMoved)}) in ${formatSpan(durationMs)}`;
  const left = filesStillWritten.length;
  if (left === 0) return moved;
  const names = filesStillWritten.map(printableLine).join(', ');
  return `${moved}; left ${countOf(left, 'file that is', 'files that are')} still being written: ${names}`;
}
