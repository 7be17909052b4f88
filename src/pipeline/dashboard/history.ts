import type { Series } from './pipeline.js';

const KEPT_MS = 300_000;

/** The last five minutes of figures that nobody else remembers. */
export class History<Key extends string> {
  private readonly points: { readonly atMs: number; readonly values: Readonly<Record<Key, number>> }[] = [];

  add(atMs: number, values: Readonly<Record<Key, number>>): void {
    this.points.push({ atMs, values });
    while ((this.points[0]?.atMs ?? atMs) < atMs - KEPT_MS) this.points.shift();
  }

  series(): Series<Key> {
    const keys = Object.keys(this.points[0]?.values ?? {}) as Key[];
    const values = Object.fromEntries(
      keys.map((key) => [key, this.points.map((point) => point.values[key])]),
    ) as Record<Key, number[]>;
    return { times: this.points.map(({ atMs }) => Math.round(atMs / 1000)), values };
  }
}
