import { DAY_MS } from './geography.js';
import { draw, exponentialTable } from './math.js';
import type { Profile } from './profile.js';
import { PURPOSE, Random, type StreamKey } from './random.js';
import { TrafficCurve } from './trafficCurve.js';
import type { Simulator } from './simulator.js';
import { Visit } from './visit.js';
import type { Visitors } from './visitors.js';
import { VisitQueue } from './visitQueue.js';

/** How many visits begin. */
export interface Traffic {
  readonly startMs: number;
  /** What came before `startMs`, always on the daily rhythm. */
  readonly history: { readonly startMs: number; readonly visitsPerDay: number } | undefined;
  /** Averaged over a week. */
  readonly visitsPerDay: number;
  /** `daily` follows the local clocks of the users; `flat` is for a rate that somebody asked for. */
  readonly rhythm: 'daily' | 'flat';
}

/**
 * All sessions merged in the order of time. Only the sessions in progress are in memory: {@link next} lets sessions
 * begin until none can begin before the earliest step that is waiting.
 */
export class Timeline {
  /** The event that {@link next} arrived at: step `step` of `visit`. */
  visit!: Visit;
  step = 0;

  private readonly random: Random;
  private readonly intervals = exponentialTable();
  private readonly rhythm: TrafficCurve;
  private meanIntervalMs!: number;
  private isDaily!: boolean;
  private isInHistory: boolean;
  private readonly queue = new VisitQueue();
  private readonly spare: Visit[] = [];
  private nextArrivalMs!: number;
  private begun = 0;

  constructor(
    profile: Profile,
    key: StreamKey,
    private readonly traffic: Traffic,
    private readonly visitors: Visitors,
    private readonly simulator: Simulator,
  ) {
    this.random = new Random(key, PURPOSE.arrivals);
    this.rhythm = new TrafficCurve(profile);
    const { history, startMs, visitsPerDay, rhythm } = traffic;
    this.isInHistory = history !== undefined;
    if (history === undefined) this.setRate(visitsPerDay, rhythm);
    else this.setRate(history.visitsPerDay, 'daily');
    this.scheduleArrival(history?.startMs ?? startMs);
  }

  /** Time of the event that {@link next} goes to. */
  get nextMs(): number {
    this.fillQueue();
    return this.queue.earliestMs;
  }

  /** Goes to the next event in time. There is always one. */
  next(): void {
    this.fillQueue();
    const visit = this.queue.first();
    this.visit = visit;
    this.step = visit.cursor++;
    if (visit.cursor < visit.length) this.queue.reschedule(visit.timesMs[visit.cursor] as number);
    else this.spare.push(this.queue.remove());
  }

  private fillQueue(): void {
    while (this.queue.length === 0 || this.nextArrivalMs <= this.queue.earliestMs) this.arrive();
  }

  /**
   * Lets the next candidate begin a visit, or not: candidates come at the rate of the busiest hour and are thinned to
   * that of theirs (Lewis and Shedler 1979).
   */
  private arrive(): void {
    const nowMs = Math.floor(this.nextArrivalMs);
    const isThinned = this.isDaily;
    this.scheduleArrival(this.nextArrivalMs);
    const visit = this.take();
    this.visitors.assign(visit, nowMs);
    if (isThinned && !this.random.chance(this.rhythm.activity(nowMs, visit.country))) {
      this.spare.push(visit);
      return;
    }
    visit.reset(this.begun++);
    this.visitors.record(visit.user, nowMs);
    this.simulator.play(visit, nowMs);
    this.queue.add(visit, nowMs);
    this.scheduleRefund(visit);
  }

  private scheduleRefund(visit: Visit): void {
    const order = this.simulator.refundedOrder();
    if (order === undefined) return;
    const refund = this.take();
    refund.reset(this.begun++);
    Object.assign(refund, {
      user: visit.user,
      country: visit.country,
      device: visit.device,
      source: visit.source,
      returning: true,
    });
    refund.orderNumber = visit.number;
    refund.payment = visit.payment;
    refund.coupon = visit.coupon;
    // Whole days and some hours: parcels take days, and people keep their hours.
    const delayMs = (2 + this.random.below(14)) * DAY_MS + this.random.below(DAY_MS / 12);
    this.simulator.playRefund(refund, Math.round((visit.timesMs[visit.length - 1] as number) + delayMs), order);
    this.queue.add(refund, refund.timesMs[0] as number);
  }

  private setRate(visitsPerDay: number, rhythm: Traffic['rhythm']): void {
    this.isDaily = rhythm === 'daily';
    this.meanIntervalMs = (DAY_MS / visitsPerDay) * (this.isDaily ? this.rhythm.mean : 1);
  }

  /** At the end of the history the rate changes: arrivals have no memory, so the next one is drawn anew from there. */
  private scheduleArrival(afterMs: number): void {
    this.nextArrivalMs = afterMs + this.drawInterval();
    const { startMs, visitsPerDay, rhythm } = this.traffic;
    if (!this.isInHistory || this.nextArrivalMs < startMs) return;
    this.isInHistory = false;
    this.setRate(visitsPerDay, rhythm);
    this.nextArrivalMs = startMs + this.drawInterval();
  }

  private take(): Visit {
    return this.spare.pop() ?? new Visit();
  }

  private drawInterval(): number {
    return draw(this.intervals, this.random.uint32()) * this.meanIntervalMs;
  }
}
