/**
 * Logarithm, exponential and distributions from + − × ÷ and square roots alone. IEEE 754 rounds those the same
 * everywhere, whereas Math.log, exp, pow and sin may differ in the last bit between engines (ECMA-262 §21.3.2 leaves
 * them implementation-approximated), and one bit is enough to change a seeded run.
 */

const LN2 = 0.693_147_180_559_945_3;

/** eˣ, to about 1e-15 relative, for |x| < 700. */
export function exp(x: number): number {
  const halvings = Math.floor(x / LN2 + 0.5);
  const rest = x - halvings * LN2;
  let term = 1;
  let sum = 1;
  for (let n = 1; n <= 18; n++) {
    term = (term * rest) / n;
    sum += term;
  }
  return scaleByPowerOfTwo(sum, halvings);
}

/** Natural logarithm of x > 0, to about 1e-15. */
export function ln(x: number): number {
  let mantissa = x;
  let doublings = 0;
  for (; mantissa > 1.5; doublings++) mantissa /= 2;
  for (; mantissa < 0.75; doublings--) mantissa *= 2;
  const s = (mantissa - 1) / (mantissa + 1);
  let power = s;
  let sum = 0;
  for (let n = 1; n <= 31; n += 2) {
    sum += power / n;
    power *= s * s;
  }
  return 2 * sum + doublings * LN2;
}

/** base^exponent for base > 0. */
export function pow(base: number, exponent: number): number {
  return exp(exponent * ln(base));
}

function scaleByPowerOfTwo(value: number, exponent: number): number {
  let result = value;
  for (let n = 0; n < exponent; n++) result *= 2;
  for (let n = 0; n > exponent; n--) result /= 2;
  return result;
}

/** The quantile function of the standard normal distribution, to 1.2e-9 (P. J. Acklam's rational approximation, 2003). */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * ln(p));
    return (
      (((((-7.784894002430293e-3 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) * q +
        4.374664141464968) *
        q +
        2.938163982698783) /
      ((((7.784695709041462e-3 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1)
    );
  }
  const q = p - 0.5;
  const r = q * q;
  return (
    ((((((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.357751867269) * r -
      30.66479806614716) *
      r +
      2.506628277459239) *
      q) /
    (((((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r -
      13.28068155288572) *
      r +
      1)
  );
}

/** 4,096 equally likely values of a distribution: one draw is one table look-up. */
export type QuantileTable = Float64Array;

const QUANTILES = 4096;

export function quantileTable(quantile: (p: number) => number): QuantileTable {
  return Float64Array.from({ length: QUANTILES }, (_, index) => quantile((index + 0.5) / QUANTILES));
}

/** Lognormal by its median and the standard deviation of its logarithm. */
export function lognormalTable(median: number, sigma: number): QuantileTable {
  return quantileTable((p) => median * exp(sigma * normalQuantile(p)));
}

/** Exponential with mean 1. */
export function exponentialTable(): QuantileTable {
  return quantileTable((p) => -ln(1 - p));
}

/** The value at a uniform 32-bit draw. */
export function draw(table: QuantileTable, uint32: number): number {
  return table[uint32 >>> 20] as number;
}
