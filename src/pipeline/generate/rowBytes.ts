import { DAY_MS } from './geography.js';

/** Many short byte strings in one allocation: the bytes of entry `i` are `bytes[starts[i] … starts[i + 1]]`. */
export class ByteTable {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;

  constructor(texts: readonly string[]) {
    const encoded = texts.map((text) => Buffer.from(text));
    this.starts = new Uint32Array(texts.length + 1);
    encoded.forEach((bytes, index) => (this.starts[index + 1] = (this.starts[index] as number) + bytes.length));
    this.bytes = Buffer.concat(encoded);
  }

  /** Copies entry `index` to `target` at `position`, and returns the position behind it. */
  copy(index: number, target: Uint8Array, position: number): number {
    const end = this.starts[index + 1] as number;
    let to = position;
    // Entries are tens of bytes: a loop beats the call of a native copy.
    for (let from = this.starts[index] as number; from < end; from++) target[to++] = this.bytes[from] as number;
    return to;
  }
}

/** A CSV field by RFC 4180 §2: quoted only when it must be. */
export function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const ZERO = 0x30;

/** Writes times as `2026-11-22T13:24:52.123Z`: as Date.toISOString does, without a string for every row. */
export class IsoTimeWriter {
  private readonly date = new Uint8Array(10);
  private dayStartMs = Infinity;

  write(target: Uint8Array, position: number, epochMs: number): number {
    let rest = epochMs - this.dayStartMs;
    if (!(rest >= 0 && rest < DAY_MS)) {
      this.dayStartMs = Math.floor(epochMs / DAY_MS) * DAY_MS;
      this.date.set(Buffer.from(new Date(epochMs).toISOString().slice(0, 10)));
      rest = epochMs - this.dayStartMs;
    }
    for (let index = 0; index < 10; index++) target[position + index] = this.date[index] as number;
    const ms = rest % 1000;
    const seconds = (rest - ms) / 1000;
    target[position + 10] = 0x54;
    twoDigits(target, position + 11, (seconds / 3600) | 0);
    target[position + 13] = 0x3a;
    twoDigits(target, position + 14, ((seconds / 60) | 0) % 60);
    target[position + 16] = 0x3a;
    twoDigits(target, position + 17, seconds % 60);
    target[position + 19] = 0x2e;
    target[position + 20] = ZERO + ((ms / 100) | 0);
    twoDigits(target, position + 21, ms % 100);
    target[position + 23] = 0x5a;
    return position + 24;
  }
}

function twoDigits(target: Uint8Array, position: number, value: number): void {
  target[position] = ZERO + ((value / 10) | 0);
  target[position + 1] = ZERO + (value % 10);
}

/** Writes a whole number ≥ 0. */
export function writeInteger(target: Uint8Array, position: number, value: number): number {
  let width = 1;
  for (let bound = 10; value >= bound; bound *= 10) width++;
  let rest = value;
  for (let at = position + width - 1; at >= position; at--) {
    const next = Math.floor(rest / 10);
    target[at] = ZERO + rest - next * 10;
    rest = next;
  }
  return position + width;
}

/** Writes hundredths as `12.34`. */
export function writeCents(target: Uint8Array, position: number, cents: number): number {
  const at = writeInteger(target, position, Math.floor(cents / 100));
  target[at] = 0x2e;
  twoDigits(target, at + 1, cents % 100);
  return at + 3;
}
