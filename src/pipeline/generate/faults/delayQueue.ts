import type { EventRecord } from './record.js';

/** A row that will be delivered later. */
export interface Delayed {
  readonly kind: 'redelivery' | 'late-1h' | 'late-24h' | 'late-72h';
  readonly record: EventRecord;
  readonly dueMs: number;
  /** Number of the file its event belongs to. */
  readonly origin: number;
}

/** More than this are never held back: at high rates of events the earliest then come before their time. */
const CAPACITY = 100_000;

/** Rows on their way, by due time: a binary heap; ties in the order of arrival. */
export class DelayQueue {
  private readonly heap: { readonly item: Delayed; readonly arrival: number }[] = [];
  private arrivals = 0;

  get length(): number {
    return this.heap.length;
  }

  /** A row is due at `nowMs`, or too many wait. */
  isDue(nowMs: number): boolean {
    const first = this.heap[0];
    return first !== undefined && (first.item.dueMs <= nowMs || this.heap.length > CAPACITY);
  }

  add(item: Delayed): void {
    const entry = { item, arrival: this.arrivals++ };
    let hole = this.heap.length;
    this.heap.push(entry);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = this.heap[parent] as typeof entry;
      if (!isBefore(entry, above)) break;
      this.heap[hole] = above;
      hole = parent;
    }
    this.heap[hole] = entry;
  }

  /** Takes out the earliest row if it {@link isDue}. */
  takeDue(nowMs: number): Delayed | undefined {
    const first = this.heap[0];
    if (first === undefined || !this.isDue(nowMs)) return undefined;
    const last = this.heap.pop() as typeof first;
    if (this.heap.length > 0) this.sink(last);
    return first.item;
  }

  private sink(entry: (typeof this.heap)[number]): void {
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= this.heap.length) break;
      const right = this.heap[child + 1];
      if (right !== undefined && isBefore(right, this.heap[child] as typeof entry)) child++;
      const below = this.heap[child] as typeof entry;
      if (isBefore(entry, below)) break;
      this.heap[hole] = below;
      hole = child;
    }
    this.heap[hole] = entry;
  }
}

function isBefore(a: { item: Delayed; arrival: number }, b: { item: Delayed; arrival: number }): boolean {
  return a.item.dueMs < b.item.dueMs || (a.item.dueMs === b.item.dueMs && a.arrival < b.arrival);
}
