import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import { eventId, eventRow, HEADER, type Fields } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { load, openShop } from './harness.js';
import { assertLedger, idsLike, rejectsOf, type RejectRow } from './tables.js';

/** What must become of the bytes between two good rows: so many accepted rows, or these rejects (one record each). */
type Outcome = { readonly accepted: number } | readonly Verdict[];
type Verdict = Pick<RejectRow, 'kind' | 'sqlState' | 'column' | 'constraint'>;

interface Trap {
  readonly namespace: number;
  readonly content: Buffer;
  /** Where the trap starts in the content. */
  readonly offset: number;
  readonly bytes: Buffer;
  readonly ways: string;
}

const WAYS = [
  ['in one batch', 8 * 2 ** 20],
  ['in ranges of 1 KiB', 1024],
] as const;

/** Rows before and after the trap: more than one range of 1 KiB each. */
const NEIGHBOURS = 12;
const traps: Trap[] = [];
let database: TestDatabase;

/** All traps are loaded together, so that each has the others as neighbours too: in one transaction, and in many. */
before(async () => {
  database = await migratedDatabase();
  for (const [way, batchBytes] of WAYS) {
    const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-traps-'));
    const shop = openShop(directory, { batchBytes });
    for (const { namespace, content, ways } of traps) if (ways === way) shop.put(`${namespace}.csv`, content);
    await load(shop, database);
    rmSync(directory, { recursive: true });
  }
});

/**
 * A file with a trap between good rows is loaded twice under other ids: as one small file, and in ranges of 1 KiB. Both
 * times the neighbours are in the table, and the trap is what `outcome` says, with its line, offset and bytes.
 */
function trap(
  name: string,
  bytes: (n: number, namespace: number) => string | Buffer,
  outcome: Outcome,
  lineEnd = '\n',
): void {
  for (const [ways] of WAYS) {
    const namespace = traps.length + 1;
    const rows = (from: number): Buffer =>
      Buffer.from(Array.from({ length: NEIGHBOURS }, (_, n) => eventRow(from + n, {}, namespace) + lineEnd).join(''));
    const [head, trapped, tail] = [
      Buffer.concat([Buffer.from(HEADER + lineEnd), rows(0)]),
      Buffer.from(bytes(100, namespace) as string),
      rows(200),
    ];
    const content = Buffer.concat([head, trapped, Buffer.from(lineEnd), tail]);
    traps.push({ namespace, content, offset: head.length, bytes: trapped, ways });
    test(`${name}, ${ways}`, async () => {
      const ids = (from: number, count: number): string[] =>
        Array.from({ length: count }, (_, n) => eventId(from + n, namespace));
      const accepted = 'accepted' in outcome ? outcome.accepted : 0;
      assert.deepEqual(await idsLike(database, eventId(0, namespace).slice(0, 8)), [
        ...ids(0, NEIGHBOURS),
        ...ids(100, accepted),
        ...ids(200, NEIGHBOURS),
      ]);
      const rejects = await rejectsOf(database, content);
      const verdicts = 'accepted' in outcome ? [] : outcome;
      assert.deepEqual(
        rejects.map(({ kind, sqlState, column, constraint }) => ({ kind, sqlState, column, constraint })),
        verdicts,
      );
      if (verdicts.length === 0) return;
      assert.equal(rejects[0]?.line, 2 + NEIGHBOURS);
      assert.equal(rejects[0].offset, head.length);
      assert.ok(
        Buffer.concat(rejects.map(({ raw }) => raw)).equals(trapped),
        'the bytes of the rejects are those of the trap',
      );
    });
  }
}

const row = (fields: Fields) => (n: number, namespace: number) => eventRow(n, fields, namespace);
const rawRow = (change: (row: string) => string) => (n: number, namespace: number) =>
  change(eventRow(n, {}, namespace));
const invalid = (sqlState: string, column: string, constraint: string | null = null): Outcome => [
  { kind: 'invalid', sqlState, column, constraint },
];
const malformed = (sqlState: string, records = 1): Outcome =>
  Array.from({ length: records }, () => ({ kind: 'malformed', sqlState, column: null, constraint: null }));

// Types.
trap(
  'an event_id that is no UUID is rejected',
  () => eventRow(0).replace(/^[^,]+/, 'not-a-uuid'),
  invalid('22P02', 'event_id'),
);
trap('an empty event_id is rejected as NULL', () => eventRow(0).replace(/^[^,]+/, ''), invalid('23502', 'event_id'));
trap(
  'a quoted empty event_id is rejected as no UUID',
  () => eventRow(0).replace(/^[^,]+/, '""'),
  invalid('22P02', 'event_id'),
);
trap('an event_time that is no time is rejected', row({ event_time: 'yesterday-ish' }), invalid('22007', 'event_time'));
trap(
  'an event_time with month 13 is rejected',
  row({ event_time: '2026-13-01T00:00:00Z' }),
  invalid('22008', 'event_time'),
);
trap(
  'an infinite event_time is rejected',
  row({ event_time: 'infinity' }),
  invalid('23514', 'event_time', 'events_event_time_finite'),
);
trap('a price that is not a number is rejected', row({ price: '12abc' }), invalid('22P02', 'price'));
trap('a price of NaN is rejected', row({ price: 'NaN' }), invalid('23514', 'price', 'events_price_not_negative'));
trap(
  'a price that is too large for numeric(12,2) is rejected',
  row({ price: '12345678901.00' }),
  invalid('22003', 'price'),
);
trap('a negative price is rejected', row({ price: '-0.01' }), invalid('23514', 'price', 'events_price_not_negative'));
trap('a quantity beyond integer is rejected', row({ quantity: '2147483648' }), invalid('22003', 'quantity'));
trap('a fractional quantity is rejected', row({ quantity: '1.5' }), invalid('22P02', 'quantity'));
trap(
  'a quantity of zero is rejected',
  row({ quantity: '0' }),
  invalid('23514', 'quantity', 'events_quantity_positive'),
);
// Rules.
trap(
  'an unknown event type is rejected',
  row({ event_type: 'teleport' }),
  invalid('23514', 'event_type', 'events_event_type_known'),
);
trap('an unquoted empty user_id is NULL and rejected', row({ user_id: '' }), invalid('23502', 'user_id'));
trap("a quoted empty user_id is '' and accepted", row({ user_id: '""' }), { accepted: 1 });
trap('an unknown device is rejected', row({ device: 'toaster' }), invalid('23514', 'device', 'events_device_known'));
trap(
  'a country in small letters is rejected',
  row({ country: 'de' }),
  invalid('23514', 'country', 'events_country_code'),
);
trap(
  'a price without a currency is rejected',
  row({ currency: '' }),
  invalid('23514', 'price', 'events_price_has_currency'),
);
trap(
  'an item row without a product is rejected',
  row({ product_id: '' }),
  invalid('23514', 'product_id', 'events_product_required'),
);
trap(
  'a purchase without an order is rejected',
  row({ event_type: 'purchase' }),
  invalid('23514', 'order_id', 'events_order_required'),
);
trap(
  'a search without a term is rejected',
  row({ event_type: 'search' }),
  invalid('23514', 'search_term', 'events_search_term_required'),
);
// Structure.
trap(
  'a row with one field too few is rejected',
  rawRow((text) => text.slice(0, -1)),
  malformed('22P04'),
);
trap(
  'a row with one field too many is rejected',
  rawRow((text) => `${text},x`),
  malformed('22P04'),
);
trap('a header repeated among the rows is rejected', () => HEADER, invalid('22P02', 'event_id'));
trap('a quote inside an unquoted field is rejected', row({ product_name: 'Shoe "black"' }), malformed('22P04'));
trap('text after a closing quote is rejected', row({ product_name: '"Shoe" black' }), malformed('22P04'));
trap('a quote that never closes costs its own line only', row({ product_name: '"Shoe' }), malformed('22P04'));
trap('a bare carriage return between fields is rejected', row({ user_id: 'a\rb' }), malformed('22P04'));
trap('a bare carriage return in quotes is data', row({ user_id: '"a\rb"' }), { accepted: 1 });
trap('a backslash and a dot alone on a line are no row', () => '\\.', malformed('22P04'));
trap('a backslash and a dot on a line of a quoted field are data', row({ product_name: '"a\n\\.\nb"' }), {
  accepted: 1,
});
trap('line breaks in a quoted field are data', row({ product_name: '"a\nb\r\nc"' }), { accepted: 1 });
trap('an empty line is not a row', () => '', { accepted: 0 });
trap('a row of spaces is rejected', () => '   ', malformed('22P04'));
trap('a NUL byte is rejected', row({ user_id: 'a\0b' }), malformed('22021'));
trap(
  'bytes that are not UTF-8 are rejected',
  (n, space) => Buffer.from(eventRow(n, { user_id: 'a\xffb' }, space), 'latin1'),
  malformed('22021'),
);
trap(
  'an encoded surrogate is rejected',
  (n, space) => Buffer.from(eventRow(n, { user_id: '\xed\xa0\x80' }, space), 'latin1'),
  malformed('22021'),
);
trap(
  'a row that ends in CRLF among rows that end in LF is accepted',
  rawRow((text) => `${text}\r`),
  { accepted: 1 },
);
trap(
  'a row that ends in LF among rows that end in CRLF is accepted',
  (n, space) => `${eventRow(n, {}, space)}\n${eventRow(n + 1, {}, space)}`,
  { accepted: 2 },
  '\r\n',
);
trap('a NUL byte among rows that end in CRLF is rejected', row({ user_id: 'a\0b' }), malformed('22021'), '\r\n');
trap(
  'a record longer than 1 MiB is rejected in pieces of at most so many bytes',
  row({ page_url: 'x'.repeat(2 ** 20) }),
  malformed('22P04', 2),
);

test('ledger and tables agree after all of it', () => assertLedger(database));
