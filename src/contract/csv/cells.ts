import { parse } from 'csv-parse/sync';
import type { Dialect } from './dialect.js';

/** A field as a record has it: in quotes, a text that means NULL elsewhere is that text. */
export interface Cell {
  readonly text: string;
  readonly isQuoted: boolean;
}

/** The value of a field. @param nulls unquoted texts that mean NULL. */
export function valueOf({ text, isQuoted }: Cell, nulls: readonly string[]): string | null {
  return !isQuoted && nulls.includes(text) ? null : text;
}

/** Cuts the text of one record into its fields. @returns undefined when it is not one record. */
export function cutCells(record: string, { kind, delimiter, quote }: Dialect): Cell[] | undefined {
  const bare = (text: string): Cell => ({ text, isQuoted: false });
  if (kind === 'lines') return [bare(record)];
  const separator = String.fromCharCode(delimiter);
  if (quote === undefined) return record.includes('\n') ? undefined : record.split(separator).map(bare);
  const mark = String.fromCharCode(quote);
  try {
    const records = parse(record, {
      delimiter: separator,
      quote: mark,
      escape: mark,
      record_delimiter: ['\n', '\r\n'],
      relax_column_count: true,
      cast: (text, { quoting }) => ({ text, isQuoted: quoting }),
    }) as unknown as Cell[][];
    return records.length === 1 ? records[0] : undefined;
  } catch {
    return undefined;
  }
}
