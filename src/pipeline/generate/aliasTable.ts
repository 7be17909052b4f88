import type { Random } from './random.js';

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
