import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { describeLedgerProof, proveLedger, type LedgerProof } from '../../../src/pipeline/verify/ledgerProof.js';
import { createPipeline, type Pipeline } from './pipeline.js';

const prove = ({ target }: Pipeline): Promise<LedgerProof> => target((database) => proveLedger(database));

/** Clean files, dirty ones, a redelivery and rows from elsewhere. */
async function loaded(t: Parameters<typeof createPipeline>[0]): Promise<Pipeline> {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 1500, dirt: 'dirty' });
  await pipeline.database.query(
    "insert into public.events (event_id, event_type, event_time, user_id, session_id) values (gen_random_uuid(), 'page_view', now(), 'u', 's')",
  );
  return pipeline;
}

test('the ledger of a dirty run agrees with the table, and rows that no batch loaded are left out', async (t) => {
  const pipeline = await loaded(t);
  const proof = await prove(pipeline);
  assert.deepEqual(proof.counts, { lost: 0, surplus: 0, unknownBatch: 0, miscounted: 0 });
  assert.deepEqual([proof.ok, proof.rowsWithoutBatch, proof.findings], [true, 1, []]);
  const [{ rows } = { rows: -1 }] = await pipeline.database.query<{ rows: number }>(
    'select count(*)::int4 as rows from public.events where batch_id is not null',
  );
  assert.equal(proof.rows, rows);
  assert.match(describeLedgerProof(proof), /^lost 0 · surplus 0 · of unknown batches 0 · miscounted 0\n/);
});

const DAMAGES: readonly {
  readonly name: string;
  readonly sql: string;
  readonly counts: Partial<LedgerProof['counts']>;
}[] = [
  {
    name: 'three deleted rows are lost',
    sql: 'delete from public.events where event_id in (select event_id from public.events where batch_id is not null limit 3)',
    counts: { lost: 3 },
  },
  {
    name: 'a row that was given to a batch is a surplus',
    sql: 'update public.events set batch_id = (select min(batch_id) from ecompipe.batches) where batch_id is null',
    counts: { surplus: 1 },
  },
  {
    name: 'a row of a batch that the ledger does not have is reported as such',
    sql: 'update public.events set batch_id = 99999 where batch_id is null',
    counts: { unknownBatch: 1 },
  },
  {
    name: 'a reject that was deleted makes its batch miscounted',
    sql: 'delete from ecompipe.rejected_rows where reject_id = (select min(reject_id) from ecompipe.rejected_rows)',
    counts: { miscounted: 1 },
  },
  {
    name: 'a duplicate that was deleted makes its batch miscounted',
    sql: 'delete from ecompipe.duplicate_rows where ctid = (select min(ctid) from ecompipe.duplicate_rows)',
    counts: { miscounted: 1 },
  },
  {
    name: 'a range that was deleted makes its file and its batch miscounted',
    sql: 'delete from ecompipe.range_entries where (file_id, start_offset) = (select file_id, max(start_offset) from ecompipe.range_entries group by file_id order by file_id limit 1)',
    counts: { miscounted: 2 },
  },
];

for (const { name, sql, counts } of DAMAGES) {
  test(name, async (t) => {
    const pipeline = await loaded(t);
    await pipeline.database.query(sql);
    const proof = await prove(pipeline);
    assert.deepEqual(proof.counts, { lost: 0, surplus: 0, unknownBatch: 0, miscounted: 0, ...counts });
    assert.equal(proof.ok, false);
  });
}

test('TRUNCATE loses every row of every batch, and the message names batches and files', async (t) => {
  const pipeline = await loaded(t);
  const { rows } = await prove(pipeline);
  await pipeline.database.query('truncate public.events');
  const proof = await prove(pipeline);
  assert.equal(proof.counts.lost, rows);
  assert.match(
    describeLedgerProof(proof),
    /lost: batch \d+ committed [\d,]+ rows from \S+\.csv.* and the table has 0 rows of it/,
  );
});

test('a file that our generator did not write is proved too, and a batch whose file is gone from the ledger is miscounted', async (t) => {
  const pipeline = await createPipeline(t);
  writeFileSync(
    path.join(pipeline.processing, 'orders.csv'),
    'event_id,event_type,event_time,user_id,session_id\n018f0000-0000-7000-8000-000000000001,page_view,2026-01-01T00:00:00Z,u,s\n',
  );
  await pipeline.stream();
  const proof = await prove(pipeline);
  assert.deepEqual([proof.ok, proof.rows, proof.files], [true, 1, 1]);
  await pipeline.database.query('delete from ecompipe.file_entries');
  const { counts, findings } = await prove(pipeline);
  assert.deepEqual(counts, { lost: 0, surplus: 0, unknownBatch: 0, miscounted: 1 });
  assert.match(findings[0]!.detail, /^batch \d+ counted 1 rows in \d+ bytes, and its files have 0 in 0$/);
});
