import type { Series } from './pipeline.js';
import { bucketSeconds, RANGES, type TimeRange } from './ranges.js';
import { TimeWindow } from '../../platform/timeWindow.js';

/** Every point of the last minutes is kept, and of those before one a minute, for as long as the longest range. */
const FINE_MS = 900_000;
const KEPT_MS = RANGES['28d'] * 1000;
const COARSE_MS = 60_000;
const MAX_POINTS = 300;
/** Nobody looked for so long: what was between is not known. Longer than the distance of coarse points. */
const GAP_MS = 90_000;

interface HistoryPoint<Key extends string> {
  readonly atMs: number;
  readonly values: Readonly<Record<Key, number>>;
}

/** Figures that nobody else remembers, such as how many files waited; from the start of this process on. */
export class History<Key extends string> {
  private readonly coarse: HistoryPoint<Key>[] = [];
  private readonly fine: HistoryPoint<Key>[] = [];

  constructor(private readonly keys: readonly Key[]) {}

  add(atMs: number, values: Readonly<Record<Key, number>>): void {
    this.fine.push({ atMs, values });
    while ((this.fine[0]?.atMs ?? atMs) < atMs - FINE_MS) this.age(this.fine.shift());
    while ((this.coarse[0]?.atMs ?? atMs) < atMs - KEPT_MS) this.coarse.shift();
  }

  /** The most of each bucket: what waited only for a moment is still seen. */
  series(range: TimeRange, nowMs: number): Series<Key> {
    const seconds = RANGES[range];
    const sinceMs = seconds === undefined ? 0 : nowMs - seconds * 1000;
    const points = [...this.coarse, ...this.fine].filter(({ atMs }) => atMs >= sinceMs);
    const widthMs = bucketSeconds((nowMs - (points[0]?.atMs ?? nowMs)) / 1000, 1, MAX_POINTS) * 1000;
    const shown: HistoryPoint<Key>[] = [];
    for (const point of points) {
      const last = shown.at(-1);
      if (last !== undefined && Math.floor(point.atMs / widthMs) === Math.floor(last.atMs / widthMs))
        shown[shown.length - 1] = this.most(last, point);
      else shown.push(point);
    }
    const times: number[] = [];
    const values = Object.fromEntries(this.keys.map((key) => [key, [] as (number | null)[]])) as Record<
      Key,
      (number | null)[]
    >;
    const push = (atMs: number, valueOf: (key: Key) => number | null): void => {
      times.push(Math.round(atMs / 1000));
      for (const key of this.keys) values[key].push(valueOf(key));
    };
    shown.forEach((point, index) => {
      const last = shown[index - 1];
      if (last !== undefined && point.atMs - last.atMs > Math.max(GAP_MS, 3 * widthMs))
        push(last.atMs + widthMs, () => null);
      push(point.atMs, (key) => point.values[key]);
    });
    return { times, values };
  }

  private age(point: HistoryPoint<Key> | undefined): void {
    const last = this.coarse.at(-1);
    if (point === undefined) return;
    if (last !== undefined && Math.floor(point.atMs / COARSE_MS) === Math.floor(last.atMs / COARSE_MS))
      this.coarse[this.coarse.length - 1] = this.most(last, point);
    else this.coarse.push(point);
  }

  /** At the time of the first of both. */
  private most(first: HistoryPoint<Key>, second: HistoryPoint<Key>): HistoryPoint<Key> {
    const values = Object.fromEntries(this.keys.map((key) => [key, Math.max(first.values[key], second.values[key])]));
    return { atMs: first.atMs, values: values as Record<Key, number> };
  }
}

/** What the stages of this process have done so far. */
export interface StageCounts {
  readonly generatedRows: number;
  readonly generatedFiles: number;
  readonly movedFiles: number;
}

/** Null: not known here. */
export interface StageRate {
  readonly stage: 'generate' | 'move' | 'stream';
  readonly rowsPerSecond: number | null;
  readonly filesPerSecond: number | null;
}

const WINDOW_MS = 10_000;

/** Speeds of the stages: those of this process by their counts, the loader's by the ledger, whoever loads. */
export class StageRates {
  private readonly window = new TimeWindow<keyof StageCounts>(WINDOW_MS);

  constructor(private readonly counts: (() => StageCounts) | undefined) {}

  /** Notes what the stages of this process have done until now. */
  count(atMs: number): void {
    if (this.counts !== undefined) this.window.add(atMs, { ...this.counts() });
  }

  rates(loaded: Omit<StageRate, 'stage'>): StageRate[] {
    const rate = (key: keyof StageCounts): number | null => this.window.perSecond(key) ?? null;
    return [
      { stage: 'generate', rowsPerSecond: rate('generatedRows'), filesPerSecond: rate('generatedFiles') },
      // The mover does not look into files.
      { stage: 'move', rowsPerSecond: null, filesPerSecond: rate('movedFiles') },
      { stage: 'stream', ...loaded },
    ];
  }
}
