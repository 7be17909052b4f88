import { elementAt } from '../../platform/elementAt.js';
import { EVENT_COLUMNS, type EventColumn } from '../columns.js';

/**
 * A fingerprint of rows that does not depend on their order and that PostgreSQL 15 to 18 computes in the same pass as
 * its counts. The content of a row is a number: each column's value times a weight of its own, where the value is
 *
 *     event_time   milliseconds since the epoch
 *     price        hundredths + 1     (0 when NULL)
 *     quantity     itself + 1         (0 when NULL)
 *     texts        octets of UTF-8 + 1 (0 when NULL)
 *
 * The fingerprint of a row is its content times an odd number made of its id, modulo 2³², so that no change of a single
 * value goes unnoticed, nor do two values that rows have swapped. Rows add up: {@link Fingerprint}.
 * Known blind spot: a text replaced by another of the same length.
 */
export const COLUMN_WEIGHTS: Readonly<Record<Exclude<EventColumn, 'event_id'>, number>> = {
  event_type: 40_009,
  event_time: 257,
  user_id: 41_011,
  session_id: 42_013,
  device: 43_003,
  country: 44_017,
  traffic_source: 45_007,
  page_url: 46_021,
  search_term: 47_017,
  product_id: 48_017,
  product_name: 49_003,
  brand: 50_021,
  category: 51_001,
  price: 65_521,
  quantity: 64_007,
  currency: 52_009,
  coupon: 53_003,
  payment_type: 54_001,
  order_id: 55_001,
};

/** Sums over rows, as decimal text because they outgrow 2⁵³. */
export interface Fingerprint {
  /** Sum of the last 12 hexadecimal digits of every event_id. */
  readonly idSum: string;
  /** Sum of the rows' fingerprints. */
  readonly contentSum: string;
}

/** SQL of a row of `public.events` (columns qualified by `alias`): its id's last 48 bits, as bigint. */
export function idTailSql(alias = 'e'): string {
  return `('x' || right(${alias}.event_id::text, 12))::bit(48)::bigint`;
}

/** SQL of a row's content, as bigint. */
export function contentSql(alias = 'e'): string {
  const value = (column: EventColumn): string => {
    const name = `${alias}.${column}`;
    switch (column) {
      case 'event_time':
        return `round(date_part('epoch', ${name}) * 1000)::bigint`;
      case 'price':
        return `coalesce((${name} * 100)::bigint + 1, 0)`;
      case 'quantity':
        return `coalesce(${name}::bigint + 1, 0)`;
      default:
        return `coalesce(octet_length(${name})::bigint + 1, 0)`;
    }
  };
  const columns = EVENT_COLUMNS.filter((column) => column !== 'event_id');
  return columns.map((column) => `${COLUMN_WEIGHTS[column]} * ${value(column)}`).join(' + ');
}

/** SQL of a row's fingerprint, from SQL of its id's last 48 bits and of its content. */
export function fingerprintSql(idTail: string, content: string): string {
  return `((((${content}) & 4294967295) * (2 * ((${idTail}) & 268435455) + 1)) & 4294967295)`;
}

/** The same as {@link fingerprintSql}, of the id's last 32 bits and of a content modulo 2³². */
export function rowFingerprint(idLow32: number, content: number): number {
  return Math.imul(content, 2 * (idLow32 & 0xfffffff) + 1) >>> 0;
}

/** Content of a text column, modulo 2³²; contents of a row's columns add up. */
export function textContent(column: keyof typeof COLUMN_WEIGHTS, text: string | undefined): number {
  return text === undefined ? 0 : octetChecksum(column, Buffer.byteLength(text));
}

export function octetChecksum(column: keyof typeof COLUMN_WEIGHTS, octets: number): number {
  return Math.imul(COLUMN_WEIGHTS[column], octets + 1);
}

/** Content of a whole row modulo 2³², from the texts of its columns in the order of EVENT_COLUMNS; '' is NULL. */
export function rowContent(fields: readonly string[]): number {
  let content = 0;
  EVENT_COLUMNS.forEach((column, index) => {
    const text = elementAt(fields, index);
    if (column === 'event_id' || text === '') return;
    switch (column) {
      case 'event_time':
        content += Math.imul(COLUMN_WEIGHTS.event_time, Date.parse(text));
        break;
      case 'price':
        content += Math.imul(COLUMN_WEIGHTS.price, Math.round(Number(text) * 100) + 1);
        break;
      case 'quantity':
        content += Math.imul(COLUMN_WEIGHTS.quantity, Number(text) + 1);
        break;
      default:
        content += textContent(column, text);
    }
  });
  return content | 0;
}

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
