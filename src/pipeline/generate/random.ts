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

/** Draws indices with given weights in constant time (the alias method: A. J. Walker 1977, in M. D. Vose's form of 1991). */
export class AliasTable {
  private readonly threshold: Float64Array;
  private readonly alias: Int32Array;

  constructor(weights: ArrayLike<number>) {
    const size = weights.length;
    this.threshold = new Float64Array(size).fill(1);
    this.alias = Int32Array.from({ length: size }, (_, index) => index);
    let total = 0;
    for (let index = 0; index < size; index++) total += weights[index] as number;
    const scaled = Float64Array.from(weights, (weight) => (weight * size) / total);
    const small: number[] = [];
    const large: number[] = [];
    for (let index = 0; index < size; index++) ((scaled[index] as number) < 1 ? small : large).push(index);
    while (small.length > 0 && large.length > 0) {
      const less = small.pop() as number;
      const more = large[large.length - 1] as number;
      this.threshold[less] = scaled[less] as number;
      this.alias[less] = more;
      const rest = (scaled[more] as number) - (1 - (scaled[less] as number));
      scaled[more] = rest;
      if (rest < 1) small.push(large.pop() as number);
    }
  }

  draw(random: Random): number {
    const position = random.unit() * this.threshold.length;
    const column = Math.floor(position);
    return random.unit() < (this.threshold[column] as number) ? column : (this.alias[column] as number);
  }
}
