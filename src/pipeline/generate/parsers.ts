import { InvalidValueError } from '../../platform/settings.js';
import { PROFILES, type Profile } from './profile.js';

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
