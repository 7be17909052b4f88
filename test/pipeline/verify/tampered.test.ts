import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import type { FindingKind, VerifyResult } from '../../../src/pipeline/verify/verifyEvents.js';
import { createPipeline, type Pipeline } from './pipeline.js';

/** One thing that somebody does to the tables, and what verify must say of it. */
interface Tampering {
  readonly name: string;
  /** Statements with $1: the id of one purchase line. */
  readonly sql: string;
  readonly kind: FindingKind;
  /** In the text of the finding. */
  readonly says: RegExp;
  /** The finding names the tampered event. Default true. */
  readonly namesEvent?: boolean;
}

const COPIED =
  'event_type, event_time, user_id, session_id, device, country, traffic_source, page_url, search_term, product_id, product_name, brand, category, price, quantity, currency, coupon, payment_type, order_id';
const OTHER_ID = '01234567-89ab-7def-8123-456789abcdef';

const TAMPERINGS: readonly Tampering[] = [
  { name: 'a deleted row', sql: 'delete from events where event_id = $1', kind: 'lost', says: /not in the table/ },
  {
    name: 'a copy under another id in the same batch',
    sql: `insert into events (event_id, ${COPIED}, batch_id) select '${OTHER_ID}', ${COPIED}, batch_id from events where event_id = $1`,
    kind: 'duplicated',
    says: /a copy of event ID under another id/,
    namesEvent: false,
  },
  {
    name: 'a copy under another id of no batch',
    sql: `insert into events (event_id, ${COPIED}) select '${OTHER_ID}', ${COPIED} from events where event_id = $1`,
    kind: 'duplicated',
    says: /a copy of event ID under another id, loaded by no batch/,
    namesEvent: false,
  },
  {
    name: 'a row of a batch that the ledger does not have',
    sql: `insert into events (event_id, ${COPIED}, batch_id) select '${OTHER_ID}', ${COPIED}, 99999 from events where event_id = $1`,
    kind: 'duplicated',
    says: /the table has 1 row of batch 99999, which the ledger does not have/,
    namesEvent: false,
  },
  {
    name: 'a price a cent higher',
    sql: 'update events set price = price + 0.01 where event_id = $1',
    kind: 'corrupted',
    says: /price is '[\d.]+', must be '[\d.]+'/,
  },
  {
    name: 'another quantity',
    sql: 'update events set quantity = quantity + 1 where event_id = $1',
    kind: 'corrupted',
    says: /quantity/,
  },
  {
    name: 'a text a letter longer',
    sql: "update events set product_name = product_name || 'x' where event_id = $1",
    kind: 'corrupted',
    says: /product_name is '.*x', must be/,
  },
  {
    name: 'an empty text instead of none',
    sql: "update events set search_term = '' where event_id = $1",
    kind: 'corrupted',
    says: /search_term is '', must be NULL/,
  },
  {
    name: 'a time a millisecond later',
    sql: "update events set event_time = event_time + interval '1 ms' where event_id = $1",
    kind: 'corrupted',
    says: /event_time/,
  },
  {
    name: 'another type of the same length',
    sql: "update events set event_type = 'view_cart' where event_id = (select event_id from events where event_type = 'page_view' limit 1)",
    kind: 'corrupted',
    says: /event_type is 'view_cart', must be 'page_view'/,
    namesEvent: false,
  },
  {
    name: 'another id',
    sql: `update events set event_id = '${OTHER_ID}' where event_id = $1`,
    kind: 'lost',
    says: /not in the table/,
  },
];

const purchase = async ({ database }: Pipeline): Promise<string> =>
  (
    await database.query<{ id: string }>(
      "select event_id as id from events where event_type = 'purchase' order by event_id limit 1",
    )
  )[0]!.id;

const named = ({ findings }: VerifyResult, kind: FindingKind): VerifyResult['findings'] =>
  findings.filter((finding) => finding.kind === kind);

for (const { name, sql, kind, says, namesEvent = true } of TAMPERINGS) {
  test(`${name} is found and named`, async (t) => {
    const pipeline = await createPipeline(t);
    await pipeline.run();
    const eventId = await purchase(pipeline);
    await pipeline.database.query(sql, sql.includes('$1') ? [eventId] : []);
    const result = await pipeline.verify();
    assert.deepEqual([result.ok, result.counts[kind], result.counts.miscounted], [false, 1, 0]);
    const [finding] = named(result, kind);
    assert.match(finding!.detail.replace(eventId, 'ID'), says);
    if (namesEvent) assert.equal(finding!.eventId, eventId);
  });
}

test('two rows that swapped their prices are both named', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  const changed = await pipeline.database.query<{ id: string }>(`
    with pair as (select min(price) as low, max(price) as high from events where event_type = 'view_item')
    update events set price = case price when low then high else low end from pair
    where event_id in (select event_id from events, pair where price in (low, high) and event_type = 'view_item' order by price, event_id limit 1)
       or event_id in (select event_id from events, pair where price in (low, high) and event_type = 'view_item' order by price desc, event_id limit 1)
    returning event_id as id`);
  const result = await pipeline.verify();
  assert.deepEqual(
    named(result, 'corrupted')
      .map(({ eventId }) => eventId)
      .sort(),
    changed.map(({ id }) => id).sort(),
  );
});

test('rows of files that are gone are counted, and the file is named', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  const eventId = await purchase(pipeline);
  await pipeline.database.query('delete from events where event_id = $1', [eventId]);
  rmSync(pipeline.archive, { recursive: true });
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.counts.lost], [false, 1]);
  assert.match(named(result, 'lost')[0]!.file!, /^events-/);
  assert.match(named(result, 'lost')[0]!.detail, /1,999 rows in the table where 2,000 must be/);
});

test('a file that is gone from the ledger is named, and its rows are not taken for others’', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  const [file] = await pipeline.database.query<{ id: string; name: string }>(
    'select file_id as id, name from ecompipe.files order by file_id limit 1',
  );
  await pipeline.database.query('delete from ecompipe.range_entries where file_id = $1', [file!.id]);
  await pipeline.database.query('delete from ecompipe.file_entries where file_id = $1', [file!.id]);
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.counts.duplicated, result.counts.lost], [false, 0, 0]);
  assert.equal(named(result, 'miscounted')[0]!.file, file!.name);
});

test('a file that nobody has any more is lost with all its rows', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate();
  const [first] = readdirSync(pipeline.incoming).filter((name) => name.endsWith('.csv'));
  rmSync(path.join(pipeline.incoming, first!));
  await pipeline.move();
  await pipeline.stream();
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.counts.lost, result.findings[0]!.file], [false, 500, first]);
});
