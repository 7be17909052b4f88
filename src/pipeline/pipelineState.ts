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
  dashboardUrl: string | undefined;
  /** The newest thing that needs a person's attention. */
  attention: string | undefined;
}

export function createPipelineState(nowMs: number): PipelineState {
  return {
    startedAtMs: nowMs,
    stages: { generate: createGenerateEvents(), move: createMoveEvents(), stream: createStreamEvents() },
    files: new UnsettledFiles(),
    dashboardUrl: undefined,
    attention: undefined,
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
  };
}
