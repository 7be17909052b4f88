import { createCatalogue } from './catalogue.js';
import { Pages } from './pages.js';
import { PURPOSE, Random, streamKey, type StreamKey } from './random.js';
import { RowWriter } from './rowWriter.js';
import type { Plan } from './settings.js';
import { Simulator } from './simulator.js';
import { Timeline } from './timeline.js';
import { Visitors } from './visitors.js';
import type { Visit } from './visit.js';

/** The clean events of a run, one CSV row after the other. */
export class EventSource {
  /** Time of the row written last. */
  timeMs = 0;
  /** Rows written so far. */
  count = 0;
  /** Of these, the events of the history. */
  historyEvents = 0;
  private lastVisit: Visit | undefined;
  private lastSimulatedMs = 0;

  private constructor(
    readonly writer: RowWriter,
    private readonly timeline: Timeline,
    private readonly startMs: number,
    private readonly eventsPerSecond: number | undefined,
  ) {}

  static async create(plan: Plan): Promise<EventSource> {
    const { profile, traffic, pace } = plan;
    const key = keyOf(plan);
    const catalogue = await createCatalogue(profile, plan.products, key);
    const pages = new Pages(catalogue);
    const visitors = new Visitors(profile, key, plan.users ?? Infinity, plan.memory);
    const timeline = new Timeline(profile, key, traffic, visitors, new Simulator(profile, catalogue, pages, key));
    return new EventSource(
      new RowWriter(key, catalogue, pages, profile.currency),
      timeline,
      traffic.startMs,
      pace?.eventsPerSecond,
    );
  }

  /** The next event is one of the history. */
  get isInHistory(): boolean {
    return this.timeline.nextMs < this.startMs;
  }

  /** Writes the next event's row at `position`, and returns the position behind it. */
  writeNext(target: Uint8Array, position: number): number {
    const { timeline } = this;
    timeline.next();
    const { visit, step } = timeline;
    const simulatedMs = visit.timesMs[step] as number;
    if (simulatedMs < this.startMs) {
      this.timeMs = simulatedMs;
      this.historyEvents++;
    } else if (this.eventsPerSecond === undefined) {
      this.timeMs = simulatedMs;
    } else if (visit !== this.lastVisit || simulatedMs !== this.lastSimulatedMs) {
      // An asked rate sets the pace of time: event n is due after n / rate seconds. Events of one page load stay together.
      const sinceStart = this.count - this.historyEvents;
      this.timeMs = this.startMs + Math.floor((sinceStart * 1000) / this.eventsPerSecond);
    }
    this.lastVisit = visit;
    this.lastSimulatedMs = simulatedMs;
    return this.writer.write(target, position, visit, step, this.timeMs, this.count++);
  }
}

/** What all random streams and identifiers of a run derive from. How events are cut into files does not matter to it. */
export function keyOf(plan: Plan): StreamKey {
  const { history, startMs } = plan.traffic;
  // Live events alone, and those after a history, are different events: their ids must differ.
  const traffic = history === undefined ? plan.profile.name : `${plan.profile.name} since ${history.startMs}`;
  const mixed = streamKey(plan.seed, startMs, traffic);
  const random = new Random(mixed, PURPOSE.file);
  return { low: random.uint32() | 0, high: random.uint32() | 0 };
}
