import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { MAX_RECORD_BYTES } from '../../../src/contract/csv/bytes.js';
import { canonicalShape, type Header } from '../../../src/contract/csv/header.js';
import type { BatchPart } from '../../../src/pipeline/stream/batch.js';
import { FileChanged, openLarge, type Content } from '../../../src/pipeline/stream/content.js';
import { readRanges, type ResumePoint } from '../../../src/pipeline/stream/ranges.js';
import { splitRecords } from '../../../src/pipeline/stream/staged/records.js';
import { csvBody, mutatedBody } from '../../contract/csv/arbitraries.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

const START: ResumePoint = { offset: 0, lines: 0, records: 0 };

/** A file's content that lies in memory. */
function contentOf(bytes: Buffer): Content {
  const openAt = (offset: number): ReturnType<Content['openAt']> => {
    let at = offset;
    const read = (target: Buffer): Promise<number> => {
      const count = bytes.copy(target, 0, at);
      at += count;
      return Promise.resolve(count);
    };
    return Promise.resolve({ read, close: () => Promise.resolve() });
  };
  return {
    sha256: createHash('sha256').update(bytes).digest(),
    fileStamp: '',
    size: bytes.length,
    whole: undefined,
    fault: undefined,
    openAt,
    close: () => Promise.resolve(),
  };
}

const HEADER_BYTES = Buffer.from('event_id,event_type,user_id\n');
const header: Header = {
  ...canonicalShape(['event_id', 'event_type', 'user_id']),
  length: HEADER_BYTES.length,
  lines: 1,
};

/** Where a load goes on that has committed these. */
function after(parts: readonly BatchPart[]): ResumePoint {
  const sum = (of: (part: BatchPart) => number): number => parts.map(of).reduce((a, b) => a + b, 0);
  return { offset: parts.at(-1)?.endOffset ?? 0, lines: sum(({ lines }) => lines), records: sum(({ rows }) => rows) };
}

async function partsOf(content: Content, from: ResumePoint, batchBytes: number): Promise<BatchPart[]> {
  const parts: BatchPart[] = [];
  for await (const { part } of readRanges(
    { name: 'a.csv', fileStamp: '', fileId: 1, content, header },
    from,
    batchBytes,
    2,
  ))
    parts.push(part);
  return parts;
}

/** Records as the staged path sees them, part by part: places in the file, and why one is not sound. */
async function recordsOf(parts: readonly BatchPart[]): Promise<unknown[]> {
  const ofParts = await Promise.all(
    parts.map(async (part) => {
      const records = await splitRecords({ ...header, parts: [part], isDurable: true });
      return Array.from({ length: records.length }, (_, ordinal) => {
        const { start, end, line } = records.at(ordinal).frame;
        return {
          start: part.bodyOffset + start,
          end: part.bodyOffset + end,
          line: part.firstLine + line,
          reason: records.malformed.get(ordinal)?.message,
        };
      });
    }),
  );
  return ofParts.flat();
}

/** Some KiB of rows, sound and broken: letters are blown up so that rows are from a few bytes to some KiB. */
const body = fc
  .tuple(
    fc.array(
      fc.oneof(
        csvBody.map(({ bytes, lineEnd }) => Buffer.concat([bytes, Buffer.from(lineEnd)])),
        mutatedBody,
      ),
      { maxLength: 8 },
    ),
    fc.integer({ min: 1, max: 300 }),
  )
  .map(([pieces, blowUp]) =>
    Buffer.from(Buffer.concat(pieces).toString('latin1').replaceAll('a', 'a'.repeat(blowUp)), 'latin1'),
  );

test('ranges of any size cover the file without gap, and their records are those of the file', async () => {
  await fc.assert(
    fc.asyncProperty(body, fc.integer({ min: 1024, max: 4096 }), async (bytes, batchBytes) => {
      const content = contentOf(Buffer.concat([HEADER_BYTES, bytes]));
      const parts = await partsOf(content, START, batchBytes);
      assert.deepEqual(
        parts.map(({ startOffset }) => startOffset),
        [0, ...parts.slice(0, -1).map(({ endOffset }) => endOffset)],
      );
      assert.equal(parts.at(-1)?.endOffset, content.size);
      assert.deepEqual(
        parts.map(({ isLast }) => isLast),
        parts.map((_, index) => index === parts.length - 1),
      );
      assert.deepEqual(await recordsOf(parts), await recordsOf(await partsOf(content, START, 1 << 20)));
      for (const part of parts) assert.equal(part.rows, (await recordsOf([part])).length);
    }),
    { numRuns: 400 },
  );
});

test('a load that goes on at any committed range, with other batch sizes, sees the rows that were left', async () => {
  await fc.assert(
    fc.asyncProperty(
      body,
      fc.integer({ min: 1024, max: 2048 }),
      fc.integer({ min: 1024, max: 4096 }),
      fc.nat(),
      async (bytes, first, second, pick) => {
        const content = contentOf(Buffer.concat([HEADER_BYTES, bytes]));
        const parts = await partsOf(content, START, first);
        const committed = parts.slice(0, pick % parts.length);
        const rest = await partsOf(content, after(committed), second);
        assert.deepEqual([...(await recordsOf(committed)), ...(await recordsOf(rest))], await recordsOf(parts));
      },
    ),
    { numRuns: 300 },
  );
});

test('a quote that closes only in the next range gives its record the reason that it has in one batch', async () => {
  const rows = Array.from({ length: 100 }, (_, n) => `${n},${'a'.repeat(40)},b\n`);
  rows[18] = `18,"${'a'.repeat(40)},b\n`;
  // It closes the quote before, and is not closed in the bytes at hand: the range ends before it.
  rows[25] = `25,"${'a'.repeat(40)},b\n`;
  rows[90] = `90,x" y,b\n`;
  const content = contentOf(Buffer.concat([HEADER_BYTES, Buffer.from(rows.join(''))]));
  const reasons = await recordsOf(await partsOf(content, START, 1024));
  assert.deepEqual(reasons, await recordsOf(await partsOf(content, START, 1 << 20)));
  assert.match(
    JSON.stringify(reasons),
    /"start":[0-9]+,"end":[0-9]+,"line":20,"reason":"a quote inside an unquoted field/,
  );
});

test('records of 1 MiB and more, and rows without a line end, are read in ranges of 1 KiB', async () => {
  const long = (length: number): string => `a,"${'x'.repeat(length)}",b\n`;
  const bytes = Buffer.concat([
    HEADER_BYTES,
    Buffer.from(
      `${long(MAX_RECORD_BYTES - 7)}${long(MAX_RECORD_BYTES)}a,b,c\n${long(5000)}${'x'.repeat(3 * MAX_RECORD_BYTES)}`,
    ),
  ]);
  const parts = await partsOf(contentOf(bytes), START, 1024);
  assert.deepEqual(
    await recordsOf(parts),
    await recordsOf(await partsOf(contentOf(bytes), START, 16 * MAX_RECORD_BYTES)),
  );
  assert.ok(
    parts.every((part) => part.body.length <= 2 * MAX_RECORD_BYTES + 2048),
    'memory stays bounded',
  );
});

test('a .gz is the same rows as what it holds, also from the middle on', async (t) => {
  const bytes = Buffer.concat([
    HEADER_BYTES,
    Buffer.from(Array.from({ length: 3000 }, (_, n) => `e${n},"a\n""${n}""",u${n}\n`).join('')),
  ]);
  const file = path.join(temporaryDirectory(t), 'a.csv.gz');
  writeFileSync(file, gzipSync(bytes));
  const [plain, compressed] = [contentOf(bytes), await openLarge(file)];
  t.after(() => compressed.close());
  assert.equal(compressed.size, plain.size);
  const parts = await partsOf(plain, START, 4096);
  assert.deepEqual(await recordsOf(await partsOf(compressed, START, 4096)), await recordsOf(parts));
  const middle = parts.slice(0, 7);
  const resumed = await partsOf(compressed, after(middle), 10_000);
  assert.deepEqual([...(await recordsOf(middle)), ...(await recordsOf(resumed))], await recordsOf(parts));
});

test('a file that is shorter than it was when it was hashed ends the load', async () => {
  const content = { ...contentOf(Buffer.concat([HEADER_BYTES, Buffer.from('a,b,c\n')])), size: 1000 };
  await assert.rejects(partsOf(content, START, 1024), FileChanged);
});
