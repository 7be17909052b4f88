import { EXIT } from '../platform/errors.js';
import type { GenerateEvent } from '../pipeline/generate/generateEvents.js';
import { countOf, withPace } from '../platform/format.js';
import { demoteProgress } from '../platform/log.js';
import { recordEvents } from '../platform/stageEvents.js';
import { defineCommand } from './command.js';
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
    const hasBar = isOneShot && context.interactive;
    const record = recordEvents(stage, hasBar ? demoteProgress(log) : log);
    const [unit, total] =
      settings.events === undefined ? (['files', settings.batches] as const) : (['events', settings.events] as const);
    return await withMetrics(
      settings,
      context,
      { command: 'generate', stages: { generate: stage }, directories: { incoming: settings.outputDir } },
      async (meter) => {
        const bar =
          hasBar && total !== undefined
            ? (await import('./progress.js')).showBar(
                'generating',
                unit,
                () => ({
                  done: unit === 'files' ? stage.figures.files : stage.figures.rows,
                  total,
                  rows: stage.figures.rows,
                }),
                context,
              )
            : undefined;
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
          text,
          isReport: true,
          exitCode: isOneShot && stop.aborted ? EXIT.interrupted : EXIT.done,
        };
      },
    );
  },
});
