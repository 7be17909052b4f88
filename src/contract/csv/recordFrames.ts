/** Why a record can't be one, by structure. */
export type Defect = 'stray-quote' | 'unclosed-quote' | 'bare-carriage-return' | 'too-long' | 'field-count';

/** Where a record stands in its buffer, and what its structure is. */
export interface RecordFrame {
  readonly start: number;
  /** End of its bytes, without the line break. */
  readonly end: number;
  /** 0-based physical line of its first byte, relative to the buffer. */
  readonly line: number;
  readonly defect: Defect | undefined;
  /** Holds `\.` at the start of a line, within quotes: COPY before PostgreSQL 18 would end there. */
  readonly endMarker: boolean;
}

/** Start, end and line of a record. */
const NUMBERS = 3;

/** The frames of a batch, kept as numbers: an object for each of its fifty thousand rows takes ten times the memory. */
export class RecordFrames implements Iterable<RecordFrame> {
  private count = 0;
  private numbers = new Int32Array(NUMBERS * 256);
  private readonly defects = new Map<number, Defect>();
  private readonly endMarkers = new Set<number>();

  get length(): number {
    return this.count;
  }

  push({ start, end, line, defect, endMarker }: RecordFrame): void {
    const index = this.count++;
    if (NUMBERS * this.count > this.numbers.length) {
      const larger = new Int32Array(2 * this.numbers.length);
      larger.set(this.numbers);
      this.numbers = larger;
    }
    this.numbers[NUMBERS * index] = start;
    this.numbers[NUMBERS * index + 1] = end;
    this.numbers[NUMBERS * index + 2] = line;
    if (defect !== undefined) this.defects.set(index, defect);
    if (endMarker) this.endMarkers.add(index);
  }

  // One number of a record, for loops over all of them: an object for each would be most of what they cost.

  startOf(index: number): number {
    return this.number(index, 0);
  }

  endOf(index: number): number {
    return this.number(index, 1);
  }

  private number(index: number, place: number): number {
    const value = this.numbers[NUMBERS * index + place];
    if (value === undefined) throw new RangeError(`no record ${index} of ${this.count}`);
    return value;
  }

  hasEndMarker(index: number): boolean {
    return this.endMarkers.has(index);
  }

  /** The records that have a defect, in order. */
  defective(): Iterable<number> {
    return this.defects.keys();
  }

  /** @throws RangeError when there is no such record. */
  at(index: number): RecordFrame {
    if (index < 0 || index >= this.count) throw new RangeError(`no record ${index} of ${this.count}`);
    const [start, end, line] = [this.startOf(index), this.endOf(index), this.number(index, 2)];
    return { start, end, line, defect: this.defects.get(index), endMarker: this.endMarkers.has(index) };
  }

  *[Symbol.iterator](): Generator<RecordFrame> {
    for (let index = 0; index < this.count; index++) yield this.at(index);
  }
}
