import type { Intent } from './profile.js';

/** The event types the generator writes, by code: a code is an index into {@link EVENT_TYPE_NAMES}. */
export const EVENT_TYPE_NAMES = [
  'session_start',
  'page_view',
  'view_item_list',
  'select_item',
  'search',
  'view_item',
  'add_to_wishlist',
  'add_to_cart',
  'remove_from_cart',
  'view_cart',
  'begin_checkout',
  'add_shipping_info',
  'add_payment_info',
  'purchase',
  'refund',
] as const;

export type EventTypeName = (typeof EVENT_TYPE_NAMES)[number];

/** Codes by name, so that the simulation reads like the events it makes. */
export const TYPE = Object.fromEntries(EVENT_TYPE_NAMES.map((name, code) => [name, code])) as Readonly<
  Record<EventTypeName, number>
>;

/** No item, where a step has none. */
export const NO_ITEM = -1;

/**
 * One session: who came from where, and what happens when. A step is one event, that is one CSV row; its parts lie in
 * parallel arrays, because a run makes hundreds of thousands of steps a second.
 */
export class Visit {
  /** Counts the sessions of a run from 0. */
  number = 0;
  user = 0;
  country = 0;
  device = 0;
  source = 0;
  returning = false;
  intent: Intent = 'bounce';
  /** Index into the payment types, and into the coupons or −1. */
  payment = 0;
  coupon = -1;
  /** The session whose order a refund is about; else this one. */
  orderNumber = 0;

  /** Milliseconds of each step since the epoch, never decreasing; steps of one page load share theirs. */
  readonly timesMs: number[] = [];
  readonly types: number[] = [];
  readonly pages: number[] = [];
  readonly items: number[] = [];
  readonly quantities: number[] = [];
  length = 0;

  /** The next step to come out of the timeline. */
  cursor = 0;
  /** `,user_id,session_id,device,country,traffic_source,` as bytes, made when the first row is written. */
  readonly columns = new Uint8Array(96);
  columnsLength = 0;
  /** Weighted octets of those columns, see contract/manifest/checksum. */
  columnsContent = 0;

  /** Makes the object the next session: objects are used again, so that memory stays flat. */
  reset(number: number): void {
    this.number = number;
    this.orderNumber = number;
    this.coupon = -1;
    this.length = 0;
    this.cursor = 0;
    this.columnsLength = 0;
  }

  add(timeMs: number, type: number, page: number, item: number = NO_ITEM, quantity = 0): void {
    const step = this.length++;
    this.timesMs[step] = timeMs;
    this.types[step] = type;
    this.pages[step] = page;
    this.items[step] = item;
    this.quantities[step] = quantity;
  }
}
