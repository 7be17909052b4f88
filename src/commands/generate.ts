import { EXIT } from '../platform/errors.js';
import type { GenerateEvent } from '../pipeline/generate/index.js';
import { defineCommand } from './command.js';
import { metricsSettings, withMetrics } from './metrics.js';
import { generateSettings } from '../pipeline/generate/settingsTable.js';
import { demoteProgress } from './demoteProgress.js';

export const generate = defineCommand({
  name: 'generate',
  summary: 'write CSV files of realistic shop events',
  settings: { ...generateSettings, ...metricsSettings },
  examples: [
    ['ecompipe generate', 'ten events every five seconds, until stopped'],
    ['ecompipe generate --interval 0 --events 1000000 --batch-size 100000', 'a million events as fast as possible'],
    ['ecompipe generate --rate 5000 --dirt dirty', '5,000 events a second, with the faults of real feeds'],
    ['ecompipe generate --seed 7 --start 2026-11-01 --interval 0 --batches 100', 'the same bytes every time'],
  ],
  run: async (settings, context) => {
    const { log, stop } = context;
    const [{ runGenerate }, { createGenerateEventLogger }] = await Promise.all([
      import('../pipeline/generate/index.js'),
      import('../pipeline/generate/logGenerateEvents.js'),
    ]);
    const isOneShot = settings.events !== undefined || settings.batches !== undefined;
    const hasBar = isOneShot && context.interactive;
    const logEvent = createGenerateEventLogger(hasBar ? demoteProgress(log) : log);
    const done = { events: 0, files: 0 };
    const [unit, total] =
      settings.events === undefined
        ? (['files', settings.batches ?? 0] as const)
        : (['events', settings.events] as const);
    return await withMetrics(
      settings,
      context,
      { command: 'generate', stages: ['generate'], directories: { incoming: settings.outputDir } },
      async (meter) => {
        const bar = hasBar
          ? (await import('./progress.js')).showBar(
              'generating',
              unit,
              () => ({ done: done[unit], total, rows: done.events }),
              context,
            )
          : undefined;
        const emit = (event: GenerateEvent): void => {
          logEvent(event);
          if (event.type === 'filePublished') {
            done.files += 1;
            done.events += event.rows;
          }
          meter.observe({ stage: 'generate', event });
        };
        const result = await runGenerate(settings, { log, stop, drain: stop, emit }).finally(() => bar?.stop());
        const { files, events, rows, seed, durationMs, manifest } = result;
        const text = `${events} events (${rows} rows) in ${files} files, ${(durationMs / 1000).toFixed(1)} s; seed ${seed}; manifest ${manifest}`;
        return { json: result, text, exitCode: isOneShot && stop.aborted ? EXIT.interrupted : EXIT.done };
      },
    );
  },
});
