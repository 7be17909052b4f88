import { AliasTable, PURPOSE, Random, type StreamKey } from './random.js';
import { COUNTRIES } from './geography.js';
import type { Profile } from './profile.js';
import type { Visit } from './visit.js';

/** Nobody comes back sooner: what follows faster is the same session. */
const MIN_ABSENCE_MS = 100 * 60_000;
/** People use the same device most of the time. */
const OWN_DEVICE_SHARE = 0.85;

export const TRAFFIC_SOURCES = [
  'organic_search',
  'direct',
  'paid_search',
  'email',
  'social',
  'referral',
  'affiliate',
] as const;
const SOURCE_WEIGHTS = {
  new: [0.38, 0.16, 0.2, 0.02, 0.14, 0.06, 0.04],
  returning: [0.24, 0.36, 0.12, 0.14, 0.06, 0.04, 0.04],
} as const;

/**
 * Decides who comes. A returning visit is by the user of a past visit drawn at random, so whoever came often comes more
 * often still (Yule 1925, Simon 1955): activity gets the heavy tail that shops see, from bounded memory.
 */
export class Visitors {
  private readonly random: Random;
  private readonly trait: Random;
  /** Users of the latest visits; those of the last {@link MIN_ABSENCE_MS} are also in `recent`. */
  private readonly past: Int32Array;
  private readonly pastMs: Float64Array;
  private visits = 0;
  private oldestRecent = 0;
  private readonly recent = new Set<number>();
  private newcomers = 0;
  private isNewcomer = false;
  private readonly devices: AliasTable;
  private readonly countries = new AliasTable(COUNTRIES.map(({ share }) => share));
  private readonly sources = {
    new: new AliasTable(SOURCE_WEIGHTS.new),
    returning: new AliasTable(SOURCE_WEIGHTS.returning),
  };

  /**
   * @param users how many different users there are at most; after that, old ones come back as if they were new.
   * @param memory how many past visits a returning user is drawn from.
   */
  constructor(
    private readonly profile: Profile,
    private readonly key: StreamKey,
    private readonly users: number,
    memory: number,
  ) {
    this.random = new Random(key, PURPOSE.visitors);
    this.trait = new Random(key, PURPOSE.user);
    this.past = new Int32Array(memory);
    this.pastMs = new Float64Array(memory);
    this.devices = new AliasTable(profile.devices);
  }

  /** Chooses user, country, device and source of a visit. */
  assign(visit: Visit, nowMs: number): void {
    const { random, trait } = this;
    const known = random.chance(this.profile.returningShare) ? this.drawKnown(nowMs) : undefined;
    visit.returning = known !== undefined || this.newcomers >= this.users;
    visit.user = known ?? this.newcomers % this.users;
    this.isNewcomer = known === undefined;
    // What a user is like follows from the number alone: nothing is kept for any of them.
    trait.restart(this.key, PURPOSE.user, visit.user);
    visit.country = this.countries.draw(trait);
    const ownDevice = this.devices.draw(trait);
    visit.device = random.chance(OWN_DEVICE_SHARE) ? ownDevice : this.devices.draw(random);
    visit.source = this.sources[visit.returning ? 'returning' : 'new'].draw(random);
  }

  /** Takes note that the visit assigned last takes place. */
  record(user: number, nowMs: number): void {
    if (this.isNewcomer) this.newcomers++;
    const slot = this.visits % this.past.length;
    // A ring too small for the traffic forgets a visit before its absence is over.
    if (this.visits - this.oldestRecent === this.past.length) this.forgetOldestRecent();
    this.past[slot] = user;
    this.pastMs[slot] = nowMs;
    this.visits++;
    this.recent.add(user);
  }

  private drawKnown(nowMs: number): number | undefined {
    while (
      this.oldestRecent < this.visits &&
      (this.pastMs[this.oldestRecent % this.past.length] as number) < nowMs - MIN_ABSENCE_MS
    )
      this.forgetOldestRecent();
    const remembered = Math.min(this.visits, this.past.length);
    for (let attempt = 0; attempt < 8 && remembered > 0; attempt++) {
      const user = this.past[this.random.below(remembered)] as number;
      if (!this.recent.has(user)) return user;
    }
    return undefined;
  }

  private forgetOldestRecent(): void {
    this.recent.delete(this.past[this.oldestRecent % this.past.length] as number);
    this.oldestRecent++;
  }
}
