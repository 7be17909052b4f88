import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { stringify } from 'csv-stringify/sync';
import { MAX_RECORD_BYTES } from '../../contract/csv/bytes.js';
import { asFileError, UsageError } from '../../platform/errors.js';
import { elementAt } from '../../platform/elementAt.js';
import { countOf } from '../../platform/format.js';
import type { Cell } from '../../contract/csv/cells.js';
import { ESCAPED_COLUMN, unescapeFormula, REJECT_COLUMNS } from './labels.js';

/** A row of a file of corrections. */
export interface Correction {
  readonly rejectId: number;
  /** Line in that file, from 1. */
  readonly line: number;
  /** What it has under which label; what is empty is left out. */
  readonly cells: ReadonlyMap<string, Cell>;
  /** The row as text; counts where all of its fields are empty. */
  readonly raw: string | null;
}

/** What is in a file of corrections. */
export interface CorrectionsFile {
  readonly rows: number;
  /** Columns that are not about the rejects. */
  readonly labels: readonly string[];
  readonly rejectIds: readonly number[];
}

/** What a spreadsheet may put between fields. */
const DELIMITERS = [',', ';', '\t'];
const MAX_PROBLEMS = 10;
const NOT_DONE = 'nothing was loaded; correct the file and give it again';

/**
 * Looks at the whole file before anything is loaded, so that a mistake in it can not leave half of it done.
 * @throws UsageError with what is wrong and where, FileError when it can't be read.
 */
export async function checkCorrections(file: string): Promise<CorrectionsFile> {
  const problems: string[] = [];
  const lineOf = new Map<number, number>();
  let labels: readonly string[] = [];
  for await (const { rejectId, line, cells } of readCorrections(file, (found) => (labels = found))) {
    const earlier = lineOf.get(rejectId);
    if (!Number.isSafeInteger(rejectId) || rejectId < 1)
      problems.push(
        `${file}:${line}: reject_id is no number; rows that were not rejected belong into a file of their own, in processing/`,
      );
    else if (earlier !== undefined)
      problems.push(`${file}:${line}: reject ${rejectId} stands in line ${earlier} already`);
    else if (Buffer.byteLength(stringify([[...cells.values()].map(({ text }) => text)])) >= MAX_RECORD_BYTES)
      problems.push(`${file}:${line}: the row is longer than 1 MiB`);
    lineOf.set(rejectId, line);
    if (problems.length === MAX_PROBLEMS) break;
  }
  if (problems.length > 0) throw new UsageError(problems, NOT_DONE);
  return { rows: lineOf.size, labels, rejectIds: [...lineOf.keys()] };
}

/** @throws UsageError when a file has other columns than those that its rejects can have. */
export function assertKnownLabels(file: string, labels: readonly string[], known: readonly string[]): void {
  const unknown = labels.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new UsageError(
      [`${file} has columns that nobody knows: ${unknown.map((name) => JSON.stringify(name)).join(', ')}`],
      HEADER_HINT,
    );
}

const HEADER_HINT = 'give back what `ecompipe rejects export` wrote, with its header';

/** The rows of a file of corrections. @throws UsageError where it is no CSV, or none of rejects. @param onHeader gets its labels. */
export async function* readCorrections(
  file: string,
  onHeader: (labels: readonly string[]) => void = () => undefined,
): AsyncGenerator<Correction> {
  const delimiter = await findDelimiter(file);
  const source = Readable.from(utf8Of(file));
  const parser = parse({
    bom: true,
    delimiter,
    info: true,
    skip_empty_lines: true,
    relax_column_count: true,
    cast: (text, { quoting }) => ({ text, isQuoted: quoting }),
  });
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  let place: CorrectionPlace | undefined;
  let line = 1;
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: Cell[];
      info: { lines: number };
    }>) {
      if (place === undefined) {
        place = findColumns(
          file,
          record.map(({ text }) => text.trim()),
        );
        onHeader(place.labels);
      } else if (record.length === place.width) yield correctionOf(record, place, line);
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
  readonly names: readonly string[];
  readonly labels: readonly string[];
  readonly width: number;
  readonly isEscaped: boolean;
}

function findColumns(file: string, written: readonly string[]): CorrectionPlace {
  const isEscaped = written.includes(ESCAPED_COLUMN);
  const names = isEscaped ? written.map((name) => unescapeFormula(name)) : written;
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  const problems = [
    ...(names.includes('reject_id')
      ? []
      : [`${file} has no column reject_id: nobody can tell which rejects its rows correct`]),
    ...(repeated.length === 0 ? [] : [`${file} has columns twice: ${repeated.join(', ')}`]),
  ];
  if (problems.length > 0) throw new UsageError(problems, HEADER_HINT);
  const own: readonly string[] = [...REJECT_COLUMNS, ESCAPED_COLUMN];
  return { names, labels: names.filter((name) => !own.includes(name)), width: names.length, isEscaped };
}

function correctionOf(record: readonly Cell[], { names, isEscaped }: CorrectionPlace, line: number): Correction {
  const cells = new Map<string, Cell>();
  for (const [index, { text, isQuoted }] of record.entries())
    if (text !== '' || isQuoted)
      cells.set(elementAt(names, index), {
        text: isEscaped ? unescapeFormula(text) : text,
        // Where it must be quoted, quotes mean nothing.
        isQuoted: isQuoted && !/[",;\t\r\n]/.test(text),
      });
  const id = cells.get('reject_id')?.text.trim() ?? '';
  const raw = cells.get('reject_raw')?.text ?? null;
  for (const name of [...REJECT_COLUMNS, ESCAPED_COLUMN]) cells.delete(name);
  return { rejectId: /^\d+$/.test(id) ? Number(id) : Number.NaN, line, cells, raw };
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
