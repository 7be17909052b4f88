/** Time ranges that the page offers, in seconds; `all` is everything that there is. */
export const RANGES = {
  '15m': 900,
  '1h': 3600,
  '24h': 86_400,
  '7d': 604_800,
  '28d': 2_419_200,
  all: undefined,
} as const;

export type TimeRange = keyof typeof RANGES;

export const DEFAULT_RANGE: TimeRange = '24h';

/** @param text of a URL; undefined when it names no range. */
export function parseRange(text: string | null): TimeRange | undefined {
  if (text === null) return DEFAULT_RANGE;
  return Object.hasOwn(RANGES, text) ? (text as TimeRange) : undefined;
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const WIDTHS = [
  1,
  2,
  5,
  10,
  15,
  30,
  MINUTE,
  5 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  3 * HOUR,
  6 * HOUR,
  DAY,
  7 * DAY,
];

/** The narrowest bucket with which a chart of that many seconds has no more than `maxBuckets` points. */
export function bucketSeconds(spanSeconds: number, minSeconds: number, maxBuckets: number): number {
  const fits = WIDTHS.find((width) => width >= minSeconds && spanSeconds / width <= maxBuckets);
  return fits ?? 7 * DAY * Math.ceil(spanSeconds / (7 * DAY) / maxBuckets);
}

/** Starts of the buckets that hold the time from `startSeconds` to `endSeconds`, both included; at most 1,000. */
export function bucketStarts(startSeconds: number, endSeconds: number, width: number): number[] {
  const first = Math.floor(startSeconds / width) * width;
  const count = Math.min(1000, Math.floor((endSeconds - first) / width) + 1);
  return Array.from({ length: Math.max(0, count) }, (_, index) => first + index * width);
}

/** What the events in the tables cover, by their own time; milliseconds since 1970. */
export interface EventBounds {
  readonly firstMs: number;
  readonly newestMs: number;
}

/** The time that the figures of the shop are about. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
  /** Start of the period before, which is as long; null when the events do not cover all of it. */
  readonly previousStartMs: number | null;
  /** It ends now; otherwise with the newest event, as those that are loaded are older. */
  readonly isLive: boolean;
  readonly bucketSeconds: number;
}

/** An event as old as that does not make the window end before now. */
const LIVE_MS = 15 * 60_000;
const MAX_BARS = 60;

/** The last `range` before now, or before the newest event when nothing newer was loaded: a dead chart tells nobody anything. */
export function windowOf(range: TimeRange, { firstMs, newestMs }: EventBounds, nowMs: number): Window {
  const isLive = newestMs > nowMs - LIVE_MS;
  const endMs = isLive ? nowMs : newestMs + 1;
  const seconds = RANGES[range];
  const lengthMs = seconds === undefined ? endMs - firstMs : seconds * 1000;
  const startMs = endMs - lengthMs;
  const shownSeconds = (endMs - Math.max(startMs, firstMs)) / 1000;
  return {
    startMs,
    endMs,
    previousStartMs: seconds !== undefined && firstMs <= startMs - lengthMs ? startMs - lengthMs : null,
    isLive,
    bucketSeconds: bucketSeconds(shownSeconds, MINUTE, MAX_BARS),
  };
}
