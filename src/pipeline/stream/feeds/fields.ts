import { parse } from 'csv-parse/sync';
import type { RecordShape } from '../../../contract/csv/header.js';
import { decode, UTF_8 } from '../../../contract/feeds/encodings.js';
import { START_BYTES, type Content } from '../content.js';

/** Enough bytes for the longest header. */
export async function readStart(content: Content): Promise<Buffer> {
  const start = Buffer.alloc(Math.min(content.size, START_BYTES));
  const reader = await content.openAt(0);
  try {
    await reader.read(start);
  } finally {
    await reader.close();
  }
  return start;
}

/** Texts of a record's fields by their names, for people; empty ones are left out, and a broken record is one text. */
export function fieldsOf(bytes: Buffer, { feed, columns, dialect }: RecordShape): Record<string, string> {
  const names = feed?.fields ?? columns;
  try {
    const text = decode(bytes, feed?.feed.format.encoding ?? UTF_8);
    if (dialect.kind === 'lines') return { [names[0] ?? 'line']: text };
    const quote = dialect.quote === undefined ? false : String.fromCharCode(dialect.quote);
    const delimiter = String.fromCharCode(dialect.delimiter);
    const [fields = []] = parse(text, { delimiter, quote, relax_column_count: true, record_delimiter: '\n' });
    const pairs = fields.map((field, index) => [names[index] ?? `field ${index + 1}`, field] as const);
    return Object.fromEntries(pairs.filter(([, field]) => field !== ''));
  } catch {
    return { record: bytes.toString('latin1') };
  }
}
