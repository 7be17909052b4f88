import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { UnreadableFile, UTF16_MARKS } from '../../../contract/csv/header.js';

/** What a file looks like. */
export interface Guess {
  readonly format: {
    readonly type: 'csv' | 'jsonl';
    readonly delimiter: string;
    readonly quote: '"' | undefined;
    readonly header: 'fromFile' | 'none';
    readonly encoding: 'utf-8' | 'windows-1252';
  };
  /** From the header, or made up. */
  readonly fields: readonly string[];
  /** The first records, as texts of their fields. */
  readonly records: readonly (readonly string[])[];
  /** What a person should know of the guess. */
  readonly notes: readonly string[];
}

const MAX_RECORDS = 100;

/** Guesses from a file's first bytes. @param isWhole these are all of them. @throws UnreadableFile for what is not text. */
export function guessFormat(start: Buffer, isWhole: boolean): Guess {
  if (UTF16_MARKS.some((mark) => start.subarray(0, 2).equals(mark)))
    throw new UnreadableFile('the file is UTF-16; convert it to utf-8 first (iconv -f utf-16 -t utf-8)');
  if (start.includes(0)) throw new UnreadableFile('the file is binary');
  const lines = isWhole ? start : start.subarray(0, start.lastIndexOf('\n') + 1);
  const encoding = isUtf8(lines) ? 'utf-8' : 'windows-1252';
  const text = new TextDecoder(encoding).decode(lines);
  const notes = encoding === 'utf-8' ? [] : ['Not utf-8; windows-1252 is a guess: look at the letters beyond ASCII.'];
  const first = text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .slice(0, MAX_RECORDS);
  if (first.length > 0 && first.every(isJsonObject)) {
    const format = { type: 'jsonl', delimiter: ',', quote: '"', header: 'none', encoding } as const;
    return { format, fields: ['record'], records: first.map((line) => [line]), notes };
  }
  const { delimiter, quote, records } = bestDelimiter(text);
  const [head = [], ...rest] = records;
  const hasHeader = looksLikeHeader(head, rest);
  const format = { type: 'csv', delimiter, quote, header: hasHeader ? 'fromFile' : 'none', encoding } as const;
  const fields = hasHeader ? head.map((name) => name.trim()) : head.map((_, index) => `field_${index + 1}`);
  return { format, fields, records: hasHeader ? rest : records, notes };
}

function isJsonObject(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The delimiter by which most records have the same number of fields, and most of them. */
function bestDelimiter(text: string): { delimiter: string; quote: '"' | undefined; records: string[][] } {
  const tries = [',', ';', '\t', '|', ':', '\u0001'].flatMap((delimiter) =>
    (['"', undefined] as const).map((quote) => {
      const records = split(text, delimiter, quote);
      const width = records[0]?.length ?? 0;
      const alike = records.filter(({ length }) => length === width).length / Math.max(1, records.length);
      return {
        delimiter,
        quote,
        records,
        score: width <= 1 ? 0 : alike * 1000 + Math.min(width, 100) + (quote === undefined ? 0 : 0.5),
      };
    }),
  );
  const best = tries.reduce((a, b) => (b.score > a.score ? b : a));
  return best.score > 0 ? best : { delimiter: ',', quote: '"', records: split(text, ',', '"') };
}

function split(text: string, delimiter: string, quote: '"' | undefined): string[][] {
  try {
    return parse(text, {
      delimiter,
      quote: quote ?? false,
      relax_column_count: true,
      to: MAX_RECORDS,
      bom: true,
      skip_empty_lines: true,
    });
  } catch {
    return [];
  }
}

/** Names are neither numbers nor times, all different, and not what the records below them are. */
function looksLikeHeader(head: readonly string[], rest: readonly (readonly string[])[]): boolean {
  const isName = (text: string): boolean => /[A-Za-z\u0080-\uffff]/.test(text) && !/^\d{1,4}[-/.]\d/.test(text);
  const names = head.map((name) => name.trim());
  if (!names.every((name) => name === '' || isName(name)) || new Set(names).size < names.length - 1) return false;
  // A value that stands again in its column is hardly the column's name.
  return !names.some((name, index) => rest.some((record) => record[index] === name));
}
