import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { eventRow, HEADER } from '../helpers/events.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { assertSameTables, runSpark } from './harness.js';
import { namesIn, pathIn } from '../helpers/dayFolders.js';

const ROWS = (from: number, count: number, lineEnd = '\n'): string =>
  Array.from({ length: count }, (_, n) => eventRow(from + n) + lineEnd).join('');

/** Files that the generator does not make, one trap each. */
const TRAPS: Readonly<Record<string, (n: number) => string | Buffer>> = {
  'empty.csv': () => '',
  'empty.csv.gz': () => Buffer.alloc(0),
  'header only.csv': () => `${HEADER}\n`,
  'header without a line end.csv': () => HEADER,
  'byte order mark.csv': (n) => `\ufeff${HEADER}\n${ROWS(n, 3)}`,
  'compressed.csv.gz': (n) => gzipSync(`${HEADER}\n${ROWS(n, 50)}`),
  'compressed, cut short.csv.gz': (n) => gzipSync(`${HEADER}\n${ROWS(n, 50)}`).subarray(0, -20),
  'end marker in quotes.csv': (n) =>
    `${HEADER}\n${ROWS(n, 2)}${eventRow(n + 2, { product_name: '"a\n\\.\n""b"""' })}\n${ROWS(n + 3, 2)}`,
  'end marker alone.csv': (n) => `${HEADER}\n${ROWS(n, 2)}\\.\n${ROWS(n + 2, 2)}`,
  'end marker first.csv': (n) => `${HEADER}\n\\.\n${ROWS(n, 2)}`,
  'quote that never closes.csv': (n) =>
    `${HEADER}\n${ROWS(n, 2)}${eventRow(n + 2, { product_name: '"x' })}\n${ROWS(n + 3, 2)}`,
  'stray quotes.csv': (n) =>
    `${HEADER}\n${ROWS(n, 1)}${eventRow(n + 1, { product_name: 'a"b' })}\n${eventRow(n + 2, { product_name: '"a"b' })}\n${ROWS(n + 3, 2)}`,
  'bare carriage return.csv': (n) =>
    `${HEADER}\n${ROWS(n, 1)}${eventRow(n + 1, { user_id: 'a\rb' })}\n${eventRow(n + 2, { user_id: '"a\rb"' })}\n`,
  'mixed line ends.csv': (n) => `${HEADER}\r\n${ROWS(n, 2, '\r\n')}${ROWS(n + 2, 2)}${ROWS(n + 4, 1, '\r\n')}`,
  'empty lines.csv': (n) => `${HEADER}\n\n${ROWS(n, 1)}\n\r\n${ROWS(n + 1, 1)}\n`,
  'nul and latin-1.csv': (n) =>
    Buffer.from(
      `${HEADER}\n${ROWS(n, 1)}${eventRow(n + 1, { user_id: 'a\0b' })}\n${eventRow(n + 2, { user_id: 'a\xffb' })}\n${eventRow(n + 3, { user_id: '\xed\xa0\x80' })}\n${ROWS(n + 4, 1)}`,
      'latin1',
    ),
  'too long.csv': (n) =>
    `${HEADER}\n${ROWS(n, 1)}${eventRow(n + 1, { page_url: 'x'.repeat(2 ** 20) })}\n${ROWS(n + 2, 1)}`,
  'no last line end.csv': (n) => `${HEADER}\n${ROWS(n, 2)}${eventRow(n + 2)}`,
  'quoted empty and NULL.csv': (n) =>
    `${HEADER}\n${eventRow(n, { user_id: '""' })}\n${eventRow(n + 1, { user_id: '' })}\n`,
  'times without a zone.csv': (n) => `${HEADER}\n${eventRow(n, { event_time: '2026-03-29 02:30:00' })}\n`,
  'columns in another order.csv': (n) =>
    `${HEADER.split(',').reverse().join(',')}\n${eventRow(n).split(',').reverse().join(',')}\n`,
  'UTF-16.csv': () => Buffer.from(`\ufeff${HEADER}\n`, 'utf16le'),
  'unknown column.csv': () => `${HEADER},colour\n`,
  'header of a shipped feed.csv': () => 'timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n',
  'columns without a name.csv': (n) =>
    `${HEADER},,\n${ROWS(n, 3, ',,\n')}${eventRow(n + 3)},"",\n${eventRow(n + 4)},x,\n${eventRow(n + 5)},\n${eventRow(n + 6, { product_name: '"a\n\\.\nb"' })},,\n${eventRow(n + 7, { user_id: 'a\xff' })},,`,
};

/** Files that somebody made to do harm. */
const HOSTILE: Readonly<Record<string, (n: number) => string | Buffer>> = {
  'many names.csv': () => Array.from({ length: 150_000 }, (_, index) => `c${index}`).join(','),
  'one long name.csv': () => 'x'.repeat(3 * 2 ** 20),
  'long quote.csv': (n) => `${HEADER}\n${ROWS(n, 2)}"${'x'.repeat(5 * 2 ** 20)}`,
  'only short rows.csv': () => `${HEADER}\n${'x\n'.repeat(30_000)}`,
  'member behind.csv.gz': (n) =>
    Buffer.concat([gzipSync(`${HEADER}\n${ROWS(n, 5)}`), gzipSync(ROWS(n + 5, 5)).fill(7, 0, 4)]),
  'zeros behind.csv.gz': (n) => Buffer.concat([gzipSync(`${HEADER}\n${ROWS(n, 5)}`), Buffer.alloc(512)]),
  'zeros between.csv.gz': (n) =>
    Buffer.concat([gzipSync(`${HEADER}\n${ROWS(n, 5)}`), Buffer.alloc(512), gzipSync(ROWS(n + 5, 5))]),
  'inflated.csv.gz': (n) => gzipSync(`${HEADER}\n${ROWS(n, 1)}${'\0'.repeat(40 * 2 ** 20)}`),
  '$(touch pwned);`touch pwned`.csv': (n) => `${HEADER}\n${ROWS(n, 1)}${eventRow(n + 1, { quantity: 'x' })}\n`,
  'two\nlines\' "and" \\quotes\u001b[2J.csv': (n) => `${HEADER}\n${ROWS(n, 1)}`,
  'statements.csv': (n) =>
    `${HEADER}\n${eventRow(n, { product_name: `"'); drop table public.events; --"` })}\n${eventRow(n + 1, { user_id: "'||pg_sleep(9)||'" })}\n`,
};

async function assertEqual(spark: Pipeline, native: Pipeline): Promise<void> {
  await assertSameTables(spark.database, native.database);
  const engines = await spark.database.query<{ engine: string }>('select distinct engine from ecompipe.batches');
  assert.deepEqual(engines, [{ engine: 'spark' }]);
  const left = await spark.database.query("select relname from pg_class where relname like 'spark_stage%'");
  assert.deepEqual(left, [], 'stage tables are left behind');
}

test('dirty files and traps of every kind leave the same tables as with the native engine, and the same files', async (t) => {
  const [spark, native] = [await createPipeline(t), await createPipeline(t)];
  await native.generate({ events: 12_000, batchSize: 100, dirt: 'dirty' });
  await native.move();
  for (const directory of ['incoming', 'processing'])
    cpSync(path.join(native.home, directory), path.join(spark.home, directory), { recursive: true });
  // One file after the other: which of two files brings an event first is left to chance where groups load beside each other.
  await native.stream({ atomicFile: true });
  for (const { processing } of [native, spark])
    Object.entries(TRAPS).forEach(([name, content], index) =>
      writeFileSync(path.join(processing, name), content(index * 100)),
    );
  await native.stream({ connections: 1 });
  const ended = await runSpark(t, spark, {
    args: ['--once', '--json', '--connections', '1', '--max-files-per-trigger', '60', '--trigger-interval', '0'],
  });
  assert.equal(ended.exitCode, 0, ended.stderr);
  await assertEqual(spark, native);
  for (const directory of ['archive', 'quarantine', 'processing']) {
    assert.deepEqual(namesIn(path.join(spark.home, directory)), namesIn(path.join(native.home, directory)), directory);
  }
  const reasons = namesIn(path.join(native.home, 'quarantine')).filter((name) => name.endsWith('.reason.json'));
  assert.notEqual(reasons.length, 0);
  for (const name of reasons) {
    const [ofSpark, ofNative] = [spark, native].map(
      ({ home }) => JSON.parse(readFileSync(pathIn(path.join(home, 'quarantine'), name), 'utf8')) as { reason: string },
    );
    assert.equal(ofSpark?.reason, ofNative?.reason, name);
  }
  const { rows } = JSON.parse(ended.stdout) as { rows: { inserted: number; rejected: number } };
  const [{ count } = { count: 0 }] = await spark.database.query<{ count: number }>(
    'select count(*)::int4 as count from public.events',
  );
  assert.equal(rows.inserted, count);
  assert.equal((await spark.verify()).ok, true);
});

test('files that were made to do harm do no more of it than with the native engine', async (t) => {
  const [spark, native] = [await createPipeline(t), await createPipeline(t)];
  for (const { processing, home } of [spark, native]) {
    Object.entries(HOSTILE).forEach(([name, content], index) =>
      writeFileSync(path.join(processing, name), content(index * 100)),
    );
    writeFileSync(path.join(home, 'secret'), `${HEADER}\n${ROWS(5000, 1)}`);
    symlinkSync(path.join(home, 'secret'), path.join(processing, 'link.csv'));
    execFileSync('mkfifo', [path.join(processing, 'fifo.csv')]);
  }
  const maxFileBytes = 16 * 2 ** 20;
  await native.stream({ connections: 1, maxFileBytes });
  const ended = await runSpark(t, spark, {
    args: ['--once', '--json', '--connections', '1', '--max-file-bytes', String(maxFileBytes)],
  });
  assert.equal(ended.exitCode, 0, ended.stderr);
  await assertEqual(spark, native);
  for (const directory of ['archive', 'quarantine', 'processing'])
    assert.deepEqual(namesIn(path.join(spark.home, directory)), namesIn(path.join(native.home, directory)), directory);
  assert.deepEqual(namesIn(path.join(spark.home, 'processing')), ['fifo.csv', 'link.csv']);
  assert.equal(existsSync('pwned') || existsSync(path.join(spark.home, 'pwned')), false);
  assert.doesNotMatch(ended.stderr, /\u001b\[2J|two\nlines/);
});
