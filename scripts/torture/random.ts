/** A seeded source of numbers: the same seed gives the same ones everywhere. */
export interface Random {
  /** In [0, 1). */
  readonly next: () => number;
  /** A whole number from `from` to `to`, both possible. */
  readonly between: (from: number, to: number) => number;
  readonly pick: <T>(items: readonly [T, ...T[]]) => T;
  readonly shuffled: <T>(items: readonly T[]) => T[];
  /** An independent source: what is drawn from it changes nothing here. */
  readonly fork: () => Random;
}

/** Mulberry32 (T. Ettinger, 2017): 32 bits of state are plenty for a schedule. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    between,
    pick: (items) => items[between(0, items.length - 1)] ?? items[0],
    shuffled: <T>(items: readonly T[]) => {
      const result = [...items];
      for (let index = result.length - 1; index > 0; index--) {
        const other = between(0, index);
        [result[index], result[other]] = [result[other]!, result[index]!];
      }
      return result;
    },
    fork: () => createRandom(between(0, 2 ** 32 - 1)),
  };
}
