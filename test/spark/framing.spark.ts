import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { COMMA } from '../../src/contract/csv/bytes.js';
import { RFC_4180, type Dialect } from '../../src/contract/csv/dialect.js';
import { frameRecords } from '../../src/contract/csv/frameRecords.js';
import { randomBelow } from '../helpers/random.js';
import { compileJobPrograms } from './job.js';

const BUFFERS = 300_000;

/** A line of text is one field. */
function fieldsOf({ kind }: Dialect): number {
  return kind === 'csv' ? 2 : 1;
}

const DIALECTS: readonly Dialect[] = [
  RFC_4180,
  { kind: 'csv', delimiter: ';'.charCodeAt(0), quote: "'".charCodeAt(0) },
  { kind: 'csv', delimiter: COMMA, quote: undefined },
  { kind: 'lines', delimiter: COMMA, quote: undefined },
];

/** What decides where records end and what is wrong with them. */
const TOKENS = ['"', '"', '""', ',', ',', '\n', '\n', '\r\n', '\r', 'a', ';', "'", 'bc', '\\.', 'é', ' '];

test('the two splitters find the same records and the same faults, wherever the executors cut', async (t) => {
  const programs = await compileJobPrograms(t);
  const child = programs.start('Splitting');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const random = randomBelow(7);
  const expected: { readonly bytes: Buffer; readonly pieceBytes: number; readonly dialect: Dialect }[] = [];
  const feed = async (): Promise<void> => {
    for (let n = 0; n < BUFFERS; n++) {
      const text = Array.from({ length: random(24) }, () => TOKENS[random(TOKENS.length)]).join('');
      const bytes = Buffer.from(text);
      const pieceBytes = 1 + random(16);
      const dialect = DIALECTS[n % DIALECTS.length]!;
      expected.push({ bytes, pieceBytes, dialect });
      const { kind, delimiter, quote = -1 } = dialect;
      const head = Buffer.alloc(24);
      [fieldsOf(dialect), pieceBytes, delimiter, quote, Number(kind === 'csv'), bytes.length].forEach((value, index) =>
        head.writeInt32BE(value, 4 * index),
      );
      if (!child.stdin.write(Buffer.concat([head, bytes]))) await once(child.stdin, 'drain');
    }
    child.stdin.end();
  };
  const fed = feed();
  let compared = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const { bytes, pieceBytes, dialect } = expected[compared++]!;
    const records = [...frameRecords(bytes, true, fieldsOf(dialect), Infinity, dialect).records].map(
      (frame) => `${frame.start},${frame.end},${frame.line},${frame.defect ?? 'null'}`,
    );
    assert.deepEqual(
      line.split(' ').filter(Boolean),
      records,
      JSON.stringify({ text: bytes.toString(), pieceBytes, dialect }),
    );
  }
  await fed;
  assert.equal(compared, BUFFERS, stderr);
});
