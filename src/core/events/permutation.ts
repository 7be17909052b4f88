/** 64 bits, as two 32-bit integers. */
export interface Key {
  readonly low: number;
  readonly high: number;
}

/** The finaliser of MurmurHash3: a bijection of 32 bits in which every input bit moves every output bit. */
export function mix32(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/**
 * A keyed bijection of the numbers of 2·`halfBits` bits, given as two halves: a Feistel network of four rounds (Luby and
 * Rackoff 1988). Counters become scattered identifiers that still can't repeat, and with the key the way back is known.
 */
export class Permutation {
  /** Halves of the last {@link apply} or {@link invert}: two fields instead of an object for every event. */
  high = 0;
  low = 0;
  private readonly mask: number;
  private readonly rounds: readonly [number, number, number, number];

  constructor(key: Key, halfBits: number) {
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

  invert(high: number, low: number): void {
    let left = high;
    let right = low;
    for (let round = 3; round >= 0; round--) {
      const previous = right ^ (mix32(left ^ (this.rounds[round] as number)) & this.mask);
      right = left;
      left = previous;
    }
    this.high = left;
    this.low = right;
  }
}
