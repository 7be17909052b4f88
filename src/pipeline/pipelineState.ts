import { countOf, withPace } from '../platform/format.js';
import { demoteProgress, type Logger } from '../platform/log.js';
import { recordEvents } from '../platform/stageEvents.js';
import { createGenerateEvents } from './generate/generateEventTable.js';
import { createMoveEvents } from './move/moveEventTable.js';
import type { PipelineEvent, PipelineStages } from './pipelineEvents.js';
import { createStreamEvents } from './stream/streamEventTable.js';
import { UnsettledFiles } from './unsettledFiles.js';

/** A running pipeline: what its stages have done so far, and what a person should know. */
export interface PipelineState {
  readonly startedAtMs: number;
  readonly stages: PipelineStages;
  /** Generated files by what has become of them. */
  readonly files: UnsettledFiles;
  /** After the first signal, or once all is generated, it drains; then it is read and proved. */
  phase: 'running' | 'draining' | 'proving';
  dashboardUrl: string | undefined;
  /** The newest thing that needs a person's attention. */
  attention: string | undefined;
}

export function createPipelineState(nowMs: number): PipelineState {
  return {
    startedAtMs: nowMs,
    stages: { generate: createGenerateEvents(), move: createMoveEvents(), stream: createStreamEvents() },
    files: new UnsettledFiles(),
    phase: 'running',
    dashboardUrl: undefined,
    attention: undefined,
  };
}

/** How much of the history is loaded. While it is being generated, its length is known from how far that has come. */
export interface HistoryProgress {
  readonly loadedRows: number;
  readonly totalRows: number;
  readonly isLoaded: boolean;
}

/** Undefined without a history. */
export function historyProgress({ stages, files }: PipelineState): HistoryProgress | undefined {
  const { history } = stages.generate.figures;
  if (history === undefined) return undefined;
  const { startMs, endMs, reachedMs, rows, isComplete } = history;
  const loadedRows = files.settledHistoryRows;
  const generated = (reachedMs - startMs) / (endMs - startMs);
  return {
    loadedRows,
    totalRows: isComplete || generated === 0 ? rows : Math.max(rows, rows / generated),
    isLoaded: isComplete && loadedRows === rows,
  };
}

/** Says once that the history is loaded. */
function reportHistory(state: PipelineState, log: Logger): () => void {
  let isReported = false;
  let startMs: number | undefined;
  return () => {
    const progress = isReported ? undefined : historyProgress(state);
    if (progress === undefined) return;
    startMs ??= performance.now();
    const { loadedRows, isLoaded } = progress;
    if (!isLoaded || loadedRows === 0) return;
    isReported = true;
    const pace = withPace(countOf(loadedRows, 'row'), loadedRows, performance.now() - startMs);
    log.info('history_loaded', `loaded a history of ${pace}`, { rows: loadedRows });
  };
}

/**
 * Counts and logs the events of all stages. Progress is shown for all of them together, so the lines of the single
 * stages are left to debug level.
 */
export function recordPipeline(state: PipelineState, log: Logger): (event: PipelineEvent) => void {
  const { generate, move, stream } = state.stages;
  const onAttention = (message: string): void => void (state.attention = message);
  const quiet = { ...log, info: log.debug };
  const record = {
    generate: recordEvents(generate, demoteProgress(log), onAttention),
    move: recordEvents(move, quiet, onAttention),
    stream: recordEvents(stream, quiet, onAttention),
  };
  const lookAtHistory = reportHistory(state, log);
  return (staged) => {
    state.files.observe(staged);
    switch (staged.stage) {
      case 'generate':
        record.generate(staged.event);
        break;
      case 'move':
        record.move(staged.event);
        break;
      case 'stream':
        record.stream(staged.event);
        break;
    }
    lookAtHistory();
  };
}
