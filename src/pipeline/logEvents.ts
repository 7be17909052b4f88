import type { Logger } from '../platform/log.js';
import { createMoveEventLogger } from './move/logMoveEvents.js';
import type { PipelineEvent } from './pipelineEvents.js';
import { createStreamEventLogger } from './stream/logStreamEvents.js';

/** Logs what the stages of a pipeline tell; progress is shown for all of them together, so theirs is left to debug level. */
export function createPipelineLogger(log: Logger): (event: PipelineEvent) => void {
  const logMove = createMoveEventLogger({ ...log, info: log.debug });
  const logStream = createStreamEventLogger({ ...log, info: log.debug });
  return ({ stage, event }) => {
    switch (stage) {
      case 'generate':
        if (event.type === 'runStarted')
          log.info('run_started', `generating with seed ${event.seed}; manifest ${event.manifest}`, { ...event });
        break;
      case 'move':
        logMove(event);
        break;
      case 'stream':
        logStream(event);
        break;
    }
  };
}
