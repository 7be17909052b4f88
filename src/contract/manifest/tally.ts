import { rowFingerprint, type Fingerprint } from './checksum.js';

/** What rows of one event type add up to. */
export interface TypeTotals {
  readonly rows: number;
  /** Sum of price · quantity in hundredths; a missing quantity counts as one, a missing price as zero. */
  readonly moneyCents: number;
}

/**
 * Adds up rows that PostgreSQL must accept. Sums are kept in halves so that doubles stay exact: ids over 2²⁹ rows,
 * contents over 2³⁷.
 */
export class Tally {
  rows = 0;
  private idHigh = 0;
  private idLow = 0;
  private contentHigh = 0;
  private contentLow = 0;
  private readonly typeRows: Float64Array;
  private readonly typeCents: Float64Array;

  /** @param types names of the event types, by the codes that {@link add} gets. */
  constructor(private readonly types: readonly string[]) {
    this.typeRows = new Float64Array(types.length);
    this.typeCents = new Float64Array(types.length);
  }

  /** @param idHigh16 and `idLow32` are the last 48 bits of the id, `content` is that of the checksum modulo 2³². */
  add(type: number, moneyCents: number, idHigh16: number, idLow32: number, content: number): void {
    this.rows++;
    (this.typeRows[type] as number)++;
    (this.typeCents[type] as number) += moneyCents;
    this.idHigh += idHigh16 * 256 + (idLow32 >>> 24);
    this.idLow += idLow32 & 0xffffff;
    const fingerprint = rowFingerprint(idLow32, content);
    this.contentHigh += fingerprint >>> 16;
    this.contentLow += fingerprint & 0xffff;
  }

  byType(): Readonly<Record<string, TypeTotals>> {
    return Object.fromEntries(
      this.types.flatMap((name, type) => {
        const rows = this.typeRows[type] as number;
        return rows === 0 ? [] : [[name, { rows, moneyCents: this.typeCents[type] as number }]];
      }),
    );
  }

  fingerprint(): Fingerprint {
    return {
      idSum: (BigInt(this.idHigh) * 0x1000000n + BigInt(this.idLow)).toString(),
      contentSum: (BigInt(this.contentHigh) * 0x10000n + BigInt(this.contentLow)).toString(),
    };
  }

  reset(): void {
    this.rows = this.idHigh = this.idLow = this.contentHigh = this.contentLow = 0;
    this.typeRows.fill(0);
    this.typeCents.fill(0);
  }
}
