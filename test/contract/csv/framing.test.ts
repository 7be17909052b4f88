import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CR, LF, MAX_RECORD_BYTES } from '../../../src/contract/csv/bytes.js';
import { countRows } from '../../../src/contract/csv/countRows.js';
import { frameRecords } from '../../../src/contract/csv/frameRecords.js';
import type { RecordFrame } from '../../../src/contract/csv/recordFrames.js';
import { csvBody, cutsOf, FIELDS, mutatedBody } from './arbitraries.js';

const anyBytes = fc.oneof(
  csvBody.map(({ bytes }) => bytes),
  mutatedBody,
);
/** As {@link frameRecords}, with the records as a list. */
interface Framed {
  readonly records: readonly RecordFrame[];
  readonly end: number;
  readonly lines: number;
}
const frame = (bytes: Buffer, atEof = true): Framed => {
  const { records, end, lines } = frameRecords(bytes, atEof, FIELDS);
  return { records: [...records], end, lines };
};
const shape = ({ records, lines }: Pick<Framed, 'records' | 'lines'>): unknown => ({
  lines,
  records: records.map(({ start, end, line, defect }) => ({ start, end, line, defect })),
});

/** As a reader does that gets the bytes in pieces: what was not framed yet comes before the next piece. */
function frameInPieces(bytes: Buffer, cuts: readonly number[]): Pick<Framed, 'records' | 'lines'> {
  const records: RecordFrame[] = [];
  let done = 0;
  let lines = 0;
  for (const cut of [...cuts, bytes.length, undefined]) {
    const frames = frame(bytes.subarray(done, cut ?? bytes.length), cut === undefined);
    records.push(
      ...frames.records.map((record) => ({
        ...record,
        start: record.start + done,
        end: record.end + done,
        line: record.line + lines,
      })),
    );
    done += frames.end;
    lines += frames.lines;
  }
  assert.equal(done, bytes.length);
  return { records, lines };
}

test('valid CSV is framed into its rows, without a defect', () => {
  fc.assert(
    fc.property(csvBody, ({ bytes, lines }) => {
      const { records } = frame(bytes);
      assert.deepEqual(
        records.map(({ start, end }) => bytes.toString('utf8', start, end)),
        lines,
      );
      assert.deepEqual(
        records.filter(({ defect }) => defect !== undefined),
        [],
      );
    }),
  );
});

test('any bytes in any pieces are framed as they are in one', () => {
  fc.assert(
    fc.property(
      anyBytes.chain((bytes) => fc.tuple(fc.constant(bytes), cutsOf(bytes))),
      ([bytes, cuts]) => {
        assert.deepEqual(shape(frameInPieces(bytes, cuts)), shape(frame(bytes)));
      },
    ),
    { numRuns: 2000 },
  );
});

test('each byte belongs to one record or to a line end', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const { records, end } = frame(bytes);
      assert.equal(end, bytes.length);
      let at = 0;
      for (const record of [...records, { start: bytes.length, end: bytes.length }]) {
        assert.ok(record.start >= at, 'records do not overlap');
        assert.ok(
          bytes.subarray(at, record.start).every((byte) => byte === LF || byte === CR),
          'only line ends are between records',
        );
        at = record.end;
      }
    }),
    { numRuns: 2000 },
  );
});

test('physical lines are counted as line feeds, and a last line without one', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const { lines, records } = frame(bytes);
      const feeds = (until: number): number => bytes.subarray(0, until).filter((byte) => byte === LF).length;
      assert.equal(lines, feeds(bytes.length) + (bytes.length > 0 && bytes.at(-1) !== LF ? 1 : 0));
      for (const { start, line } of records) assert.equal(line, feeds(start));
    }),
  );
});

test('bytes that count as plain have the rows and lines that framing finds, at any cut', () => {
  fc.assert(
    fc.property(
      anyBytes.chain((bytes) => fc.tuple(fc.constant(bytes), fc.integer({ min: 0, max: bytes.length }), fc.boolean())),
      ([bytes, cut, atEof]) => {
        const piece = bytes.subarray(0, cut);
        const quick = countRows(piece, atEof);
        if (!quick.plain) return;
        const { records, end, lines } = frame(piece.subarray(0, quick.end));
        assert.deepEqual(
          { rows: quick.rows, lines: quick.lines, end: quick.end },
          { rows: records.length, lines, end },
        );
        assert.ok(
          records.every(
            ({ defect }) => defect === undefined || defect === 'field-count' || defect === 'bare-carriage-return',
          ),
          'what COPY would not notice is not plain',
        );
      },
    ),
    { numRuns: 3000 },
  );
});

test('valid CSV without empty lines and end markers counts as plain', () => {
  fc.assert(
    fc.property(csvBody, ({ bytes, endsWithLineEnd, lines }) => {
      fc.pre(endsWithLineEnd && !bytes.includes('\\.'));
      assert.deepEqual(
        { plain: countRows(bytes, true).plain, rows: countRows(bytes, true).rows },
        { plain: true, rows: lines.length },
      );
    }),
  );
});

/** What it costs of the processor: the clock on the wall would count the tests beside this one, too. */
function processorMs(bytes: Buffer): number {
  const { user } = process.cpuUsage();
  countRows(bytes, true);
  frame(bytes);
  return (process.cpuUsage().user - user) / 1000;
}

test('whatever is repeated, counting and framing take linear time', { timeout: 120_000 }, () => {
  const pattern = fc.string({
    unit: fc.constantFrom('a', ',', '"', '\n', '\r', '\\', '.'),
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(pattern, pattern, (first, repeated) => {
      const bytes = Buffer.from(first + repeated.repeat(Math.floor(MAX_RECORD_BYTES / 4 / repeated.length)));
      const ms = processorMs(bytes);
      assert.ok(ms < 2000, `a quarter of a megabyte took ${ms} ms`);
    }),
    { numRuns: 100 },
  );
});

/** A good row whose quoted field begins with a letter, as nearly all do: after a quote that never closes, it is seen as broken there. */
const goodRow = 'a,"b ""c"", d",e';

test('whatever bytes a line has, the rows before and after it stay what they are', () => {
  const line = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', ',', '"', '\r', '\\', '.', ' '), maxLength: 12 }),
    fc.constantFrom(
      goodRow.slice(1),
      goodRow.slice(0, -3),
      `${goodRow},"`,
      `"${goodRow}`,
      goodRow.replace('"', ''),
      goodRow.replace('",', ','),
    ),
  );
  fc.assert(
    fc.property(
      line,
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      fc.constantFrom('\n', '\r\n'),
      (broken, before, after, lineEnd) => {
        const bytes = Buffer.from(
          [...Array<string>(before).fill(goodRow), broken, ...Array<string>(after).fill(goodRow), ''].join(lineEnd),
        );
        const rows = frame(bytes).records.map(({ start, end, defect }) => ({
          text: bytes.toString('utf8', start, end),
          defect,
        }));
        const good = { text: goodRow, defect: undefined };
        assert.deepEqual(rows.slice(0, before), Array(before).fill(good));
        assert.deepEqual(rows.slice(rows.length - after), Array(after).fill(good));
        assert.ok(rows.length - before - after <= 1, 'the broken line is one record or none');
      },
    ),
    { numRuns: 2000 },
  );
});

for (const [lineEnd, name] of [
  ['\n', 'LF'],
  ['\r\n', 'CRLF'],
  ['', 'the end of the file'],
] as const) {
  for (const length of [MAX_RECORD_BYTES - 1, MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1]) {
    test(`a record of ${length - MAX_RECORD_BYTES} bytes more than the longest, ended by ${name}, is plain only where framing takes it`, () => {
      const bytes = Buffer.from(`a,${'x'.repeat(length - 4)},b${lineEnd}`);
      const { records } = frame(bytes);
      assert.equal(records[0]?.defect, length < MAX_RECORD_BYTES ? undefined : 'too-long');
      assert.ok(!countRows(bytes, true).plain || records[0]?.defect === undefined);
    });
  }
}

test('a last row that ends in a bare carriage return is not plain: COPY would take it', () => {
  const bytes = Buffer.from('a,b,c\r');
  assert.equal(frame(bytes).records[0]?.defect, 'bare-carriage-return');
  assert.equal(countRows(bytes, true).plain, false);
});

test('a piece of a too long record has its line, and the next line its own', () => {
  const bytes = Buffer.from(`${'x'.repeat(2 * MAX_RECORD_BYTES)}\na,b,c\n`);
  assert.deepEqual(shape(frameInPieces(bytes, [MAX_RECORD_BYTES, MAX_RECORD_BYTES + 7])), shape(frame(bytes)));
});

test('counting and framing take linear time on the worst quotes', { timeout: 120_000 }, () => {
  for (const worst of ['"",', '"', '""', '",', '"\n', '"a""\n', ',"\n,"",', '\\.']) {
    const bytes = Buffer.from(worst.repeat(Math.floor((3 * MAX_RECORD_BYTES) / worst.length)));
    const ms = processorMs(bytes);
    assert.ok(ms < 5000, `${JSON.stringify(worst)} took ${ms} ms`);
  }
});
