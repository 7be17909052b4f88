import type { Visit } from './visit.js';

/** Sessions in progress by the time of their next step: a binary heap. Ties go by session number, so that the order is fixed. */
export class VisitQueue {
  private readonly visits: Visit[] = [];
  private readonly times: number[] = [];

  get length(): number {
    return this.visits.length;
  }

  get earliestMs(): number {
    return this.times[0] as number;
  }

  first(): Visit {
    return this.visits[0] as Visit;
  }

  add(visit: Visit, timeMs: number): void {
    let hole = this.visits.length;
    this.visits.push(visit);
    this.times.push(timeMs);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.isBefore(timeMs, visit, parent)) break;
      this.move(parent, hole);
      hole = parent;
    }
    this.put(visit, timeMs, hole);
  }

  /** Gives the first session its next time. */
  reschedule(timeMs: number): void {
    this.sink(this.first(), timeMs);
  }

  /** Takes the first session out. */
  remove(): Visit {
    const first = this.first();
    const visit = this.visits.pop() as Visit;
    const timeMs = this.times.pop() as number;
    if (this.visits.length > 0) this.sink(visit, timeMs);
    return first;
  }

  /** Puts a session at the top and lets it sink to its place. */
  private sink(visit: Visit, timeMs: number): void {
    const size = this.visits.length;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && this.isBefore(this.times[child + 1] as number, this.visits[child + 1] as Visit, child))
        child++;
      if (this.isBefore(timeMs, visit, child)) break;
      this.move(child, hole);
      hole = child;
    }
    this.put(visit, timeMs, hole);
  }

  private isBefore(timeMs: number, visit: Visit, other: number): boolean {
    const otherMs = this.times[other] as number;
    return timeMs < otherMs || (timeMs === otherMs && visit.number < (this.visits[other] as Visit).number);
  }

  private move(from: number, to: number): void {
    this.visits[to] = this.visits[from] as Visit;
    this.times[to] = this.times[from] as number;
  }

  private put(visit: Visit, timeMs: number, at: number): void {
    this.visits[at] = visit;
    this.times[at] = timeMs;
  }
}
