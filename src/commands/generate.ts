import { EXIT } from '../platform/errors.js';
import type { GenerateFigures } from '../pipeline/generate/generateEventTable.js';
import type { GenerateEvent } from '../pipeline/generate/generateEvents.js';
import { countOf, withPace } from '../platform/format.js';
import { demoteProgress } from '../platform/log.js';
import { wrapFor } from '../platform/terminal.js';
import { recordEvents } from '../platform/stageEvents.js';
import { defineCommand, type CommandContext } from './command.js';
import type { ProgressBar } from './progress.js';
import { metricsSettings, withMetrics } from './metrics.js';
import { generateSettings } from '../pipeline/generate/settingsTable.js';

export const generate = defineCommand({
  name: 'generate',
  summary: 'write CSV files of realistic shop events',
  whenStopped: 'finishing the open file',
  settings: { ...generateSettings, ...metricsSettings },
  examples: [
    ['ecompipe generate', 'ten events every five seconds, until stopped'],
    ['ecompipe generate --interval 0 --events 1000000 --batch-size 100000', 'a million events as fast as possible'],
    ['ecompipe generate --rate 5000 --dirt dirty', '5,000 events a second, with the faults of real feeds'],
    ['ecompipe generate --seed 7 --start 2026-11-01 --interval 0 --batches 100', 'the same bytes every time'],
  ],
  run: async (settings, context) => {
    const { log, stop } = context;
    const [{ runGenerate }, { createGenerateEvents }] = await Promise.all([
      import('../pipeline/generate/runGenerate.js'),
      import('../pipeline/generate/generateEventTable.js'),
    ]);
    const stage = createGenerateEvents();
    const isOneShot = settings.events !== undefined || settings.batches !== undefined;
    const record = recordEvents(stage, context.interactive ? demoteProgress(log) : log);
    const [unit, total] =
      settings.events === undefined ? (['files', settings.batches] as const) : (['events', settings.events] as const);
    return await withMetrics(
      settings,
      context,
      { command: 'generate', stages: { generate: stage }, directories: { incoming: settings.outputDir } },
      async (meter) => {
        const bar = context.interactive ? await showGenerating(stage.figures, unit, total, context) : undefined;
        const emit = (event: GenerateEvent): void => {
          record(event);
          meter.observe({ stage: 'generate', event });
        };
        const result = await runGenerate(settings, { log, stop, drain: stop, emit }).finally(() => bar?.stop());
        const { files, events, rows, seed, durationMs, manifest } = result;
        const amount = `generated ${countOf(events, 'event')} (${countOf(rows, 'row')}) in ${countOf(files, 'file')}`;
        const text = `${withPace(amount, rows, durationMs)}\n  seed ${seed}; manifest ${manifest}`;
        return {
          json: result,
          text: wrapFor(process.stdout, text),
          isReport: true,
          exitCode: isOneShot && stop.aborted ? EXIT.interrupted : EXIT.done,
        };
      },
    );
  },
});

/** A bar, or one line where nobody knows when it ends. */
async function showGenerating(
  figures: Readonly<GenerateFigures>,
  unit: 'events' | 'files',
  total: number | undefined,
  context: CommandContext,
): Promise<ProgressBar> {
  const { showBar, showLiveLine } = await import('./progress.js');
  if (total === undefined)
    return showLiveLine(
      'generating',
      () => {
        const parts = [countOf(figures.rows, 'row'), countOf(figures.files, 'file')];
        return { count: figures.rows, unit: 'rows', parts };
      },
      context,
    );
  const done = (): number => (unit === 'files' ? figures.files : figures.rows);
  return showBar('generating', unit, () => ({ done: done(), total, rows: figures.rows }), context);
}
