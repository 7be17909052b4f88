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
  prune: 'old events pruned while streams load',
  restoreBackup: 'database replaced by an older backup of it under the running streams, then reloaded from the archive',
  failOver:
    'a standby that had not received everything promoted in the place of its primary, then reloaded from the archive',
} as const;

export type FaultKind = keyof typeof FAULTS;
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];

/** What takes commits back. Each ends the streams that see it, and so takes some seconds. */
export const LOSSES = ['restoreBackup', 'failOver'] as const satisfies readonly FaultKind[];
export type LossKind = (typeof LOSSES)[number];

export function isLoss(kind: FaultKind): kind is LossKind {
  return LOSSES.some((loss) => loss === kind);
}

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
const FIRST_LOSS_AT_MS = 5000;
const BETWEEN_LOSSES_MS = 9000;
const LOSSES_EVERY_MS = 60_000;

/**
 * When what happens, by the seed alone. Kinds are dealt like cards: each comes once before any comes again, so that even
 * a short run has them all. Losses come at fixed times, and in the first half only: afterwards streams live long enough for
 * their memory to be compared.
 */
export function planFaults(random: Random, forMs: number, meanGapMs: number): PlannedFault[] {
  const faults: PlannedFault[] = [];
  let deck: FaultKind[] = [];
  for (let atMs = FIRST_AT_MS; atMs < forMs; atMs += random.between(meanGapMs / 4, (meanGapMs * 7) / 4)) {
    if (deck.length === 0) deck = random.shuffled(FAULT_KINDS.filter((kind) => !isLoss(kind)));
    faults.push({ kind: deck.pop()!, atMs, target: random.next(), holdMs: random.between(0, MAX_HOLD_MS) });
  }
  for (let fromMs = FIRST_LOSS_AT_MS; fromMs < Math.max(forMs / 2, FIRST_LOSS_AT_MS + 1); fromMs += LOSSES_EVERY_MS)
    for (const [index, kind] of LOSSES.entries())
      faults.push({ kind, atMs: fromMs + index * BETWEEN_LOSSES_MS, target: random.next(), holdMs: 0 });
  return faults.sort((a, b) => a.atMs - b.atMs);
}
