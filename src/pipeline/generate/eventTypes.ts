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
