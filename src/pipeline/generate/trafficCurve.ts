import { elementAt } from '../../platform/elementAt.js';
import { COUNTRIES, DAY_MS, HOUR_MS, summerTimeMs } from './geography.js';
import type { Profile } from './profile.js';

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
