import { DAY_MS, COUNTRIES, HOUR_MS, summerTimeMs } from './geography.js';
import { draw, exponentialTable } from './math.js';
import type { Profile } from './profile.js';
import { PURPOSE, Random, type StreamKey } from './random.js';
import type { Line, Simulator } from './simulator.js';
import { Visit } from './visit.js';
import type { Visitors } from './visitors.js';
import { TimeQueue } from './timeQueue.js';
import { elementAt } from '../../platform/elementAt.js';

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

/** A session in which something is sent back, days before it takes place: as little as it needs to be played then. */
interface PlannedRefund {
  readonly number: number;
  readonly orderNumber: number;
  readonly user: number;
  readonly country: number;
  readonly device: number;
  readonly source: number;
  readonly payment: number;
  readonly coupon: number;
  readonly order: readonly Line[];
}

/**
 * The object of a longer session is not used again: its arrays never get shorter, and after some hours each would be as long
 * as the longest session that it has ever held. Most sessions are shorter.
 */
const MAX_SPARE_STEPS = 40;

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
  private readonly queue = new TimeQueue<Visit>();
  private readonly refunds = new TimeQueue<PlannedRefund>();
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
    else this.release(this.queue.remove());
  }

  private fillQueue(): void {
    for (;;) {
      const earliestMs = Math.min(this.queue.earliestMs, this.refunds.earliestMs);
      if (this.nextArrivalMs <= earliestMs) this.arrive();
      else if (this.refunds.earliestMs === earliestMs) this.beginRefund();
      else return;
    }
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
    const { number: orderNumber, user, country, device, source, payment, coupon } = visit;
    // Whole days and some hours: parcels take days, and people keep their hours.
    const delayMs = (2 + this.random.below(14)) * DAY_MS + this.random.below(DAY_MS / 12);
    this.refunds.add(
      { number: this.begun++, orderNumber, user, country, device, source, payment, coupon, order },
      Math.round((visit.timesMs[visit.length - 1] as number) + delayMs),
    );
  }

  private beginRefund(): void {
    const startMs = this.refunds.earliestMs;
    const { number, order, ...planned } = this.refunds.remove();
    const visit = this.take();
    visit.reset(number);
    Object.assign(visit, planned, { returning: true });
    this.simulator.playRefund(visit, startMs, order);
    this.queue.add(visit, startMs);
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

  private release(visit: Visit): void {
    if (visit.timesMs.length <= MAX_SPARE_STEPS) this.spare.push(visit);
  }

  private drawInterval(): number {
    return draw(this.intervals, this.random.uint32()) * this.meanIntervalMs;
  }
}

/** How busy the shop is at a moment of the local week, as a share of its busiest hour. */
export class TrafficCurve {
  /** Mean of {@link activity} over a week. */
  readonly mean: number;
  private readonly byHourOfWeek: Float64Array;
  private summerTimeMs = 0;
  private summerTimeKnownUntilMs = -Infinity;

  constructor(profile: Profile) {
    const raw = Array.from(
      { length: 168 },
      (_, hour) => (profile.weekdays[Math.floor(hour / 24)] as number) * (profile.hours[hour % 24] as number),
    );
    const peak = Math.max(...raw);
    this.byHourOfWeek = Float64Array.from(raw, (weight) => weight / peak);
    this.mean = raw.reduce((sum, weight) => sum + weight, 0) / 168 / peak;
  }

  /** In (0, 1], on the local clock of a country. */
  activity(epochMs: number, country: number): number {
    if (epochMs >= this.summerTimeKnownUntilMs) {
      this.summerTimeMs = summerTimeMs(epochMs);
      this.summerTimeKnownUntilMs = (Math.floor(epochMs / HOUR_MS) + 1) * HOUR_MS;
    }
    const offsetMs = elementAt(COUNTRIES, country).utcOffsetHours * HOUR_MS + this.summerTimeMs;
    // 1 January 1970 was a Thursday: four days behind a Sunday.
    const hour = Math.floor((epochMs + offsetMs + 4 * DAY_MS) / HOUR_MS) % 168;
    return this.byHourOfWeek[hour] as number;
  }
}
