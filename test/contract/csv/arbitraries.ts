import fc from 'fast-check';

/** A valid CSV body as its rows, and how it is written down. */
export interface CsvBody {
  readonly rows: readonly (readonly string[])[];
  /** Each row as it stands in the file, without its line end. */
  readonly lines: readonly string[];
  readonly lineEnd: '\n' | '\r\n';
  readonly endsWithLineEnd: boolean;
  readonly bytes: Buffer;
}

export const FIELDS = 3;

/** Everything that means something to a CSV reader, and characters of one to four bytes that mean nothing. */
const character = fc.constantFrom('a', 'b', ' ', ',', '"', '\n', '\r', '\\', '.', '\t', 'é', '€', '😀', '\u{feff}');

const field = fc
  .record({ value: fc.string({ unit: character, maxLength: 8 }), quoted: fc.boolean() })
  .map(({ value, quoted }) => ({
    value,
    text: quoted || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value,
  }));

/** Rows of FIELDS fields, quoted where they must be and sometimes where they need not; LF or CRLF; final line end or none. */
export const csvBody: fc.Arbitrary<CsvBody> = fc
  .record({
    fields: fc.array(fc.array(field, { minLength: FIELDS, maxLength: FIELDS }), { maxLength: 12 }),
    lineEnd: fc.constantFrom('\n' as const, '\r\n' as const),
    endsWithLineEnd: fc.boolean(),
  })
  .map(({ fields, lineEnd, endsWithLineEnd }) => {
    const lines = fields.map((row) => row.map(({ text }) => text).join(','));
    const text = lines.join(lineEnd) + (endsWithLineEnd && lines.length > 0 ? lineEnd : '');
    return {
      rows: fields.map((row) => row.map(({ value }) => value)),
      lines,
      lineEnd,
      endsWithLineEnd,
      bytes: Buffer.from(text),
    };
  });

const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom('insert', 'delete', 'replace'),
  byte: fc.oneof(fc.constantFrom(0x22, 0x0a, 0x0d, 0x2c, 0x5c, 0x2e), fc.integer({ min: 0, max: 255 })),
});

/** A body with some bytes inserted, deleted or replaced: quotes and line ends more often than others. */
export const mutatedBody: fc.Arbitrary<Buffer> = fc
  .tuple(csvBody, fc.array(edit, { minLength: 1, maxLength: 6 }))
  .map(([{ bytes }, edits]) =>
    edits.reduce<Buffer>((buffer, { at, kind, byte }) => {
      const index = Math.floor(at * buffer.length);
      return Buffer.concat([
        buffer.subarray(0, index),
        kind === 'delete' ? Buffer.alloc(0) : Buffer.from([byte]),
        buffer.subarray(kind === 'insert' ? index : index + 1),
      ]);
    }, bytes),
  );

/** Places to cut a buffer at. */
export function cutsOf(bytes: Buffer): fc.Arbitrary<number[]> {
  return fc
    .uniqueArray(fc.integer({ min: 0, max: bytes.length }), { maxLength: 6 })
    .map((cuts) => cuts.sort((a, b) => a - b));
}
