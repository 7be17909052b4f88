import { Permutation } from './permutation.js';
import { PURPOSE, streamKey, type StreamKey } from './random.js';

/** Crockford's base 32: no letter that is mistaken for a digit. */
const DIGITS = Uint8Array.from('0123456789abcdefghjkmnpqrstvwxyz', (digit) => digit.charCodeAt(0));

/** Writes what outsiders see of counters: fixed-width identifiers that look random and never repeat within a run. */
export class PublicIds {
  private readonly users: Permutation;
  private readonly sessions: Permutation;

  constructor(key: StreamKey) {
    this.users = new Permutation(streamKey(key.low, key.high, PURPOSE.publicId, 'user'), 20);
    this.sessions = new Permutation(streamKey(key.low, key.high, PURPOSE.publicId, 'session'), 30);
  }

  /** `u` and 8 digits, for up to 2⁴⁰ users. */
  writeUser(target: Uint8Array, position: number, user: number): number {
    target[position] = 0x75;
    this.users.apply(Math.floor(user / 0x100000), user % 0x100000);
    return digits(target, digits(target, position + 1, this.users.high, 4), this.users.low, 4);
  }

  /** A prefix (`s` for sessions, `o` for their orders) and 12 digits, for up to 2⁶⁰ sessions. */
  writeSession(target: Uint8Array, position: number, prefix: number, session: number): number {
    target[position] = prefix;
    this.sessions.apply(Math.floor(session / 0x40000000), session % 0x40000000);
    return digits(target, digits(target, position + 1, this.sessions.high, 6), this.sessions.low, 6);
  }
}

export const USER_ID_OCTETS = 9;
export const SESSION_ID_OCTETS = 13;

function digits(target: Uint8Array, position: number, value: number, count: number): number {
  let rest = value;
  for (let at = position + count - 1; at >= position; at--) {
    target[at] = DIGITS[rest & 31] as number;
    rest >>>= 5;
  }
  return position + count;
}
