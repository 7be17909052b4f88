import { mix32, type StreamKey, PURPOSE, streamKey } from './random.js';

/**
 * A keyed bijection of the numbers of 2·`halfBits` bits, given as two halves: a Feistel network of four rounds (Luby and
 * Rackoff 1988). Counters become
 * scattered identifiers that still can't repeat.
 */
export class Permutation {
  /** Halves of the last {@link apply}: two fields instead of an object for every event. */
  high = 0;
  low = 0;
  private readonly mask: number;
  private readonly rounds: readonly [number, number, number, number];

  constructor(key: StreamKey, halfBits: number) {
    this.mask = 0xffffffff >>> (32 - halfBits);
    this.rounds = [mix32(key.low), mix32(key.high), mix32(key.low ^ 0x5bd1e995), mix32(key.high ^ 0x27d4eb2f)];
  }

  apply(high: number, low: number): void {
    let left = high;
    let right = low;
    for (const key of this.rounds) {
      const next = left ^ (mix32(right ^ key) & this.mask);
      left = right;
      right = next;
    }
    this.high = left;
    this.low = right;
  }
}

const HALF = 2 ** 31;
const HEX_HIGH = Uint8Array.from({ length: 256 }, (_, byte) => '0123456789abcdef'.charCodeAt(byte >> 4));
const HEX_LOW = Uint8Array.from({ length: 256 }, (_, byte) => '0123456789abcdef'.charCodeAt(byte & 15));
const DASH = 0x2d;

/**
 * Writes event ids: UUID version 7 (RFC 9562 §5.7) of the event's time, a counter of the events in that millisecond
 * (its §6.2, method 1), and 62 bits that are the event's sequence number under a permutation keyed by the run. Within a
 * run no id can repeat, because no sequence number does; two runs differ by the key.
 */
export class EventIds {
  /** The last 48 bits of the id written last, as the checksum wants them. */
  tailHigh16 = 0;
  tailLow32 = 0;
  private readonly permutation: Permutation;
  private lastMs = -1;
  private counter = 0;

  constructor(key: StreamKey) {
    this.permutation = new Permutation(streamKey(key.low, key.high, PURPOSE.eventId), 31);
  }

  /** Writes the 36 characters of an id at `position`. Times must not decrease for ids of one millisecond to sort. */
  write(target: Uint8Array, position: number, timeMs: number, sequence: number): number {
    this.counter = timeMs === this.lastMs ? (this.counter + 1) & 0xfff : 0;
    this.lastMs = timeMs;
    const { permutation } = this;
    permutation.apply(Math.floor(sequence / HALF), sequence % HALF);
    const timeHigh = Math.floor(timeMs / 0x10000);
    const randomHigh = 0x80000000 | (permutation.high >>> 1);
    const randomLow = (permutation.high << 31) | permutation.low;
    this.tailHigh16 = randomHigh & 0xffff;
    this.tailLow32 = randomLow >>> 0;

    let at = hex16(target, position, timeHigh >>> 16);
    at = hex16(target, at, timeHigh);
    target[at++] = DASH;
    at = hex16(target, at, timeMs % 0x10000);
    target[at++] = DASH;
    at = hex16(target, at, 0x7000 | this.counter);
    target[at++] = DASH;
    at = hex16(target, at, randomHigh >>> 16);
    target[at++] = DASH;
    at = hex16(target, at, randomHigh);
    at = hex16(target, at, randomLow >>> 16);
    return hex16(target, at, randomLow);
  }
}

function hex16(target: Uint8Array, position: number, value: number): number {
  const high = (value >>> 8) & 0xff;
  const low = value & 0xff;
  target[position] = HEX_HIGH[high] as number;
  target[position + 1] = HEX_LOW[high] as number;
  target[position + 2] = HEX_HIGH[low] as number;
  target[position + 3] = HEX_LOW[low] as number;
  return position + 4;
}

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
