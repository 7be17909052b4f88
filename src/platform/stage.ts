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

/** What one listener does with each event of a stage; an event that is added to the stage must get its line here. */
export type EventTable<Event extends { readonly type: string }> = {
  readonly [Type in Event['type']]: (event: Extract<Event, { readonly type: Type }>) => void;
};

/** Makes a listener of a table. */
export function listener<Event extends { readonly type: string }>(table: EventTable<Event>): (event: Event) => void {
  return (event) => (table[event.type as Event['type']] as (event: Event) => void)(event);
}
