import type { GenerateEvent } from './generate/generateEvents.js';
import type { MoveEvent } from './move/moveEvents.js';
import type { StreamEvent } from './stream/streamEvents.js';

/** Everything that a stage reports, under the name of the stage. */
export type PipelineEvent =
  | { readonly stage: 'generate'; readonly event: GenerateEvent }
  | { readonly stage: 'move'; readonly event: MoveEvent }
  | { readonly stage: 'stream'; readonly event: StreamEvent };
