import { elementAt } from '../../platform/elementAt.js';
import { COLUMN_WEIGHTS, octetChecksum, textContent } from '../../contract/manifest/checksum.js';
import { ByteTable, csvField, IsoTimeWriter, writeCents, writeInteger } from './rowBytes.js';
import type { Catalogue } from './catalogue.js';
import { EventIds, PublicIds, SESSION_ID_OCTETS, USER_ID_OCTETS } from './identifiers.js';
import { EVENT_TYPE_NAMES, TYPE, NO_ITEM, type Visit } from './visit.js';
import { COUNTRIES, PAYMENT_TYPES } from './geography.js';
import type { Pages } from './pages.js';
import { DEVICES } from './profile.js';
import type { StreamKey } from './random.js';
import { COUPON_PERCENT, COUPONS } from './simulator.js';
import { TRAFFIC_SOURCES } from './visitors.js';

const COMMA = 0x2c;
const NEWLINE = 0x0a;
const SESSION_PREFIX = 0x73;
const ORDER_PREFIX = 0x6f;

/** No row of ours is longer, so that one check per row keeps the buffer safe. */
export const MAX_ROW = 4096;

/** A column whose value all rows of a session share. */
interface SessionColumn {
  readonly column: Parameters<typeof textContent>[0];
  /** Every value it can have. */
  readonly texts: readonly string[];
  /** Which of them a visit has. */
  readonly of: (visit: Visit) => number;
}

/** Behind `session_id`, in the order of EVENT_COLUMNS. */
const SESSION_COLUMNS: readonly SessionColumn[] = [
  { column: 'device', texts: DEVICES, of: ({ device }) => device },
  { column: 'country', texts: COUNTRIES.map(({ code }) => code), of: ({ country }) => country },
  { column: 'traffic_source', texts: TRAFFIC_SOURCES, of: ({ source }) => source },
];

/** What the row written last means to the manifest. */
export interface RowFacts {
  readonly type: number;
  readonly moneyCents: number;
  readonly idHigh16: number;
  readonly idLow32: number;
  readonly content: number;
}

/**
 * Writes CSV rows as bytes. All texts are encoded once, per shop or per session, and then only copied; along the way
 * the row's checksum adds up from the same parts.
 */
export class RowWriter implements RowFacts {
  type = 0;
  moneyCents = 0;
  idHigh16 = 0;
  idLow32 = 0;
  content = 0;

  private readonly eventIds: EventIds;
  private readonly publicIds: PublicIds;
  private readonly times = new IsoTimeWriter();
  private readonly typeNames = new ByteTable(EVENT_TYPE_NAMES.map((name) => `,${name},`));
  private readonly sessionColumns = SESSION_COLUMNS.map(({ column, texts, of }) => ({
    of,
    table: new ByteTable(texts.map((text) => `${csvField(text)},`)),
    contents: texts.map((text) => textContent(column, text)),
  }));
  private readonly coupons = new ByteTable(COUPONS);
  private readonly payments = new ByteTable(PAYMENT_TYPES);
  private readonly urls: ByteTable;
  private readonly terms: ByteTable;
  /** `product_id,product_name,brand,category,` and the price of each item. */
  private readonly items: ByteTable;
  private readonly prices: Float64Array;
  private readonly currency: ByteTable;
  private readonly contents: Contents;

  constructor(
    key: StreamKey,
    catalogue: Catalogue,
    private readonly pages: Pages,
    currency: string,
  ) {
    this.eventIds = new EventIds(key);
    this.publicIds = new PublicIds(key);
    const urls = pages.urls();
    this.urls = new ByteTable(urls.map((url) => `${csvField(url)},`));
    this.terms = new ByteTable(catalogue.terms.map(({ text }) => csvField(text)));
    this.items = new ByteTable(
      catalogue.items.map(
        ({ id, name, brand, category }) =>
          `,${[id, name, brand, elementAt(catalogue.categories, category).slug].map(csvField).join(',')},`,
      ),
    );
    this.prices = Float64Array.from(catalogue.items, ({ priceCents }) => priceCents);
    this.currency = new ByteTable([currency]);
    this.contents = contentsOf(catalogue, urls, currency);
  }

  /** Writes step `step` of a visit, and returns the position behind its row. */
  write(target: Uint8Array, position: number, visit: Visit, step: number, timeMs: number, sequence: number): number {
    if (visit.columnsLength === 0) this.encodeColumns(visit);
    const type = visit.types[step] as number;
    const page = visit.pages[step] as number;
    const item = visit.items[step] as number;
    this.type = type;
    this.moneyCents = 0;

    let at = this.eventIds.write(target, position, timeMs, sequence);
    this.idHigh16 = this.eventIds.tailHigh16;
    this.idLow32 = this.eventIds.tailLow32;
    at = this.typeNames.copy(type, target, at);
    at = this.times.write(target, at, timeMs);
    for (let index = 0; index < visit.columnsLength; index++) target[at++] = visit.columns[index] as number;
    at = this.urls.copy(page, target, at);
    this.content =
      (visit.columnsContent +
        (this.contents.types[type] as number) +
        Math.imul(COLUMN_WEIGHTS.event_time, timeMs) +
        (this.contents.urls[page] as number)) |
      0;
    if (type === TYPE.search) {
      const term = this.pages.termOf(page);
      at = this.terms.copy(term, target, at);
      this.content = (this.content + (this.contents.terms[term] as number)) | 0;
    }
    at = item === NO_ITEM ? commas(target, at, 7) : this.writeItem(target, at, visit, step, item);
    at = this.writeOrder(target, at, visit, type);
    target[at] = NEWLINE;
    return at + 1;
  }

  /** `,product_id,product_name,brand,category,price,quantity,currency` */
  private writeItem(target: Uint8Array, position: number, visit: Visit, step: number, item: number): number {
    const discount = isOrder(this.type) && visit.coupon >= 0 ? (COUPON_PERCENT[visit.coupon] as number) : 0;
    const price = Math.floor(((this.prices[item] as number) * (100 - discount)) / 100);
    const quantity = visit.quantities[step] as number;
    let at = this.items.copy(item, target, position);
    at = writeCents(target, at, price);
    target[at++] = COMMA;
    this.content =
      (this.content + (this.contents.items[item] as number) + Math.imul(COLUMN_WEIGHTS.price, price + 1)) | 0;
    if (quantity > 0) {
      at = writeInteger(target, at, quantity);
      this.content = (this.content + Math.imul(COLUMN_WEIGHTS.quantity, quantity + 1)) | 0;
    }
    this.moneyCents = price * (quantity > 0 ? quantity : 1);
    target[at++] = COMMA;
    return this.currency.copy(0, target, at);
  }

  /** `,coupon,payment_type,order_id` */
  private writeOrder(target: Uint8Array, position: number, visit: Visit, type: number): number {
    const hasOrder = isOrder(type);
    if (!hasOrder && type !== TYPE.add_payment_info) return commas(target, position, 3);
    let at = position;
    target[at++] = COMMA;
    if (hasOrder && visit.coupon >= 0) {
      at = this.coupons.copy(visit.coupon, target, at);
      this.content = (this.content + (this.contents.coupons[visit.coupon] as number)) | 0;
    }
    target[at++] = COMMA;
    at = this.payments.copy(visit.payment, target, at);
    this.content = (this.content + (this.contents.payments[visit.payment] as number)) | 0;
    target[at++] = COMMA;
    if (!hasOrder) return at;
    this.content = (this.content + this.contents.orderId) | 0;
    return this.publicIds.writeSession(target, at, ORDER_PREFIX, visit.orderNumber);
  }

  /** The columns that all rows of a session share. */
  private encodeColumns(visit: Visit): void {
    const { columns } = visit;
    columns[0] = COMMA;
    let at = this.publicIds.writeUser(columns, 1, visit.user);
    columns[at++] = COMMA;
    at = this.publicIds.writeSession(columns, at, SESSION_PREFIX, visit.number);
    columns[at++] = COMMA;
    let content = octetChecksum('user_id', USER_ID_OCTETS) + octetChecksum('session_id', SESSION_ID_OCTETS);
    for (const { of, table, contents } of this.sessionColumns) {
      at = table.copy(of(visit), columns, at);
      content += contents[of(visit)] as number;
    }
    visit.columnsLength = at;
    visit.columnsContent = content | 0;
  }
}

function isOrder(type: number): boolean {
  return type === TYPE.purchase || type === TYPE.refund;
}

function commas(target: Uint8Array, position: number, count: number): number {
  for (let index = 0; index < count; index++) target[position + index] = COMMA;
  return position + count;
}

/** Checksum contents of everything that is encoded once. */
interface Contents {
  readonly types: readonly number[];
  readonly urls: Int32Array;
  readonly terms: readonly number[];
  /** Of the product columns and the currency. */
  readonly items: Int32Array;
  readonly coupons: readonly number[];
  readonly payments: readonly number[];
  readonly orderId: number;
}

function contentsOf(catalogue: Catalogue, urls: readonly string[], currency: string): Contents {
  return {
    types: EVENT_TYPE_NAMES.map((name) => textContent('event_type', name)),
    urls: Int32Array.from(urls, (url) => textContent('page_url', url)),
    terms: catalogue.terms.map(({ text }) => textContent('search_term', text)),
    items: Int32Array.from(
      catalogue.items,
      ({ id, name, brand, category }) =>
        textContent('product_id', id) +
        textContent('product_name', name) +
        textContent('brand', brand) +
        textContent('category', catalogue.categories[category]?.slug) +
        textContent('currency', currency),
    ),
    coupons: COUPONS.map((coupon) => textContent('coupon', coupon)),
    payments: PAYMENT_TYPES.map((payment) => textContent('payment_type', payment)),
    orderId: octetChecksum('order_id', SESSION_ID_OCTETS),
  };
}
