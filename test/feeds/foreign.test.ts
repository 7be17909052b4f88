import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { describeTrial } from '../../src/pipeline/stream/feeds/describeTrial.js';
import { initFeed } from '../../src/pipeline/stream/feeds/initFeed.js';
import { tryFile } from '../../src/pipeline/stream/feeds/tryFile.js';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import { load, openShop } from '../pipeline/stream/harness.js';

/** Exports of other sources, with invented values, that the language alone must bring into rows. */
interface Source {
  readonly file: string;
  readonly feed: string;
  readonly content: string | Uint8Array;
  readonly select: string;
  readonly rows: readonly string[];
  readonly skipped?: number;
  readonly rejected?: number;
}

const SOURCES: Readonly<Record<string, Source>> = {
  'Stripe balance: fees beside amounts, a zone in the header, refunds below zero': {
    file: 'balance_history.csv',
    feed: `match: "balance*.csv"
where: "\\"Type\\" in ('charge', 'refund')"
columns:
  event_id: { derive: [id] }
  event_type: { from: Type, map: { charge: purchase, refund: refund } }
  event_time: { from: "Created (UTC)", time: "YYYY-MM-DD HH24:MI" }
  user_id: { sql: "coalesce(\\"customer_id (metadata)\\", 'guest')" }
  session_id: Source
  product_id: { value: order }
  price: { sql: "abs(replace(\\"Amount\\", ',', '')::numeric)" }
  quantity: { value: 1 }
  currency: { sql: "upper(\\"Currency\\")" }
  order_id: Source
`,
    content:
      'id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Description,customer_id (metadata)\n' +
      'txn_1,charge,ch_1,"1,234.50",36.10,"1,198.40",eur,2026-11-02 10:15,"Order ""A-1"", blue",cus_1\n' +
      'txn_2,refund,ch_1,-20.00,0.00,-20.00,eur,2026-11-03 08:00,,\n' +
      'txn_3,payout,po_1,-500.00,0.00,-500.00,eur,2026-11-04 08:00,STRIPE PAYOUT,\n',
    select: `concat_ws('|', event_type, price, currency, user_id, event_time at time zone 'UTC')`,
    rows: ['purchase|1234.50|EUR|cus_1|2026-11-02 10:15:00', 'refund|20.00|EUR|guest|2026-11-03 08:00:00'],
    skipped: 1,
  },
  'Amazon settlement: tabs, no quotes, a summary line, words for the month': {
    file: 'settlement-123.txt',
    feed: `match: "settlement-*.txt"
format: { delimiter: "\\t", quote: none, encoding: windows-1252 }
where: "\\"transaction-type\\" is not null and \\"amount-description\\" = 'Principal'"
columns:
  event_id: { derive: [order-id, order-item-code, amount-description, amount] }
  event_type: { from: transaction-type, map: { Order: purchase, Refund: refund } }
  event_time: { from: posted-date-time, time: "DD.MM.YYYY HH24:MI:SS TZ" }
  user_id: { value: amazon }
  session_id: order-id
  product_id: sku
  product_name: title
  price: { sql: "abs(replace(amount, ',', '.')::numeric)" }
  quantity: { sql: "coalesce(\\"quantity-purchased\\", '1')" }
  currency: { value: EUR }
  order_id: order-id
`,
    content: Buffer.from(
      'settlement-id\ttransaction-type\torder-id\torder-item-code\tamount-description\tamount\tposted-date-time\tsku\ttitle\tquantity-purchased\n' +
        '9\t\t\t\t\t\t\t\t\t\n' +
        '9\tOrder\t028-1\t55\tPrincipal\t12,90\t02.11.2026 23:59:59 UTC\tS"1\tB\xfcgeleisen 5" \x80\t2\n' +
        '9\tOrder\t028-1\t55\tCommission\t-1,90\t02.11.2026 23:59:59 UTC\tS"1\tx\t\n',
      'latin1',
    ),
    select: `concat_ws('|', product_id, product_name, price, quantity, event_time at time zone 'UTC')`,
    rows: ['S"1|Bügeleisen 5" €|12.90|2|2026-11-02 23:59:59'],
    skipped: 2,
  },
  'SAP: semicolons, latin-1, comma decimals, a minus behind, DD.MM.YYYY, lines before the header': {
    file: 'VBAP.CSV',
    feed: `match: "vbap*.csv"
format: { delimiter: ";", encoding: latin1, skip: 2, null: ["", "-"] }
columns:
  event_id: { derive: [Beleg, Position], repeats: same }
  event_type: { sql: "case when \\"Nettowert\\" like '%-' then 'refund' else 'purchase' end" }
  event_time: { sql: "to_timestamp(\\"Datum\\" || ' ' || lpad(\\"Zeit\\", 6, '0'), 'DD.MM.YYYY HH24MISS')" }
  user_id: Käufer
  session_id: Beleg
  product_id: { sql: "ltrim(\\"Material\\", '0')" }
  price: { sql: "replace(replace(rtrim(\\"Nettowert\\", '-'), '.', ''), ',', '.')" }
  quantity: { sql: "split_part(\\"Menge\\", ',', 1)" }
  currency: { value: EUR }
  coupon: Aktion
  order_id: Beleg
`,
    content: Buffer.from(
      'Bericht;;;\r\n\r\nBeleg;Position;Datum;Zeit;K\xe4ufer;Material;Menge;Nettowert;Aktion\r\n' +
        '4711;10;01.11.2026;93005;M\xfcller;000000815;3,000;1.234,50;-\r\n' +
        '4712;10;01.11.2026;193005;M\xfcller;000000815;1,000;20,00-;S\xdc\xdf\r\n',
      'latin1',
    ),
    select: `concat_ws('|', event_type, user_id, product_id, quantity, price, coalesce(coupon, '?'), event_time at time zone 'UTC')`,
    rows: ['purchase|Müller|815|3|1234.50|?|2026-11-01 09:30:05', 'refund|Müller|815|1|20.00|SÜß|2026-11-01 19:30:05'],
  },
  'a Japanese shop: Shift_JIS in names and values, compressed': {
    file: 'uriage.csv.gz',
    feed: `match: "uriage*"
format: { encoding: Shift_JIS }
columns:
  event_id: { derive: [注文番号, 商品名] }
  event_type: { value: purchase }
  event_time: { from: 日時, time: "YYYY/MM/DD HH24:MI", zone: Asia/Tokyo }
  user_id: 顧客
  session_id: 注文番号
  product_id: 商品名
  price: { sql: "translate(\\"金額\\", '円,', '')" }
  quantity: { value: 1 }
  currency: { value: JPY }
  order_id: 注文番号
`,
    content: gzipSync(
      // 注文番号,商品名,日時,顧客,金額 / A1,表,2026/11/02 09:00,田中,"1,200円"
      Buffer.from(
        '928d95b694d48d862c8fa4956996bc2c93fa8e9e2c8cda8b712c8be08a7a0a41312c955c2c323032362f31312f30322030393a30302c9363' +
          '92862c22312c32303089' +
          '7e220a',
        'hex',
      ),
    ),
    select: `concat_ws('|', product_id, user_id, price, event_time at time zone 'UTC')`,
    rows: ['表|田中|1200.00|2026-11-02 00:00:00'],
  },
  'GA4 raw: nested items, parameters as a list, microseconds, fields that may be missing': {
    file: 'events_20261102.json',
    feed: `match: "events_*.json"
format: { type: jsonl }
where: "record ->> 'event_name' in ('purchase', 'view_item')"
rows: "jsonb_array_elements(coalesce(nullif(record -> 'items', '[]'), '[{}]')) as item"
columns:
  event_id: { derive: [{ sql: "record ->> 'event_timestamp'" }, { sql: "record ->> 'user_pseudo_id'" }, { sql: "item ->> 'item_id'" }, { sql: item_number }] }
  event_type: { sql: "record ->> 'event_name'" }
  event_time: { sql: "to_timestamp((record ->> 'event_timestamp')::numeric / 1000000)" }
  user_id: { sql: "record ->> 'user_pseudo_id'" }
  session_id: { sql: "jsonb_path_query_first(record, '$.event_params[*] ? (@.key == \\"ga_session_id\\").value.int_value') #>> '{}'" }
  product_id: { sql: "item ->> 'item_id'" }
  price: { sql: "item ->> 'price'" }
  quantity: { sql: "item ->> 'quantity'" }
  currency: { sql: "coalesce(record #>> '{ecommerce,currency}', 'USD')" }
  order_id: { sql: "record #>> '{ecommerce,transaction_id}'" }
`,
    content:
      [
        {
          event_timestamp: '1793520121583263',
          event_name: 'purchase',
          user_pseudo_id: '1.2',
          event_params: [{ key: 'ga_session_id', value: { int_value: '77' } }],
          ecommerce: { transaction_id: 'T1', currency: 'EUR' },
          items: [
            { item_id: 'a', price: 1.5, quantity: '2' },
            { item_id: 'b', price: 3, quantity: '1' },
          ],
        },
        { event_timestamp: '1793520121583264', event_name: 'scroll', user_pseudo_id: '1.2', items: [] },
      ]
        .map((record) => JSON.stringify(record))
        .join('\n') + '\n',
    select: `concat_ws('|', event_type, session_id, product_id, price, quantity, order_id, extract(us from event_time)::int)`,
    rows: ['purchase|77|a|1.50|2|T1|1583263', 'purchase|77|b|3.00|1|T1|1583263'],
    skipped: 1,
  },
  'pipes, no header, milliseconds, currency signs and parentheses for what was given back': {
    file: 'pos.dat',
    feed: `match: "*.dat"
format: { delimiter: "|", quote: none, header: [ts, till, sku, amount, note] }
columns:
  event_id: { derive: [ts, till, sku, amount], repeats: distinct }
  event_type: { sql: "case when amount like '(%' then 'refund' else 'purchase' end" }
  event_time: { from: ts, time: epoch-ms }
  user_id: { sql: "coalesce(note, 'unknown')" }
  session_id: till
  product_id: sku
  price: { sql: "translate(amount, '$(), ', '')" }
  quantity: { value: 1 }
  currency: { value: USD }
  order_id: { sql: "till || '-' || ts" }
`,
    content:
      '1793520121583|t1|s1|$1,234.50|\n1793520121583|t1|s1|$1,234.50|\n1793520121999|t1|s2|($ 5.00)|he said "no"\nbroken|t1|s2|$1|x\n',
    select: `concat_ws('|', event_type, price, user_id)`,
    rows: ['purchase|1234.50|unknown', 'purchase|1234.50|unknown', 'refund|5.00|he said "no"'],
    rejected: 1,
  },
  'Klaviyo: events as JSON lines with properties, an ISO time with a zone': {
    file: 'klaviyo.ndjson',
    feed: `match: "*.ndjson"
format: { type: jsonl }
columns:
  event_id: { derive: [{ sql: "record ->> 'id'" }] }
  event_type: { sql: "case record #>> '{attributes,metric}' when 'Viewed Product' then 'view_item' when 'Placed Order' then 'purchase' end" }
  event_time: { sql: "(record #>> '{attributes,datetime}')::timestamptz" }
  user_id: { sql: "record #>> '{attributes,profile_id}'" }
  session_id: { sql: "record #>> '{attributes,profile_id}'" }
  product_id: { sql: "record #>> '{attributes,event_properties,ProductID}'" }
`,
    content:
      '{"id":"e1","attributes":{"metric":"Viewed Product","datetime":"2026-11-02T10:00:00+02:00","profile_id":"p","event_properties":{"ProductID":77,"Name":"a\\nb"}}}\r\n' +
      '{"id":"e2","attributes":{"metric":"Opened Email","datetime":"2026-11-02T10:00:00+02:00","profile_id":"p"}}\r\n',
    select: `concat_ws('|', event_type, product_id, event_time at time zone 'UTC')`,
    rows: ['view_item|77|2026-11-02 08:00:00'],
    rejected: 1,
  },
  'Etsy: quoted fields over several lines, dates of two digits, several names for nothing': {
    file: 'EtsySoldOrderItems2026.csv',
    feed: `match: "EtsySold*.csv"
format: { null: ["", "N/A", "--"] }
columns:
  event_id: { derive: [Transaction ID] }
  event_type: { value: purchase }
  event_time: { from: Sale Date, time: MM/DD/YY, zone: America/New_York }
  user_id: { sql: "coalesce(\\"Buyer\\", 'guest')" }
  session_id: Order ID
  country: { from: Ship Country, map: { United States: US, Germany: DE, "": null }, otherwise: null }
  product_id: Listing ID
  product_name: Item Name
  price: Price
  quantity: Quantity
  currency: Currency
  order_id: Order ID
`,
    content:
      'Sale Date,Item Name,Buyer,Quantity,Price,Currency,Transaction ID,Listing ID,Order ID,Ship Country\r\n' +
      '11/02/26,"Mug, ""best""\nof all",N/A,2,9.99,USD,1,100,500,Germany\r\n' +
      '11/03/26,"--",ann,1,9.99,USD,2,100,501,Atlantis\r\n',
    select: `concat_ws('|', replace(product_name, chr(10), '⏎'), user_id, coalesce(country, '?'), event_time at time zone 'UTC')`,
    rows: ['--|ann|?|2026-11-03 05:00:00', 'Mug, "best"⏎of all|guest|DE|2026-11-02 05:00:00'],
  },
  'an access log: lines of one field each, cut by a regular expression': {
    file: 'shop.log',
    feed: `match: "*.log"
format: { type: lines }
where: "line ~ '\\"GET /p/'"
columns:
  event_id: { derive: [line] }
  event_type: { value: view_item }
  event_time: { sql: "to_timestamp(substring(line from '\\\\[([^]]+)\\\\]'), 'DD/Mon/YYYY:HH24:MI:SS TZHTZM')" }
  user_id: { sql: "split_part(line, ' ', 1)" }
  session_id: { sql: "split_part(line, ' ', 1)" }
  product_id: { sql: "substring(line from 'GET /p/([^ ?]+)')" }
`,
    content:
      '10.0.0.1 - - [02/Nov/2026:10:00:00 +0100] "GET /p/shoe?x=1 HTTP/1.1" 200 5\n10.0.0.1 - - [02/Nov/2026:10:00:01 +0100] "GET /favicon.ico HTTP/1.1" 200 5\n',
    select: `concat_ws('|', product_id, event_time at time zone 'UTC')`,
    rows: ['shoe|2026-11-02 09:00:00'],
    skipped: 1,
  },
};

for (const [what, source] of Object.entries(SOURCES))
  test(`the language alone brings it into rows: ${what}`, async (t) => {
    const database = await migratedDatabase();
    const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', source.feed);
    assert.ok(feed, problems?.join('\n'));
    const shop = openShop(t, { feeds: [feed], maxRejected: 'none' });
    shop.put(source.file, source.content);
    const { rows, recordsSkipped, filesLoaded } = await load(shop, database);
    const rejects = await database.query<{ message: string }>('select message from ecompipe.rejected_rows');
    assert.equal(filesLoaded, 1);
    const found = await database.query<{ row: string }>(`select ${source.select} as row from public.events order by 1`);
    assert.deepEqual(
      found.map(({ row }) => row),
      source.rows,
      rejects.map(({ message }) => message).join('; '),
    );
    assert.deepEqual([recordsSkipped ?? 0, rows.rejected], [source.skipped ?? 0, source.rejected ?? 0]);
  });

for (const [what, source] of Object.entries(SOURCES))
  test(`for an unknown file feeds init makes a feed that compiles, and feeds check shows what it does: ${what}`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t);
    const file = shop.put(source.file, source.content);
    const { text } = await initFeed(file);
    const { feed, problems } = parseFeed('mine', 'feeds/mine.yaml', text);
    assert.ok(feed, `${problems?.join('\n')}\n${text}`);
    for (const each of [feed, parseFeed('mine', 'feeds/mine.yaml', source.feed).feed!]) {
      const trial = await onDatabase(database, {}, (target) => tryFile(target, file, [each]));
      assert.ok(trial.records > 0);
      for (const width of [40, 60, 80, 200]) {
        const shown = describeTrial(trial, width).split('\n');
        assert.deepEqual(
          shown.filter((line) => line.length > width),
          [],
          `${width} columns`,
        );
      }
    }
    const [counts] = await database.query(
      'select (select count(*) from public.events)::integer as events, (select count(*) from ecompipe.files)::integer as files',
    );
    assert.deepEqual(counts, { events: 0, files: 0 });
  });
