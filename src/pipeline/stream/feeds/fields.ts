import { cutCells } from '../../../contract/csv/cells.js';
import type { RecordShape } from '../../../contract/csv/header.js';
import { decode, UTF_8, type Encoding } from '../../../contract/feeds/encodings.js';
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
  const text = textOf(bytes, feed?.feed.format.encoding ?? UTF_8);
  const cells = text === undefined ? undefined : cutCells(text, dialect);
  if (cells === undefined) return { record: text ?? bytes.toString('latin1') };
  const pairs = cells.map((cell, index) => [names[index] ?? `field ${index + 1}`, cell.text] as const);
  return Object.fromEntries(pairs.filter(([, field]) => field !== ''));
}

function textOf(bytes: Buffer, encoding: Encoding): string | undefined {
  try {
    return decode(bytes, encoding);
  } catch {
    return undefined;
  }
}
