import path from 'node:path';
import { randomInt } from 'node:crypto';
import { UsageError } from '../../platform/errors.js';
import { InvalidValueError } from '../../platform/settings.js';
import { parseFaults, type FaultRates } from './faults/kinds.js';
import { DAY_MS } from './geography.js';
import { type Profile, PROFILES } from './profile.js';
import { streamKey } from './random.js';
import type { Traffic } from './timeline.js';

/** What can be asked of {@link runGenerate}. Everything but the output directory has a default. */
export interface GenerateSettings {
  /** Where the CSV files appear; created when missing. @default 'data/incoming' */
  readonly outputDir: string;
  /**
   * Where the manifest is written. No stage takes the default for data.
   * @default `.manifest` in the output directory
   */
  readonly manifestDir?: string | undefined;
  /** Seconds between files; 0: as fast as possible. `rate` and `batchSize` together set it. @default 5 */
  readonly intervalSeconds?: number | undefined;
  /** Events in a file. `rate` and `intervalSeconds` together set it. @default 10 */
  readonly batchSize?: number | undefined;
  /** Stop after so many files. @default no limit */
  readonly batches?: number | undefined;
  /** Stop after so many events; the last file may be smaller. @default no limit */
  readonly events?: number | undefined;
  /** Events a second. @default what `batchSize` and `intervalSeconds` make it */
  readonly rate?: number | undefined;
  /**
   * 0 … 2⁵³ − 1. With the same `start` and settings it makes the same bytes.
   * @default drawn, and reported in the result
   */
  readonly seed?: number | undefined;
  /** Time of the first event, ISO 8601. @default now, or four weeks ago when files come as fast as possible */
  readonly start?: string | undefined;
  /**
   * How many different users there are. Also sets how much happens on a day, unless an interval or a rate does: a user
   * comes about twice in four weeks.
   * @default as many as make `events` four weeks of traffic
   */
  readonly users?: number | undefined;
  /**
   * Before the paced events, those of so many milliseconds before `start`: on the profile's daily rhythm, and as fast as
   * possible. `batches` and `events` do not count them.
   * @default none
   */
  readonly historyMs?: number | undefined;
  /** Items in the catalogue. @default 10000 */
  readonly products?: number | undefined;
  /** Faults: `clean`, `dirty`, or `kind=rate,…`. @default 'clean' */
  readonly dirt?: string | undefined;
  /** Kind of shop: a name of PROFILES. @default 'default' */
  readonly profile?: string | undefined;
}

/** Settings checked and completed: with these and nothing else a run makes its bytes. */
export interface Plan {
  readonly outputDir: string;
  readonly manifestDir: string;
  readonly seed: number;
  readonly profile: Profile;
  readonly users: number | undefined;
  readonly products: number;
  readonly dirt: FaultRates;
  readonly batchSize: number;
  readonly batches: number;
  readonly events: number;
  /** Undefined: as fast as possible, on the profile's daily rhythm. */
  readonly pace: Pace | undefined;
  readonly traffic: Traffic;
  /** How many past visits returning users are drawn from. */
  readonly memory: number;
}

export interface Pace {
  readonly fileIntervalMs: number;
  readonly eventsPerSecond: number;
}

const DEFAULT_INTERVAL_SECONDS = 5;
const DEFAULT_BATCH_SIZE = 10;
const DEFAULT_PRODUCTS = 10_000;
const WINDOW_DAYS = 28;
/** Events of four weeks when nothing says how many are wanted: 160,000 users. */
const DEFAULT_WINDOW_EVENTS = 4_000_000;
/** Events of four weeks of history, unless `users` says how much happens: a few seconds of loading. */
const HISTORY_WINDOW_EVENTS = 500_000;
const MIN_VISITS_PER_DAY = 500;
/** Faster traffic is simulated at this and played in fast motion, so that the sessions in progress stay few. */
const MAX_VISITS_PER_DAY = 100 * 86_400;
const MAX_MEMORY = 2 ** 20;

/**
 * Checks settings and fills in what is left open.
 * @throws UsageError with every problem.
 */
export function planRun(settings: GenerateSettings, nowMs: number): Plan {
  const problems: string[] = [];
  const check = <T>(name: string, value: string | undefined, parse: (text: string) => T): T | undefined => {
    if (value === undefined) return undefined;
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof InvalidValueError)) throw error;
      problems.push(`${name} ${JSON.stringify(value)}: ${error.message}`);
      return undefined;
    }
  };
  problems.push(...outOfBounds(settings), ...contradictions(settings));
  const startMs = check('start', settings.start, parseStart);
  const profile = check('profile', settings.profile ?? 'default', parseProfile);
  const dirt = check('dirt', settings.dirt ?? 'clean', parseFaults);
  if (problems.length > 0 || profile === undefined || dirt === undefined) throw new UsageError(problems);

  const { pace, batchSize } = paceOf(settings);
  const events = settings.events ?? Infinity;
  const batches = settings.batches ?? Infinity;
  const visitsPerDay = visitsPerDayOf(settings, profile, pace, Math.min(events, batches * batchSize));
  const liveMs = startMs ?? defaultStartMs(nowMs, pace);
  const history = historyOf(settings, profile, liveMs);
  const busiestDay = Math.max(visitsPerDay, history?.visitsPerDay ?? 0);
  return {
    outputDir: settings.outputDir,
    manifestDir: settings.manifestDir ?? path.join(settings.outputDir, '.manifest'),
    seed: settings.seed ?? randomInt(2 ** 48 - 1),
    profile,
    users: settings.users,
    products: settings.products ?? DEFAULT_PRODUCTS,
    dirt,
    batchSize,
    batches,
    events,
    pace,
    traffic: {
      startMs: liveMs,
      history,
      visitsPerDay,
      rhythm: pace === undefined ? 'daily' : 'flat',
    },
    memory: Math.min(MAX_MEMORY, Math.max(1024, Math.ceil(busiestDay * WINDOW_DAYS))),
  };
}

/** Numbers that no run can have. The command line checks them too; a program may call with anything. */
function outOfBounds(settings: GenerateSettings): string[] {
  const bounds: readonly (readonly [
    name: string,
    value: number | undefined,
    min: number,
    max: number,
    isWhole: boolean,
  ])[] = [
    ['interval', settings.intervalSeconds, 0, 86_400, false],
    ['batch-size', settings.batchSize, 1, 1e9, true],
    ['batches', settings.batches, 1, Number.MAX_SAFE_INTEGER, true],
    ['events', settings.events, 1, Number.MAX_SAFE_INTEGER, true],
    ['rate', settings.rate, 1e-6, 1e8, false],
    ['history', settings.historyMs, 1, 3650 * DAY_MS, false],
    ['seed', settings.seed, 0, Number.MAX_SAFE_INTEGER, true],
    ['users', settings.users, 1, 2 ** 31 - 1, true],
    ['products', settings.products, 1, 2_000_000, true],
  ];
  return bounds
    .filter(
      ([, value, min, max, isWhole]) =>
        value !== undefined && !(value >= min && value <= max && (!isWhole || Number.isSafeInteger(value))),
    )
    .map(
      ([name, value, min, max, isWhole]) =>
        `${name} ${value}: expected a ${isWhole ? 'whole ' : ''}number from ${min} to ${max}`,
    );
}

/** Interval, batch size and rate, when all three are given and don't fit together; a history that nothing follows. */
function contradictions({ rate, batchSize, intervalSeconds, historyMs }: GenerateSettings): string[] {
  if (historyMs !== undefined && intervalSeconds === 0 && rate === undefined)
    return ['history: with interval 0 all events are of the past already; leave one of the two out'];
  if (rate === undefined || batchSize === undefined || intervalSeconds === undefined || intervalSeconds <= 0) return [];
  const asked = batchSize / intervalSeconds;
  if (Math.abs(asked / rate - 1) <= 0.001) return [];
  return [
    `rate ${rate}: batch-size ${batchSize} every ${intervalSeconds} s is ${asked} events/s; leave one of the three out`,
  ];
}

/** Interval, batch size and rate: two of them make the third. */
function paceOf({ intervalSeconds, batchSize, rate }: GenerateSettings): { pace: Pace | undefined; batchSize: number } {
  if (rate === undefined) {
    const size = batchSize ?? DEFAULT_BATCH_SIZE;
    const interval = intervalSeconds ?? DEFAULT_INTERVAL_SECONDS;
    return {
      pace: interval === 0 ? undefined : { fileIntervalMs: interval * 1000, eventsPerSecond: size / interval },
      batchSize: size,
    };
  }
  const size =
    batchSize ??
    (intervalSeconds === 0
      ? DEFAULT_BATCH_SIZE
      : Math.max(1, Math.round(rate * (intervalSeconds ?? DEFAULT_INTERVAL_SECONDS))));
  return { pace: { fileIntervalMs: (size / rate) * 1000, eventsPerSecond: rate }, batchSize: size };
}

function visitsPerDayOf({ users }: GenerateSettings, profile: Profile, pace: Pace | undefined, events: number): number {
  if (pace !== undefined)
    return Math.min(MAX_VISITS_PER_DAY, (pace.eventsPerSecond / profile.eventsPerSession) * 86_400);
  if (users !== undefined) return Math.min(MAX_VISITS_PER_DAY, users / (1 - profile.returningShare) / WINDOW_DAYS);
  const wanted = Number.isFinite(events) ? events : DEFAULT_WINDOW_EVENTS;
  return Math.min(MAX_VISITS_PER_DAY, Math.max(MIN_VISITS_PER_DAY, wanted / profile.eventsPerSession / WINDOW_DAYS));
}

function historyOf(settings: GenerateSettings, profile: Profile, liveMs: number): Traffic['history'] {
  const { historyMs } = settings;
  if (historyMs === undefined) return undefined;
  const visitsPerDay = visitsPerDayOf(settings, profile, undefined, HISTORY_WINDOW_EVENTS);
  return { startMs: liveMs - historyMs, visitsPerDay };
}

/** Paced, the first file is due at once and holds the interval that just ended; unpaced, the run ends about now. */
function defaultStartMs(nowMs: number, pace: Pace | undefined): number {
  return pace === undefined
    ? Math.floor(nowMs / DAY_MS - WINDOW_DAYS) * DAY_MS
    : Math.round(nowMs - pace.fileIntervalMs);
}

/** Names the run: by its start, and by everything that its bytes depend on, so that only the same run has the same name. */
export function runIdOf(plan: Plan): string {
  const { seed, profile, users, products, dirt, batchSize, batches, events, pace, traffic } = plan;
  const { low } = streamKey(
    seed,
    traffic.startMs,
    JSON.stringify([
      ...[profile.name, users, products, dirt, batchSize, batches, events, pace],
      ...(traffic.history === undefined ? [] : [traffic.history]),
    ]),
  );
  const time = new Date(traffic.startMs).toISOString().replace(/[-:.]/g, '');
  return `${time}-${(low >>> 0).toString(16).padStart(8, '0')}`;
}

/** The year 9999 is the last that ISO 8601 writes with four digits. */
const LATEST_START_MS = Date.UTC(9900, 0, 1);

/** Parses `2026-11-22T13:00:00Z`; a date alone is its midnight in UTC. @throws InvalidValueError */
export function parseStart(text: string): number {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?(\.\d{1,3})?(Z|[+-]\d{2}:\d{2}))?$/.exec(text);
  const [, date = '', time = '00:00', seconds = ':00', fraction = '', zone = 'Z'] = match ?? [];
  const ms = match === null ? Number.NaN : Date.parse(`${date}T${time}${seconds}${fraction}${zone}`);
  // Date.parse takes 30 February for 1 March.
  const isReal = !Number.isNaN(ms) && new Date(Date.parse(date)).toISOString().startsWith(date);
  if (!isReal || ms < 0 || ms > LATEST_START_MS) {
    throw new InvalidValueError(
      'expected a time from 1970 on with its zone, such as 2026-11-22T13:00:00Z, or a date such as 2026-11-22',
    );
  }
  return ms;
}

/** @throws InvalidValueError */
export function parseProfile(name: string): Profile {
  const profile = Object.hasOwn(PROFILES, name) ? PROFILES[name] : undefined;
  if (profile === undefined) throw new InvalidValueError(`expected one of ${Object.keys(PROFILES).join(', ')}`);
  return profile;
}
