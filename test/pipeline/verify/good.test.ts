import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';
import { describeVerify } from '../../../src/pipeline/verify/describeVerify.js';
import type { VerifyEvent } from '../../../src/pipeline/verify/verifyEvents.js';
import { until } from '../../helpers/until.js';
import { createPipeline, type Pipeline } from './pipeline.js';
import { namesIn, pathIn } from '../../helpers/dayFolders.js';

const csvFiles = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.csv'))
    .sort();
const manifestOf = ({ manifests }: Pipeline): string => path.join(manifests, readdirSync(manifests)[0]!);

test('a loaded run is proved, and progress is told', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  const events: VerifyEvent[] = [];
  const result = await pipeline.verify({}, (event) => events.push(event));
  assert.deepEqual(
    [result.ok, result.runs, result.files, result.rows, result.rowsScanned, result.findings],
    [true, 1, 4, 2000, 2000, []],
  );
  assert.match(describeVerify(result), /^lost 0 · duplicated 0 · corrupted 0\n2,000 rows of 4 files from 1 run; /);
  assert.deepEqual(events, [
    { type: 'manifestsRead', runs: 1, files: 4, faults: 0 },
    { type: 'tableScanned', share: 1, rows: 2000 },
  ]);
});

test('files of ten rows that share a transaction, and files of many transactions, are proved', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ batchSize: 10 });
  await pipeline.generate({ seed: 43 });
  await pipeline.move();
  await pipeline.stream({ batchBytes: 16 * 1024 });
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.runs, result.files, result.rows], [true, 2, 204, 4000]);
});

test('the same seed again is the same files again', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  await pipeline.run();
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.runs, result.files, result.rows, result.rowsScanned], [true, 2, 4, 2000, 2000]);
});

test('the same seed cut into other files is proved, and a row that both should have delivered is missed', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ events: 1000, batchSize: 100 });
  await pipeline.run({ events: 1500, batchSize: 750 });
  assert.deepEqual([(await pipeline.verify()).ok, (await pipeline.verify()).rowsScanned], [true, 1500]);
  const [event] = await pipeline.database.query<{ id: string }>(
    'delete from events where event_id = (select min(event_id::text)::uuid from events) returning event_id as id',
  );
  const result = await pipeline.verify();
  assert.deepEqual([result.counts.lost, result.findings[0]?.eventId], [1, event!.id]);
});

test('rows of others, before, between and within the same transactions, do not matter', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ seed: 1, manifestDir: path.join(pipeline.home, 'elsewhere') });
  await pipeline.database.query(
    "insert into events (event_id, event_type, event_time, user_id, session_id) values (gen_random_uuid(), 'page_view', now(), 'u', 's')",
  );
  await pipeline.generate({ seed: 2, batchSize: 10, manifestDir: path.join(pipeline.home, 'elsewhere') });
  await pipeline.generate({ seed: 3, batchSize: 10 });
  await pipeline.move();
  await pipeline.stream();
  const result = await pipeline.verify();
  assert.deepEqual([result.findings, result.rows, result.rowsScanned], [[], 2000, 6001]);
});

test('a row lost from a transaction that others share is still found', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ seed: 2, batchSize: 10, events: 100, manifestDir: path.join(pipeline.home, 'elsewhere') });
  await pipeline.generate({ seed: 3, batchSize: 10, events: 100 });
  await pipeline.move();
  await pipeline.stream();
  const [name] = namesIn(pipeline.archive).filter((file) => readFileSync(manifestOf(pipeline), 'utf8').includes(file));
  const eventId = readFileSync(pathIn(pipeline.archive, name!), 'utf8').split('\n')[1]!.slice(0, 36);
  await pipeline.database.query('delete from events where event_id = $1', [eventId]);
  const { counts, findings } = await pipeline.verify();
  assert.deepEqual(
    [counts.lost, findings],
    [1, [{ kind: 'lost', file: name, line: 2, eventId, detail: 'not in the table' }]],
  );
});

test('what is not loaded yet is pending: a fault, unless it is allowed', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ seed: 1 });
  await pipeline.generate({ seed: 2 });
  await pipeline.move();
  await pipeline.generate({ seed: 3 });
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.pendingFiles, result.pendingRows, result.findings], [false, 8, 4000, []]);
  assert.match(describeVerify(result), /not all is loaded yet: 8 files with 4,000 rows are pending/);
  assert.equal((await pipeline.verify({ allowPending: true })).ok, true);
});

test('a check while files are generated, moved and loaded raises no alarm', async (t) => {
  const pipeline = await createPipeline(t);
  const done = new AbortController();
  const working = (async () => {
    for (const seed of [1, 2, 3]) await pipeline.run({ seed, events: 3000, batchSize: 30, dirt: 'dirty' });
  })().finally(() => done.abort());
  await until(
    'there is a manifest',
    () => existsSync(pipeline.manifests) && readdirSync(pipeline.manifests).length > 0,
  );
  let checks = 0;
  for (; !done.signal.aborted; checks++) {
    const result = await pipeline.verify({ allowPending: true });
    assert.deepEqual(result.findings, []);
  }
  await working;
  assert.ok(checks > 1);
  assert.deepEqual([(await pipeline.verify()).ok, (await pipeline.verify()).runs], [true, 3]);
});

test('a duplicate that was loaded before its first delivery changes nothing', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 20, batchSize: 10 });
  const [first, second] = csvFiles(pipeline.incoming);
  const manifest = manifestOf(pipeline);
  // The second file gets the first file's first row as well, and its manifest says so.
  const [, row] = readFileSync(path.join(pipeline.incoming, first!), 'utf8').split('\n');
  const target = path.join(pipeline.incoming, second!);
  appendFileSync(target, `${row}\n`);
  addDuplicate(manifest, second!, target, row!.slice(0, 36), 12);
  mkdirSync(path.join(pipeline.home, 'later'));
  renameSync(path.join(pipeline.incoming, first!), path.join(pipeline.home, 'later', first!));
  await pipeline.move();
  await pipeline.stream();
  copyFileSync(path.join(pipeline.home, 'later', first!), path.join(pipeline.incoming, first!));
  const half = await pipeline.verify();
  assert.deepEqual([half.pendingFiles, half.findings], [1, []]);
  await pipeline.move();
  await pipeline.stream();
  const whole = await pipeline.verify();
  assert.deepEqual([whole.ok, whole.rows, whole.duplicates, whole.findings], [true, 20, 1, []]);
  const [inserted] = await pipeline.database.query<{ rows: number }>(
    'select rows_duplicate::int4 as rows from ecompipe.files where name = $1',
    [first],
  );
  assert.equal(inserted!.rows, 1, 'the first delivery came second');
});

test('the columns of the table that come from files are all compared', async (t) => {
  const pipeline = await createPipeline(t);
  const columns = await pipeline.database.query<{ name: string }>(
    "select column_name as name from information_schema.columns where table_schema = 'public' and table_name = 'events' and column_name not in ('ingested_at', 'batch_id')",
  );
  assert.deepEqual(columns.map(({ name }) => name).sort(), [...EVENT_COLUMNS].sort());
});

function addDuplicate(manifest: string, name: string, file: string, eventId: string, fileLine: number): void {
  const lines = readFileSync(manifest, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const changed = lines.flatMap((line) => {
    if (line['line'] !== 'file' || line['file'] !== name) return [line];
    const content = readFileSync(file);
    return [
      { line: 'fault', kind: 'redelivery', file: name, fileLine, eventId, outcome: 'duplicate' },
      {
        ...line,
        rows: (line['rows'] as number) + 1,
        duplicates: { redelivery: 1 },
        sha256: createHash('sha256').update(content).digest('hex'),
        bytes: content.length,
      },
    ];
  });
  writeFileSync(manifest, changed.map((line) => `${JSON.stringify(line)}\n`).join(''));
}
