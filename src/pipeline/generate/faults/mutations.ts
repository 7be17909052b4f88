import { elementAt } from '../../../platform/elementAt.js';
import type { EventColumn } from '../../../contract/columns.js';
import type { Random } from '../random.js';
import type { RowKind } from './kinds.js';
import { eventIdOf, INDEX, renderFields, withFields, type EventRecord } from './record.js';

/** What became of a row that was altered: its bytes without the line's end. */
export interface FaultyRow {
  readonly bytes: Buffer;
  /** Null when the row has lost its id. */
  readonly eventId: string | null;
  /** For rows that must be loaded: the record as it is now. */
  readonly record?: EventRecord;
}

/** Kinds that alter the row where it stands; the others repeat it or move it. */
export type MutationKind = Exclude<RowKind, 'redelivery' | 'burst' | 'late-1h' | 'late-24h' | 'late-72h' | 'swapped'>;

type Mutation = (record: EventRecord, random: Random) => FaultyRow;

const ODD_TEXTS = [
  'Tea, black; "Earl Grey"',
  'first line\nsecond line',
  'first line\r\nsecond line',
  '"',
  ',',
  'Ünïcödé – ﬁve ½ №',
  '日本語の商品名、「引用」',
  'עִבְרִית ‏mixed‎ العربية',
  '👩‍👩‍👧‍👦 family 🏴󠁧󠁢󠁥󠁮󠁧󠁿',
  'e\u0301 is not é',
  'line\u2028separator\u0085next',
  "'; drop table events; --",
  '\\N',
  '\\.',
  ' leading and trailing ',
  'tab\there',
] as const;

export const MUTATIONS: Readonly<Record<MutationKind, Mutation>> = {
  conflict: (record) => {
    const changed =
      record.fields[INDEX.price] === ''
        ? { page_url: `${elementAt(record.fields, INDEX.page_url)}?again=1` }
        : { price: addCent(record.fields[INDEX.price] ?? '0') };
    return changedRow(record, changed);
  },
  'wrong-type': (record, random) =>
    changedRow(
      record,
      random.pick([
        { price: 'N/A', currency: 'EUR' },
        { price: '1.299,00', currency: 'EUR' },
        { quantity: 'two' },
        { quantity: '1.5' },
      ]),
    ),
  negative: (record, random) => {
    const price = elementAt(record.fields, INDEX.price);
    return changedRow(record, price !== '' && random.chance(0.5) ? { price: `-${price}` } : { quantity: '-1' });
  },
  'unknown-event-type': (record, random) =>
    changedRow(record, { event_type: random.pick(['page_veiw', 'checkout_started', 'PURCHASE', 'undefined']) }),
  'missing-required': (record, random) => {
    const column = random.pick(['event_id', 'event_type', 'event_time', 'user_id', 'session_id'] as const);
    return { ...changedRow(record, { [column]: '' }), ...(column === 'event_id' ? { eventId: null } : {}) };
  },
  'unreadable-time': (record, random) =>
    changedRow(record, {
      event_time: random.pick(['2026-13-45T25:61:00Z', '22.11.2026 13h', 'n/a', '0000-00-00 00:00:00', 'Invalid Date']),
    }),
  'field-count': (record, random) => {
    const { fields } = record;
    const text = random.chance(0.5)
      ? renderFields([...fields, '1'])
      : renderFields(fields.slice(0, fields.length - 1 - random.below(3)));
    return { bytes: Buffer.from(text), eventId: eventIdOf(record) };
  },
  'stray-quote': (record, random) => {
    const name = random.chance(0.5) ? '19" rack' : '"19" rack"';
    const fields = record.fields.map((field, index) => (index === INDEX.traffic_source ? name : renderFields([field])));
    return { bytes: Buffer.from(fields.join(',')), eventId: eventIdOf(record) };
  },
  'odd-text': (record, random) => {
    const column =
      record.fields[INDEX.product_name] !== ''
        ? 'product_name'
        : record.fields[INDEX.search_term] !== ''
          ? 'search_term'
          : 'traffic_source';
    return changedRow(record, { [column]: random.pick(ODD_TEXTS) });
  },
  'invalid-utf8': (record, random) =>
    withBytes(record, random.pick([[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xe4]])),
  nul: (record) => withBytes(record, [0]),
};

function changedRow(record: EventRecord, changes: Partial<Record<EventColumn, string>>): FaultyRow {
  const changed = withFields(record, changes);
  return { bytes: Buffer.from(renderFields(changed.fields)), eventId: eventIdOf(changed), record: changed };
}

/** Puts invalid UTF-8 into the source of the visit. */
function withBytes(record: EventRecord, bytes: readonly number[]): FaultyRow {
  const before = `${renderFields(record.fields.slice(0, INDEX.traffic_source))},bad`;
  const after = `,${renderFields(record.fields.slice(INDEX.traffic_source + 1))}`;
  return {
    bytes: Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]),
    eventId: eventIdOf(record),
  };
}

function addCent(price: string): string {
  const cents = Math.round(Number(price) * 100) + 1;
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
}
