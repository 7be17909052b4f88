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
