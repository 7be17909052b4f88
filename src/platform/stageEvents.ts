import type { LogFields, Logger } from './log.js';
import type { Notice } from './notify/notifier.js';

/** A metric that a stage feeds. Whoever serves metrics registers it; the stage itself knows no metrics library. */
export type MetricSpec =
  | {
      readonly kind: 'counter';
      readonly name: string;
      readonly help: string;
      readonly label?: string;
      /** All values of the label: each starts at 0, as a rate over a series that only appears at its first event misses it. */
      readonly values?: readonly string[];
    }
  | { readonly kind: 'gauge'; readonly name: string; readonly help: string }
  | { readonly kind: 'histogram'; readonly name: string; readonly help: string; readonly buckets: readonly number[] };

export type MetricSpecs = Readonly<Record<string, MetricSpec>>;

/** Adds to a counter, sets a gauge, observes into a histogram. */
export type Meter<Spec> = Spec extends { readonly values: readonly (infer Value)[] }
  ? (amount: number, value: Value) => void
  : (amount: number) => void;

export type Meters<Specs> = { readonly [Key in keyof Specs]: Meter<Specs[Key]> };

/** All that one type of event means to those who watch a stage. */
export interface EventEntry<Event, Figures, Specs> {
  /** What it adds to the figures of the stage: progress lines, bars, the panel and the dashboard read those. */
  readonly count?: (figures: Figures, event: Event) => void;
  /** Its lines in the log, once it is counted. Where a line names no fields of its own, it gets all of the event's. */
  readonly log?: (log: Logger, event: Event, figures: Readonly<Figures>) => void;
  /** What it adds to the metrics. */
  readonly measure?: (meters: Meters<Specs>, event: Event) => void;
  /** What a person should look at, in a sentence. */
  readonly attention?: (event: Event) => string;
  /** What is posted to those who are not looking (`--notify-url`); undefined: nothing this time. */
  readonly notify?: (event: Event) => Notice | undefined;
}

/** The one place that says what the events of a stage mean. An event that is added to the stage must get its entry here. */
export interface StageEvents<Event extends { readonly type: string }, Figures, Specs extends MetricSpecs> {
  /** What the stage has done so far. */
  readonly figures: Figures;
  readonly metrics: Specs;
  readonly table: {
    readonly [Type in Event['type']]: EventEntry<Extract<Event, { readonly type: Type }>, Figures, Specs>;
  };
}

/** A listener that counts and logs events. @param onAttention hears what a person should look at. */
export function recordEvents<Event extends { readonly type: string }, Figures, Specs extends MetricSpecs>(
  stage: StageEvents<Event, Figures, Specs>,
  log: Logger,
  onAttention?: (message: string) => void,
): (event: Event) => void {
  return (event) => {
    const { count, log: write, attention } = entryOf(stage, event);
    count?.(stage.figures, event);
    write?.(withFieldsOf(event, log), event, stage.figures);
    if (attention !== undefined) onAttention?.(attention(event));
  };
}

/** A listener that measures events. */
export function measureEvents<Event extends { readonly type: string }, Figures, Specs extends MetricSpecs>(
  stage: StageEvents<Event, Figures, Specs>,
  meters: Meters<Specs>,
): (event: Event) => void {
  return (event) => entryOf(stage, event).measure?.(meters, event);
}

/** A listener that passes on what those should hear who are not looking. */
export function notifyEvents<Event extends { readonly type: string }, Figures, Specs extends MetricSpecs>(
  stage: StageEvents<Event, Figures, Specs>,
  notify: (notice: Notice) => void,
): (event: Event) => void {
  return (event) => {
    const notice = entryOf(stage, event).notify?.(event);
    if (notice !== undefined) notify(notice);
  };
}

/** The one cast: the table has under each type an entry for exactly the events of that type. */
function entryOf<Event extends { readonly type: string }, Figures, Specs extends MetricSpecs>(
  { table }: StageEvents<Event, Figures, Specs>,
  { type }: Event,
): EventEntry<Event, Figures, Specs> {
  return table[type as Event['type']] as EventEntry<Event, Figures, Specs>;
}

function withFieldsOf(event: { readonly type: string }, log: Logger): Logger {
  // Not by entries: for each small file they would take as long as its hash, for a line that mostly isn't written.
  const fieldsOf = (): LogFields => {
    const fields: Record<string, unknown> = { ...event };
    delete fields['type'];
    return fields;
  };
  return {
    debug: (name, message, fields = fieldsOf()) => log.debug(name, message, fields),
    info: (name, message, fields = fieldsOf()) => log.info(name, message, fields),
    warn: (name, message, fields = fieldsOf()) => log.warn(name, message, fields),
    error: (name, message, fields = fieldsOf()) => log.error(name, message, fields),
  };
}

const PROGRESS_INTERVAL_MS = 10_000;

/** Says when the next line about progress is due. */
export class ProgressInterval {
  /** @param lastMs when the last line was; -Infinity: the first one is due at once. */
  constructor(private lastMs = performance.now()) {}

  isDue(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.lastMs < PROGRESS_INTERVAL_MS) return false;
    this.lastMs = nowMs;
    return true;
  }
}
