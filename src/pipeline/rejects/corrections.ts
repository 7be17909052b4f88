import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { stringify } from 'csv-stringify/sync';
import { MAX_RECORD_BYTES } from '../../contract/csv/bytes.js';
import { asFileError, UsageError } from '../../platform/errors.js';
import { countOf } from '../../platform/format.js';
import { REJECT_COLUMNS } from './export.js';
import { nullIfUnquoted, type Fields } from './rawRow.js';
import { ESCAPED_COLUMN, unescapeFormula } from './formulas.js';

/** A row of a file of corrections. */
export interface Correction {
  readonly rejectId: number;
  /** Line in that file, from 1. */
  readonly line: number;
  readonly fields: Fields;
  /** The row as text; counts where all the fields are empty. */
  readonly raw: string | null;
}

/** What a spreadsheet may put between fields. */
const DELIMITERS = [',', ';', '\t'];
const MAX_PROBLEMS = 10;
const NOT_DONE = 'nothing was loaded; correct the file and give it again';

/**
 * Looks at the whole file before anything is loaded, so that a mistake in it can not leave half of it done.
 * @returns how many rows it has.
 * @throws UsageError with what is wrong and where, FileError when it can't be read.
 */
export async function checkCorrections(file: string, columns: readonly string[]): Promise<number> {
  const problems: string[] = [];
  const lineOf = new Map<number, number>();
  for await (const { rejectId, line, fields } of readCorrections(file, columns)) {
    const earlier = lineOf.get(rejectId);
    if (!Number.isSafeInteger(rejectId) || rejectId < 1)
      problems.push(
        `${file}:${line}: reject_id is no number; rows that were not rejected belong into a file of their own, in processing/`,
      );
    else if (earlier !== undefined)
      problems.push(`${file}:${line}: reject ${rejectId} stands in line ${earlier} already`);
    else if (Buffer.byteLength(stringify([[...fields]])) >= MAX_RECORD_BYTES)
      problems.push(`${file}:${line}: the row is longer than 1 MiB`);
    lineOf.set(rejectId, line);
    if (problems.length === MAX_PROBLEMS) break;
  }
  if (problems.length > 0) throw new UsageError(problems, NOT_DONE);
  return lineOf.size;
}

/** The rows of a file of corrections. @throws UsageError where it is no CSV, or none of rejects. @param columns those of the table. */
export async function* readCorrections(file: string, columns: readonly string[]): AsyncGenerator<Correction> {
  const delimiter = await findDelimiter(file);
  const source = Readable.from(utf8Of(file));
  const parser = parse({
    bom: true,
    delimiter,
    info: true,
    skip_empty_lines: true,
    relax_column_count: true,
    cast: nullIfUnquoted,
  });
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  let place: CorrectionPlace | undefined;
  let line = 1;
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: (string | null)[];
      info: { lines: number };
    }>) {
      if (place === undefined)
        place = findColumns(
          file,
          columns,
          record.map((name) => (name ?? '').trim()),
        );
      else if (record.length === place.width) yield correctionOf(record, place, line);
      else
        throw new UsageError(
          [`${file}:${line}: ${countOf(record.length, 'field')} where the header has ${place.width}`],
          NOT_DONE,
        );
      line = info.lines + 1;
    }
  } catch (error) {
    if (error instanceof CsvError) throw new UsageError([`${file}: ${error.message}`], NOT_DONE);
    throw asFileError(error, 'read', file);
  } finally {
    source.destroy();
  }
  if (place === undefined)
    throw new UsageError([`${file} is empty`], '`ecompipe rejects export` writes a file to begin with');
}

/** Where in a record what stands. */
interface CorrectionPlace {
  readonly rejectId: number;
  readonly raw: number;
  readonly width: number;
  readonly isEscaped: boolean;
  /** In the order of the table's columns; -1 for one that the file does not have. */
  readonly fields: readonly number[];
}

function findColumns(file: string, columns: readonly string[], names: readonly string[]): CorrectionPlace {
  const known: readonly string[] = [...columns, ...REJECT_COLUMNS, ESCAPED_COLUMN];
  const unknown = names.filter((name) => !known.includes(name));
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  const problems = [
    ...(names.includes('reject_id')
      ? []
      : [`${file} has no column reject_id: nobody can tell which rejects its rows correct`]),
    ...(unknown.length === 0
      ? []
      : [`${file} has columns that nobody knows: ${unknown.map((name) => JSON.stringify(name)).join(', ')}`]),
    ...(repeated.length === 0 ? [] : [`${file} has columns twice: ${repeated.join(', ')}`]),
  ];
  if (problems.length > 0)
    throw new UsageError(problems, 'give back what `ecompipe rejects export` wrote, with its header');
  return {
    rejectId: names.indexOf('reject_id'),
    raw: names.indexOf('reject_raw'),
    width: names.length,
    isEscaped: names.includes(ESCAPED_COLUMN),
    fields: columns.map((name) => names.indexOf(name)),
  };
}

function correctionOf(
  record: readonly (string | null)[],
  { rejectId, raw, fields, isEscaped }: CorrectionPlace,
  line: number,
): Correction {
  const id = record[rejectId]?.trim() ?? '';
  const textOf = (index: number): string | null => {
    const text = record[index] ?? null;
    return isEscaped ? unescapeFormula(text) : text;
  };
  return {
    rejectId: /^\d+$/.test(id) ? Number(id) : Number.NaN,
    line,
    fields: fields.map((index) => textOf(index)),
    raw: textOf(raw),
  };
}

/** The delimiter between which `reject_id` stands in the first line; a comma where it stands nowhere. */
async function findDelimiter(file: string): Promise<string> {
  let start = '';
  for await (const text of utf8Of(file)) {
    start += text;
    if (start.includes('\n') || start.length > MAX_RECORD_BYTES) break;
  }
  const [header = ''] = start.split(/\r?\n/);
  return (
    DELIMITERS.find((delimiter) =>
      header.split(delimiter).some((name) => name.replace(/^\ufeff?"?|"?$/g, '') === 'reject_id'),
    ) ?? ','
  );
}

/** A file's text. @throws UsageError where its bytes are no UTF-8: a wrong guess would load wrong letters. */
async function* utf8Of(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (chunk?: Buffer): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch {
      throw new UsageError([`${file} is not UTF-8`], 'save it as CSV in UTF-8');
    }
  };
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) yield decode(chunk);
  } catch (error) {
    throw asFileError(error, 'read', file);
  }
  yield decode();
}
