import { mix32, type StreamKey } from './random.js';

/**
 * A keyed bijection of the numbers of 2·`halfBits` bits, given as two halves: a Feistel network of four rounds (Luby and
 * Rackoff 1988). Counters become
 * scattered identifiers that still can't repeat.
 */
export class Permutation {
  /** Halves of the last {@link apply}: two fields instead of an object for every event. */
  high = 0;
  low = 0;
  private readonly mask: number;
  private readonly rounds: readonly [number, number, number, number];

  constructor(key: StreamKey, halfBits: number) {
    this.mask = 0xffffffff >>> (32 - halfBits);
    this.rounds = [mix32(key.low), mix32(key.high), mix32(key.low ^ 0x5bd1e995), mix32(key.high ^ 0x27d4eb2f)];
  }

  apply(high: number, low: number): void {
    let left = high;
    let right = low;
    for (const key of this.rounds) {
      const next = left ^ (mix32(right ^ key) & this.mask);
      left = right;
      right = next;
    }
    this.high = left;
    this.low = right;
  }
}
