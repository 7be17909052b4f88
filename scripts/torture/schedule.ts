import type { Random } from './random.js';

/** Everything that is done to the pipeline. The text is what the report calls it. */
export const FAULTS = {
  killGenerator: 'generator killed (SIGKILL)',
  killMover: 'mover killed (SIGKILL)',
  killStream: 'stream killed (SIGKILL)',
  freezeGenerator: 'generator frozen and continued (SIGSTOP, SIGCONT)',
  freezeMover: 'mover frozen and continued (SIGSTOP, SIGCONT)',
  freezeStream: 'stream frozen and continued (SIGSTOP, SIGCONT)',
  endStream: 'stream ended in good order (SIGTERM)',
  deleteCheckpoint: 'stream killed, its checkpoint deleted',
  truncateCheckpoint: 'stream killed, its checkpoint cut short',
  rollBackCheckpoint: 'stream killed, its checkpoint put back to an older one',
  terminateBackends: 'all connections of the streams terminated by the server',
  restartFast: 'server restarted (fast shutdown)',
  restartImmediate: 'server restarted (immediate shutdown: crash recovery)',
  killPostmaster: 'postmaster killed (SIGKILL) and started again',
} as const;

export type FaultKind = keyof typeof FAULTS;
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** Says which of those that it can hit it hits, in [0, 1). */
  readonly target: number;
  /** How long what was hit stays away or frozen, in milliseconds. */
  readonly holdMs: number;
}

/** A process must have had time to begin something before it is worth killing. */
const FIRST_AT_MS = 2000;
const MAX_HOLD_MS = 1500;

/**
 * When what happens, by the seed alone. Kinds are dealt like cards: each comes once before any comes again, so that even
 * a short run has them all.
 */
export function planFaults(random: Random, forMs: number, meanGapMs: number): PlannedFault[] {
  const faults: PlannedFault[] = [];
  let deck: FaultKind[] = [];
  for (let atMs = FIRST_AT_MS; atMs < forMs; atMs += random.between(meanGapMs / 4, (meanGapMs * 7) / 4)) {
    if (deck.length === 0) deck = random.shuffled(FAULT_KINDS);
    faults.push({ kind: deck.pop()!, atMs, target: random.next(), holdMs: random.between(0, MAX_HOLD_MS) });
  }
  return faults;
}
