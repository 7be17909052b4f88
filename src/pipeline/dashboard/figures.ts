import { type QueryFn, askWithin } from '../../platform/db/readOnlyClient.js';
import { readLatency, readLatestBatches, readThroughput } from '../status/ledger.js';
import { readLatestEvents, readRejects } from './latestRows.js';
import { readFileSpeed, readLatencies, readRates, readRecentRows } from './pipeline.js';
import type { EventBounds, TimeRange } from './ranges.js';
import { readBehind, readEventBounds, readEventCount, readShop } from './shop.js';
import { NO_COMMON_FIGURES, NO_RANGE_FIGURES, type CommonFigures, type RangeFigures } from './snapshot.js';

const BATCHES_SHOWN = 10;
/** Two files of the generator's default interval. */
const SPEED_WINDOW_SECONDS = 10;
const LATEST_TIMEOUT_MS = 1500;
const SERIES_TIMEOUT_MS = 2000;

/** A question that took long, because the tables are huge or the server is busy, comes more seldom: it takes a twentieth of the time at most. */
const PAUSE_PER_LOOK = 19;
/** Those whose cost grows with the events or sessions of the range: a fiftieth, as loading comes first. */
const PAUSE_PER_SCAN = 49;

/** The figures as they were last read, each read again when it is due. */
export class Figures {
  common = NO_COMMON_FIGURES;
  private readonly byRange = new Map<TimeRange, RangeFigures>();
  private readonly dueMs = new Map<string, number>();
  private bounds: EventBounds | undefined;

  of(range: TimeRange): RangeFigures {
    return this.byRange.get(range) ?? NO_RANGE_FIGURES;
  }

  /** Reads what is due for the ranges that are looked at; others are forgotten, as they would be out of date. */
  async read(ask: QueryFn, ranges: ReadonlySet<TimeRange>): Promise<void> {
    for (const range of [...this.byRange.keys()]) if (!ranges.has(range)) this.forget(range);
    await this.readCommon(ask);
    for (const range of ranges) await this.readRange(ask, range, ranges.size);
  }

  private async readCommon(ask: QueryFn): Promise<void> {
    const keep = (found: Partial<CommonFigures>): void => void (this.common = { ...this.common, ...found });
    await this.whenDue('ledger', 1000, PAUSE_PER_LOOK, async () => {
      const { freshnessMs, ...throughput } = await readThroughput(ask, SPEED_WINDOW_SECONDS);
      keep({
        freshnessMs,
        throughput,
        recent: await readRecentRows(ask),
        batches: await readLatestBatches(ask, BATCHES_SHOWN),
        filesPerSecond: await readFileSpeed(ask),
        behind: await readBehind(ask),
        events: await readEventCount(ask),
      });
    });
    await this.whenDue('latency', 2000, PAUSE_PER_LOOK, async () =>
      keep({ latestLatency: (await readLatency(ask)) ?? null }),
    );
    await this.whenDue('events', 1000, PAUSE_PER_LOOK, async () => {
      const latestEvents = await askWithin(ask, LATEST_TIMEOUT_MS, () => readLatestEvents(ask));
      if (latestEvents !== undefined) keep({ latestEvents });
    });
    await this.whenDue('bounds', 2000, PAUSE_PER_SCAN, async () => {
      this.bounds = (await askWithin(ask, SERIES_TIMEOUT_MS, () => readEventBounds(ask))) ?? this.bounds;
    });
  }

  private async readRange(ask: QueryFn, range: TimeRange, ranges: number): Promise<void> {
    const keep = (found: Partial<RangeFigures>): void => void this.byRange.set(range, { ...this.of(range), ...found });
    const due = (part: string, intervalMs: number, pause: number, read: () => Promise<void>): Promise<void> =>
      // Several pages that look at several ranges share the time.
      this.whenDue(`${range} ${part}`, intervalMs, (pause + 1) * ranges - 1, read);
    await due('rates', 1000, PAUSE_PER_LOOK, async () => {
      const rates = await askWithin(ask, SERIES_TIMEOUT_MS, () => readRates(ask, range));
      if (rates !== undefined) keep({ rates });
    });
    await due('latency', 2000, PAUSE_PER_LOOK, async () => {
      const latency = await askWithin(ask, SERIES_TIMEOUT_MS, () => readLatencies(ask, range));
      if (latency !== undefined) keep({ latency });
    });
    await due('rejects', 3000, PAUSE_PER_LOOK, async () => keep({ rejects: await readRejects(ask, range) }));
    const { bounds } = this;
    if (bounds === undefined) return;
    const newestMs = Math.max(bounds.newestMs, Math.min(Date.now(), this.common.latestEvents[0]?.atMs ?? 0));
    await due('shop', 2000, PAUSE_PER_SCAN, async () =>
      keep({ shop: await readShop(ask, range, { ...bounds, newestMs }) }),
    );
  }

  private forget(range: TimeRange): void {
    this.byRange.delete(range);
    for (const key of [...this.dueMs.keys()]) if (key.startsWith(`${range} `)) this.dueMs.delete(key);
  }

  private async whenDue(
    key: string,
    intervalMs: number,
    pausePerLook: number,
    read: () => Promise<void>,
  ): Promise<void> {
    const startMs = performance.now();
    if (startMs < (this.dueMs.get(key) ?? 0)) return;
    await read();
    const tookMs = performance.now() - startMs;
    // A little less than the interval, or a look that comes a moment early would skip one.
    this.dueMs.set(key, startMs + Math.max(intervalMs - 100, tookMs + pausePerLook * tookMs));
  }
}
