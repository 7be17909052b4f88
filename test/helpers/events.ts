import { EVENT_COLUMNS, type EventColumn } from '../../src/contract/columns.js';

/** Values of one CSV row as they stand in the file, quotes included; missing columns are empty. */
export type Fields = Readonly<Partial<Record<EventColumn, string>>>;

export const HEADER = EVENT_COLUMNS.join(',');

/** The n-th event id of a namespace: ids of different namespaces never meet, so that tests can share a database. */
export function eventId(n: number, namespace = 0): string {
  return `${namespace.toString(16).padStart(8, '0')}-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** A row that the schema accepts, apart from what `fields` changes. */
export function eventRow(n: number, fields: Fields = {}, namespace = 0): string {
  const values: Fields = {
    event_id: eventId(n, namespace),
    event_type: 'add_to_cart',
    event_time: '2026-11-22T13:00:00.123456Z',
    user_id: `u${n}`,
    session_id: `s${n}`,
    device: 'mobile',
    country: 'DE',
    product_id: `p${n}`,
    product_name: '"Shoe, ""black"""',
    price: '19.99',
    quantity: '2',
    currency: 'EUR',
    ...fields,
  };
  return EVENT_COLUMNS.map((column) => values[column] ?? '').join(',');
}

/** Rows from..to (exclusive), each ended by a line feed. */
export function eventRows(from: number, to: number, fields: Fields = {}, namespace = 0): string {
  return Array.from({ length: to - from }, (_, index) => `${eventRow(from + index, fields, namespace)}\n`).join('');
}

/** A file of rows from..to (exclusive) with its header. */
export function eventFile(from: number, to: number, fields: Fields = {}, namespace = 0): string {
  return `${HEADER}\n${eventRows(from, to, fields, namespace)}`;
}
