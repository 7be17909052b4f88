import { Permutation } from './permutation.js';
import { PURPOSE, streamKey, type StreamKey } from './random.js';

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
