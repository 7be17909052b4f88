/** A figure of each name, at a moment. */
interface WindowPoint<Key extends string> {
  readonly atMs: number;
  readonly values: Readonly<Record<Key, number>>;
}

/** The latest values of some figures: those of the last `windowMs`, and always the last `minPoints`. */
export class TimeWindow<Key extends string> {
  private readonly kept: WindowPoint<Key>[] = [];

  constructor(
    private readonly windowMs: number,
    private readonly minPoints = 2,
  ) {}

  get points(): readonly WindowPoint<Key>[] {
    return this.kept;
  }

  add(atMs: number, values: Readonly<Record<Key, number>>): void {
    this.kept.push({ atMs, values });
    const sinceMs = atMs - this.windowMs;
    const expired = this.kept.findIndex((point) => point.atMs >= sinceMs);
    this.kept.splice(0, Math.max(0, Math.min(expired, this.kept.length - this.minPoints)));
  }

  /** How fast a figure grows over the window, per second; undefined until time has passed. */
  perSecond(key: Key): number | undefined {
    const [first, last] = [this.kept[0], this.kept.at(-1)];
    if (first === undefined || last === undefined || last.atMs === first.atMs) return undefined;
    return ((last.values[key] - first.values[key]) * 1000) / (last.atMs - first.atMs);
  }
}
