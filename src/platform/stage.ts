import type { Logger } from './log.js';

/**
 * How a stage (generate, move, stream) is run and stopped.
 *
 * A stage goes through three states. *Running*: it waits for more work when there is none. *Draining* (after `drain`):
 * it returns as soon as its source is empty; `--once` is a stage that starts in this state. *Stopping* (after `stop`):
 * it takes no new work, finishes or rolls back what is open, and returns. Being killed instead is safe, only less tidy.
 */
export interface StageContext<StageEvent> {
  readonly stop: AbortSignal;
  readonly drain: AbortSignal;
  readonly log: Logger;
  /** Called synchronously with everything the stage tells the outside; must not throw. */
  readonly emit: (event: StageEvent) => void;
}
