import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'csv-stringify/sync';
import { MAX_HEADER_BYTES, parseHeader, UnreadableFile, UTF8_BOM } from '../../../src/contract/csv/header.js';

const KNOWN = ['event_id', 'event_type', 'event_time', 'user_id', 'a "quoted" name', 'ein Büro', 'a,b', 'two\tparts'];
const EXPECTED = { known: KNOWN, required: ['event_id'] };

/** The columns of a header; undefined for a file without one; or the reason that it is refused for. */
function read(start: Buffer, expected: typeof EXPECTED | undefined): readonly string[] | string | undefined {
  try {
    return parseHeader(start, expected)?.columns;
  } catch (error) {
    assert.ok(error instanceof UnreadableFile, String(error));
    assert.ok(error.message.length <= 1000, `a reason of ${error.message.length} characters`);
    return error.message;
  }
}

test('columns of the table in any order, however they are written down, are read as they are', () => {
  fc.assert(
    fc.property(
      fc.shuffledSubarray(KNOWN, { minLength: 1 }),
      fc.record({
        mark: fc.boolean(),
        quoted: fc.boolean(),
        lineEnd: fc.constantFrom('\n', '\r\n', ''),
        rest: fc.string({ maxLength: 20 }),
      }),
      (names, { mark, quoted, lineEnd, rest }) => {
        const line = stringify([names], { quoted, record_delimiter: '' });
        const start = Buffer.from(line + lineEnd + (lineEnd === '' ? '' : rest));
        fc.pre(!start.subarray(0, 64).includes(0));
        const found = read(mark ? Buffer.concat([UTF8_BOM, start]) : start, EXPECTED);
        if (names.includes('event_id')) assert.deepEqual(found, names);
        else assert.match(String(found), /^required column missing: event_id/);
      },
    ),
  );
});

test('whatever a file begins with, it has columns that are known and differ, or is refused with a short reason', () => {
  const piece = fc.oneof(
    fc.constantFrom(...KNOWN, ',', '"', '""', '\r', '\n', '\r\n', '\ufeff', '\0', ';', ' '),
    fc.string({ unit: 'binary', maxLength: 5 }),
    fc
      .tuple(fc.constantFrom('x', ',', '"', '",', ',"', 'ü,'), fc.integer({ min: 1, max: 3000 }))
      .map(([text, times]) => text.repeat(times)),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.uint8Array({ maxLength: 4 }),
      fc.boolean(),
      (pieces, bytes, isKnown) => {
        const start = Buffer.concat([Buffer.from(pieces.join('')), bytes]);
        const found = read(start, isKnown ? EXPECTED : undefined);
        if (!Array.isArray(found)) return;
        assert.equal(new Set(found).size, found.length);
        if (isKnown) assert.ok(found.every((name) => KNOWN.includes(name as string)) && found.includes('event_id'));
      },
    ),
    { numRuns: 2000 },
  );
});

test('no header takes more than a moment', { timeout: 120_000 }, () => {
  const worst = ['c', ',', '"",', '"a""', 'a,"', '"\t', 'ü', '",'];
  for (const text of worst)
    for (const bytes of [MAX_HEADER_BYTES - 10, MAX_HEADER_BYTES + 10, 8 * MAX_HEADER_BYTES]) {
      const startedAt = performance.now();
      read(Buffer.from(`event_id,${text.repeat(Math.floor(bytes / Buffer.byteLength(text)))}\n`), EXPECTED);
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs < 20_000, `${bytes} bytes of ${JSON.stringify(text)} took ${tookMs} ms`);
    }
});
