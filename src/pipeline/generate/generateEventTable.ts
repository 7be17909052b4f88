import { countOf } from '../../platform/format.js';
import { ProgressInterval, type StageEvents } from '../../platform/stageEvents.js';
import type { GenerateEvent } from './generateEvents.js';

/** What the generator has done so far. */
export interface GenerateFigures {
  seed: number | undefined;
  files: number;
  rows: number;
  bytes: number;
}

const metrics = {
  files: { kind: 'counter', name: 'ecompipe_generated_files_total', help: 'Files published by the generator.' },
  rows: { kind: 'counter', name: 'ecompipe_generated_rows_total', help: 'Rows in files published by the generator.' },
  bytes: {
    kind: 'counter',
    name: 'ecompipe_generated_bytes_total',
    help: 'Bytes of files published by the generator.',
  },
} as const;

export type GenerateEvents = StageEvents<GenerateEvent, GenerateFigures, typeof metrics>;

/** What the events of one run of the generator mean. */
export function createGenerateEvents(): GenerateEvents {
  const progress = new ProgressInterval();
  return {
    figures: { seed: undefined, files: 0, rows: 0, bytes: 0 },
    metrics,
    table: {
      runStarted: {
        count: (figures, { seed }) => (figures.seed = seed),
        log: (log, { runId, seed, manifest }) =>
          log.info('run_started', `generating ${runId} with seed ${seed}; manifest in ${manifest}`),
      },
      filePublished: {
        count: (figures, { rows, bytes }) => {
          figures.files += 1;
          figures.rows += rows;
          figures.bytes += bytes;
        },
        log: (log, event, { files, rows, bytes }) => {
          log.debug('file_published', `${event.file}: ${countOf(event.rows, 'row')}`);
          if (progress.isDue())
            log.info('generate_progress', `${countOf(rows, 'row')} in ${countOf(files, 'file')} so far`, {
              files,
              rows,
              bytes,
            });
        },
        measure: (meters, { rows, bytes }) => {
          meters.files(1);
          meters.rows(rows);
          meters.bytes(bytes);
        },
      },
      fileSealed: {},
    },
  };
}
