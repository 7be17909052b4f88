import type { PipelineEvent } from './pipelineEvents.js';

/** Figures of a running pipeline, kept up to date by its events. */
export interface PipelineState {
  readonly startedAtMs: number;
  seed: number | undefined;
  manifest: string | undefined;
  dashboardUrl: string | undefined;
  generatedFiles: number;
  generatedRows: number;
  movedFiles: number;
  loadedFiles: number;
  insertedRows: number;
  duplicateRows: number;
  rejectedRows: number;
  quarantinedFiles: number;
  lastBatch: { readonly id: number; readonly rows: number; readonly durationMs: number } | undefined;
  /** The newest thing that needs a person's attention. */
  lastProblem: string | undefined;
}

export function createPipelineState(nowMs: number): PipelineState {
  return {
    startedAtMs: nowMs,
    seed: undefined,
    manifest: undefined,
    dashboardUrl: undefined,
    generatedFiles: 0,
    generatedRows: 0,
    movedFiles: 0,
    loadedFiles: 0,
    insertedRows: 0,
    duplicateRows: 0,
    rejectedRows: 0,
    quarantinedFiles: 0,
    lastBatch: undefined,
    lastProblem: undefined,
  };
}

/** Takes one event into the figures. */
export function applyEvent(state: PipelineState, { stage, event }: PipelineEvent): void {
  switch (event.type) {
    case 'runStarted':
      state.seed = event.seed;
      state.manifest = event.manifest;
      break;
    case 'filePublished':
      state.generatedFiles++;
      state.generatedRows += event.rows;
      break;
    case 'fileMoved':
      state.movedFiles++;
      break;
    case 'fileLoaded':
      state.loadedFiles++;
      break;
    case 'batchCommitted':
      state.insertedRows += event.rows.inserted;
      state.duplicateRows += event.rows.duplicate;
      state.rejectedRows += event.rows.rejected;
      state.lastBatch = { id: event.batchId, rows: event.rows.read, durationMs: event.durationMs };
      break;
    case 'fileQuarantined':
      state.quarantinedFiles++;
      state.lastProblem = `${event.file} went to quarantine: ${event.reason}`;
      break;
    case 'fileFailed':
      state.lastProblem = `${stage}: ${event.error.facts.what}`;
      break;
    default:
      break;
  }
}
