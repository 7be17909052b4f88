import type { Bench } from './question.js';

/** What one run of a contender gave, by name. All runs of a contender give the same names. */
export type Sample = Readonly<Record<string, number>>;

export interface Contender {
  readonly name: string;
  /** Not measured: puts everything in place. */
  readonly prepare?: () => Promise<void> | void;
  readonly run: () => Promise<Sample>;
}

/** Medians and all values of what the contenders gave. */
export class Results {
  private readonly samples = new Map<string, Sample[]>();

  add(contender: string, sample: Sample): void {
    this.samples.set(contender, [...(this.samples.get(contender) ?? []), sample]);
  }

  values(contender: string, name: string): number[] {
    return (this.samples.get(contender) ?? []).map((sample) => sample[name] ?? NaN);
  }

  /** Undefined when the contender did not take part. */
  median(contender: string, name: string): number | undefined {
    const values = this.values(contender, name);
    return values.length === 0 ? undefined : median(values);
  }

  /** How many times the one's median is the other's. */
  ratio(contender: string, name: string, rival: string, rivalName = name): number | undefined {
    const [ours, theirs] = [this.median(contender, name), this.median(rival, rivalName)];
    return ours === undefined || theirs === undefined ? undefined : ours / theirs;
  }
}

/**
 * Runs every contender once a round, each round in another order: what drifts (the machine, the cache, the disk) then
 * hits all of them alike.
 */
export async function measureRounds(
  bench: Bench,
  contenders: readonly Contender[],
  runs = bench.runs,
): Promise<Results> {
  const results = new Results();
  for (let round = 0; round < runs; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(round + turn) % contenders.length]!;
      bench.stop.throwIfAborted();
      bench.progress.step(`round ${round + 1} of ${runs}, ${contender.name}`);
      await contender.prepare?.();
      results.add(contender.name, await contender.run());
    }
  }
  return results;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** By linear interpolation between the two nearest values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const position = (sorted.length - 1) * share;
  const [below, above] = [sorted[Math.floor(position)] ?? NaN, sorted[Math.ceil(position)] ?? NaN];
  return below + (above - below) * (position % 1);
}

export function perSecond(count: number, milliseconds: number): number {
  return count / (milliseconds / 1000);
}

/** `342 k` for rates, with the spread of all runs. */
export function describeRates(values: readonly number[], unit: string): string[] {
  return [
    `${shortNumber(median(values))} ${unit}`,
    `${shortNumber(Math.min(...values))} – ${shortNumber(Math.max(...values))}`,
  ];
}

export function shortNumber(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 10_000) return `${Math.round(value / 1000)} k`;
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
