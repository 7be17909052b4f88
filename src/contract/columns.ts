/**
 * The columns of the CSV contract in the order our generator writes them. A column's rules are the
 * constraints of `public.events` and stand nowhere else. How to add one: docs/user_guide.md.
 */
export const EVENT_COLUMNS = [
  'event_id',
  'event_type',
  'event_time',
  'user_id',
  'session_id',
  'device',
  'country',
  'traffic_source',
  'page_url',
  'search_term',
  'product_id',
  'product_name',
  'brand',
  'category',
  'price',
  'quantity',
  'currency',
  'coupon',
  'payment_type',
  'order_id',
] as const;

export type EventColumn = (typeof EVENT_COLUMNS)[number];

/** Those without which a row means nothing; the table says the same, and it is the table that a file is held to. */
export const REQUIRED_COLUMNS = [
  'event_id',
  'event_type',
  'event_time',
  'user_id',
  'session_id',
] as const satisfies readonly EventColumn[];
