import { countOf } from '../../platform/format.js';
import { ProgressInterval, type StageEvents } from '../../platform/stageEvents.js';
import type { GenerateEvent } from './generateEvents.js';

/** What the generator has done so far. */
export interface GenerateFigures {
  seed: number | undefined;
  files: number;
  rows: number;
  bytes: number;
  /** How far the history has come; undefined without one. */
  history: HistoryFigures | undefined;
}

export interface HistoryFigures {
  readonly startMs: number;
  readonly endMs: number;
  /** Time of the last event so far. */
  readonly reachedMs: number;
  readonly rows: number;
  readonly isComplete: boolean;
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
    figures: { seed: undefined, files: 0, rows: 0, bytes: 0, history: undefined },
    metrics,
    table: {
      runStarted: {
        count: (figures, { seed, start, historyStart }) => {
          figures.seed = seed;
          if (historyStart === null) return;
          const startMs = Date.parse(historyStart);
          figures.history = { startMs, endMs: Date.parse(start), reachedMs: startMs, rows: 0, isComplete: false };
        },
        log: (log, { runId, seed, manifest }) =>
          log.info('run_started', `generating ${runId} with seed ${seed}; manifest in ${manifest}`),
      },
      filePublished: {
        count: (figures, { rows, bytes, isHistory, lastEventTime }) => {
          figures.files += 1;
          figures.rows += rows;
          figures.bytes += bytes;
          const { history } = figures;
          if (!isHistory || history === undefined) return;
          const reachedMs = lastEventTime === null ? history.reachedMs : Date.parse(lastEventTime);
          figures.history = { ...history, reachedMs, rows: history.rows + rows };
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
      historyGenerated: {
        count: (figures) => {
          if (figures.history !== undefined) figures.history = { ...figures.history, isComplete: true };
        },
        log: (log, { rows, files, wasCutShort }) =>
          log.debug(
            'history_generated',
            `${wasCutShort ? 'a part of the' : 'the'} history is generated: ${countOf(rows, 'row')} in ${countOf(files, 'file')}`,
          ),
      },
    },
  };
}
