/**
 * Seeded pseudo-random numbers: sfc32 by Chris Doty-Humphrey (PractRand 0.94), 128 bits of state, about 3 ns a draw.
 * It uses 32-bit integer arithmetic only, so that every JavaScript engine draws the same.
 */
export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private counter = 1;

  constructor(key: StreamKey, purpose: number, index = 0) {
    this.restart(key, purpose, index);
  }

  /** Becomes the stream of (key, purpose, index), whatever was drawn before: every session has a stream of its own. */
  restart(key: StreamKey, purpose: number, index: number): void {
    this.a = mix32(key.low ^ Math.imul(purpose + 1, 0x9e3779b1));
    this.b = mix32(key.high ^ (index | 0));
    this.c = mix32(Math.floor(index / 4_294_967_296) ^ Math.imul(purpose, 0x85ebca77));
    this.counter = 1;
    // The author's own seeding discards 12 draws or more, so that similar keys have nothing in common.
    for (let round = 0; round < 12; round++) this.uint32();
  }

  /** A uniform integer in [0, 2³²). */
  uint32(): number {
    const result = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** A uniform number in [0, 1). */
  unit(): number {
    return this.uint32() / 4_294_967_296;
  }

  /** A uniform integer in [0, bound), for a bound up to 2³². The bias is below bound / 2³². */
  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

/** 64 bits that all streams of a run derive from. */
export interface StreamKey {
  readonly low: number;
  readonly high: number;
}

/** What a stream is for. Numbers, not names, because they are part of what a seed means: never renumber them. */
export const PURPOSE = {
  arrivals: 1,
  visitors: 2,
  visit: 3,
  catalogue: 4,
  dirt: 5,
  eventId: 6,
  publicId: 7,
  user: 8,
  refund: 9,
  file: 10,
} as const;

/** Derives a key from numbers (each up to 2⁵³) and texts. */
export function streamKey(...parts: readonly (number | string)[]): StreamKey {
  let low = 0x243f6a88;
  let high = 0x85a308d3;
  const take = (word: number): void => {
    low = mix32(low ^ word);
    high = mix32((high + Math.imul(word, 0xc2b2ae35)) ^ low);
  };
  for (const part of parts) {
    if (typeof part === 'number') {
      take(part | 0);
      take(Math.floor(part / 4_294_967_296));
    } else {
      for (const byte of Buffer.from(part)) take(byte);
      take(0x100);
    }
  }
  return { low, high };
}

/** The finaliser of MurmurHash3: a bijection of 32 bits in which every input bit moves every output bit. */
export function mix32(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
