/** What a session is known by. */
interface Numbered {
  readonly number: number;
}

/** Sessions by the time of what comes next in them: a binary heap. Ties go by session number, so that the order is fixed. */
export class TimeQueue<T extends Numbered> {
  private readonly entries: T[] = [];
  private readonly times: number[] = [];

  get length(): number {
    return this.entries.length;
  }

  /** Infinity when there is none. */
  get earliestMs(): number {
    return this.times[0] ?? Infinity;
  }

  first(): T {
    return this.entries[0] as T;
  }

  add(entry: T, timeMs: number): void {
    let hole = this.entries.length;
    this.entries.push(entry);
    this.times.push(timeMs);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.isBefore(timeMs, entry, parent)) break;
      this.move(parent, hole);
      hole = parent;
    }
    this.put(entry, timeMs, hole);
  }

  /** Gives the first session its next time. */
  reschedule(timeMs: number): void {
    this.sink(this.first(), timeMs);
  }

  /** Takes the first session out. */
  remove(): T {
    const first = this.first();
    const entry = this.entries.pop() as T;
    const timeMs = this.times.pop() as number;
    if (this.entries.length > 0) this.sink(entry, timeMs);
    return first;
  }

  /** Puts a session at the top and lets it sink to its place. */
  private sink(entry: T, timeMs: number): void {
    const size = this.entries.length;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && this.isBefore(this.times[child + 1] as number, this.entries[child + 1] as T, child))
        child++;
      if (this.isBefore(timeMs, entry, child)) break;
      this.move(child, hole);
      hole = child;
    }
    this.put(entry, timeMs, hole);
  }

  private isBefore(timeMs: number, entry: T, other: number): boolean {
    const otherMs = this.times[other] as number;
    return timeMs < otherMs || (timeMs === otherMs && entry.number < (this.entries[other] as T).number);
  }

  private move(from: number, to: number): void {
    this.entries[to] = this.entries[from] as T;
    this.times[to] = this.times[from] as number;
  }

  private put(entry: T, timeMs: number, at: number): void {
    this.entries[at] = entry;
    this.times[at] = timeMs;
  }
}
