import type { GenerateEvent } from './generate/generateEvents.js';
import type { GenerateEvents } from './generate/generateEventTable.js';
import type { MoveEvent } from './move/moveEvents.js';
import type { MoveEvents } from './move/moveEventTable.js';
import type { StreamEvent } from './stream/streamEvents.js';
import type { StreamEvents } from './stream/streamEventTable.js';

/** Everything that a stage reports, under the name of the stage. */
export type PipelineEvent =
  | { readonly stage: 'generate'; readonly event: GenerateEvent }
  | { readonly stage: 'move'; readonly event: MoveEvent }
  | { readonly stage: 'stream'; readonly event: StreamEvent };

/** What the events of each stage mean, and what each has done so far. */
export interface PipelineStages {
  readonly generate: GenerateEvents;
  readonly move: MoveEvents;
  readonly stream: StreamEvents;
}
