import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import type { FaultLine, ManifestLine } from '../../../src/contract/manifest/format.js';
import type { FindingKind, VerifyResult } from '../../../src/pipeline/verify/verifyEvents.js';
import { createPipeline, type Pipeline } from './pipeline.js';

const faultsOf = ({ manifests }: Pipeline): FaultLine[] =>
  readdirSync(manifests)
    .flatMap((name) => readFileSync(path.join(manifests, name), 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as ManifestLine)
    .filter((line) => line.line === 'fault');

const named = ({ findings }: VerifyResult, kind: FindingKind): VerifyResult['findings'] =>
  findings.filter((finding) => finding.kind === kind);

for (const [name, settings, batchBytes] of [
  ['small files', { events: 6000, batchSize: 50 }, 8 * 2 ** 20],
  ['files of many transactions', { events: 6000, batchSize: 1500 }, 32 * 1024],
] as const) {
  test(`a dirty run of ${name} is proved`, async (t) => {
    const pipeline = await createPipeline(t);
    await pipeline.generate({ ...settings, dirt: 'dirty' });
    await pipeline.move();
    await pipeline.stream({ batchBytes });
    const result = await pipeline.verify();
    assert.deepEqual([result.ok, result.findings], [true, []]);
    assert.ok(result.duplicates > 0 && result.rejects > 0);
  });
}

test('a run with every fault of files is proved', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({
    events: 4000,
    batchSize: 20,
    dirt: 'cut-row=5%,repeated-header=5%,empty=5%,header-only=5%,redelivered-file=5%,reordered-columns=5%,missing-optional-column=5%,missing-required-column=5%,unknown-column=5%,duplicate-column=5%,renamed-column=5%,other-delimiter=5%,utf-16=5%,truncated-gzip=5%,bom=20%,crlf=40%,no-last-newline=20%,redelivery=5%,odd-text=5%',
  });
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.findings], [true, []]);
  assert.ok(result.quarantined > 20);
});

interface Case {
  readonly name: string;
  readonly dirt: string;
  readonly kind: FindingKind;
  readonly tamper: (pipeline: Pipeline, fault: FaultLine) => Promise<unknown>;
  /** Which fault of the manifest it is about. */
  readonly about: (fault: FaultLine) => boolean;
}

const removeReject = ({ database }: Pipeline, { file, fileLine }: FaultLine): Promise<unknown> =>
  database.query(
    'delete from ecompipe.rejected_rows r using ecompipe.files f where f.file_id = r.file_id and f.name = $1 and r.line = $2',
    [file, fileLine],
  );

const insertReject = ({ database }: Pipeline, { eventId, file }: FaultLine): Promise<unknown> =>
  database.query(
    "insert into events (event_id, event_type, event_time, user_id, session_id, batch_id) select $1, 'page_view', now(), 'u', 's', batch_id from ecompipe.batch_ranges join ecompipe.files using (file_id) where name = $2 limit 1",
    [eventId, file],
  );

const CASES: readonly Case[] = [
  {
    name: 'a rejected row that is gone',
    dirt: 'negative=5%',
    kind: 'lost',
    about: ({ outcome }) => outcome === 'rejected',
    tamper: removeReject,
  },
  {
    name: 'a conflict that is gone',
    dirt: 'conflict=5%',
    kind: 'lost',
    about: ({ outcome }) => outcome === 'rejected',
    tamper: removeReject,
  },
  {
    name: 'a reject that went into the table',
    dirt: 'negative=5%',
    kind: 'wronglyAccepted',
    about: ({ outcome }) => outcome === 'rejected',
    tamper: async (pipeline, fault) => {
      await removeReject(pipeline, fault);
      await insertReject(pipeline, fault);
    },
  },
  {
    name: 'a reject that went into the table too',
    dirt: 'negative=5%',
    kind: 'wronglyAccepted',
    about: ({ outcome }) => outcome === 'rejected',
    tamper: insertReject,
  },
];

for (const { name, dirt, kind, tamper, about } of CASES) {
  test(`${name} is found and named`, async (t) => {
    const pipeline = await createPipeline(t);
    await pipeline.run({ dirt });
    const fault = faultsOf(pipeline).find(about)!;
    await tamper(pipeline, fault);
    const result = await pipeline.verify();
    assert.deepEqual(
      [result.ok, result.findings.map((finding) => [finding.kind, finding.eventId])],
      [false, [[kind, fault.eventId]]],
    );
  });
}

test('a good row that went to the rejects is found by file and line', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  await pipeline.database.query(
    "insert into ecompipe.rejected_rows (batch_id, file_id, line, byte_offset, raw, kind, sql_state, message) select batch_id, file_id, 7, 1, '', 'invalid', '23514', 'a mistake' from ecompipe.batch_ranges order by file_id limit 1",
  );
  await pipeline.database.query(
    'delete from events where event_id = (select event_id from events order by event_id offset 5 limit 1)',
  );
  const result = await pipeline.verify();
  assert.deepEqual(
    [result.counts.wronglyRejected, named(result, 'wronglyRejected')[0]!.line, result.counts.lost],
    [1, 7, 1],
  );
});

test('files on the wrong side of the quarantine are named', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ batchSize: 100, dirt: 'utf-16=50%' });
  const [good, bad] = await pipeline.database.query<{ name: string }>(
    'select min(name) as name from ecompipe.files group by state order by state',
  );
  await pipeline.database.query(
    `update ecompipe.file_entries e
     set (batch_id, rows, state, reason, committed_offset, committed_lines, committed_records, rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at) =
       (select null::bigint, null::integer, 'quarantined', 'a mistake', committed_offset, committed_lines, committed_records, rows_read, rows_inserted, rows_duplicate, rows_rejected, first_seen_at
        from ecompipe.files f where f.file_id = e.file_id)
     where name = $1`,
    [good!.name],
  );
  await pipeline.database.query("update ecompipe.file_entries set state = 'loaded', reason = null where name = $1", [
    bad!.name,
  ]);
  const result = await pipeline.verify();
  assert.deepEqual(
    [
      named(result, 'wronglyQuarantined').map(({ file }) => file),
      named(result, 'wronglyLoaded').map(({ file }) => file),
    ],
    [[good!.name], [bad!.name]],
  );
});

test('a file of which the loader missed a row is named', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ dirt: 'redelivery=5%' });
  await pipeline.database.query(
    'update ecompipe.file_entries set rows_read = rows_read - 1, rows_duplicate = rows_duplicate - 1 where file_id = (select file_id from ecompipe.file_entries where rows_duplicate > 0 order by file_id limit 1)',
  );
  assert.equal((await pipeline.verify()).counts.miscounted, 1);
});

test('a manifest that was altered does not pass as a fault of the table', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ batchSize: 2000 });
  const manifest = path.join(pipeline.manifests, readdirSync(pipeline.manifests)[0]!);
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/"contentSum":"(\d)/, '"contentSum":"9$1'));
  const { ok, findings } = await pipeline.verify();
  assert.deepEqual([ok, findings.map(({ kind }) => kind)], [false, ['miscounted']]);
});
