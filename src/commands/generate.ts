import { EXIT } from '../core/runtime/errors.js';
import { defineCommand } from './command.js';
import { generateSettings } from './settings.js';

const PROGRESS_INTERVAL_MS = 10_000;

export const generate = defineCommand({
  name: 'generate',
  summary: 'write CSV files of realistic shop events',
  settings: generateSettings,
  examples: [
    ['ecompipe generate', 'ten events every five seconds, until stopped'],
    ['ecompipe generate --interval 0 --events 1000000 --batch-size 100000', 'a million events as fast as possible'],
    ['ecompipe generate --rate 5000 --dirt dirty', '5,000 events a second, with the faults of real feeds'],
    ['ecompipe generate --seed 7 --start 2026-11-01 --interval 0 --batches 100', 'the same bytes every time'],
  ],
  run: async (settings, { log, stop }) => {
    const { runGenerate } = await import('../pipeline/generate/index.js');
    const written = { files: 0, rows: 0, toldAtMs: performance.now() };
    const result = await runGenerate(settings, {
      log,
      stop,
      drain: stop,
      emit: (event) => {
        switch (event.type) {
          case 'runStarted':
            log.info('run_started', `generating ${event.runId} with seed ${event.seed}; manifest in ${event.manifest}`, event);
            break;
          case 'filePublished': {
            written.files++;
            written.rows += event.rows;
            log.debug('file_published', `${event.file}: ${event.rows} rows`, event);
            const nowMs = performance.now();
            if (nowMs - written.toldAtMs < PROGRESS_INTERVAL_MS) break;
            written.toldAtMs = nowMs;
            log.info('generate_progress', `${written.rows} rows in ${written.files} files so far`, { files: written.files, rows: written.rows });
            break;
          }
          case 'fileSealed':
            break;
        }
      },
    });
    const { files, events, rows, seed, durationMs, manifest } = result;
    const text = `${events} events (${rows} rows) in ${files} files, ${(durationMs / 1000).toFixed(1)} s; seed ${seed}; manifest ${manifest}`;
    const isOneShot = settings.events !== undefined || settings.batches !== undefined;
    return { json: result, text, exitCode: isOneShot && stop.aborted ? EXIT.interrupted : EXIT.done };
  },
});
