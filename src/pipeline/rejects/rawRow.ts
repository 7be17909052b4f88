import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import type { Connection } from '../../platform/db/client.js';

/** A text, or NULL, for each of the table's columns. */
export type Fields = readonly (string | null)[];

/** The columns of events that files may have, in the table's order. */
export async function readEventColumns({ client }: Connection): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select name from ecompipe.loadable_columns('public.events') order by attnum`,
  );
  return rows.map(({ name }) => name);
}

/** As COPY has it: an empty field without quotes is NULL. */
export function nullIfUnquoted(value: string, { quoting }: { readonly quoting: boolean }): string | null {
  return value === '' && !quoting ? null : value;
}

/**
 * The fields of a row in the order of the table's columns, given the columns of its file.
 * @returns undefined when it is no row of these columns, or when nobody knows the columns.
 */
export function fieldsOf(
  row: string,
  columns: readonly string[] | null,
  tableColumns: readonly string[],
): Fields | undefined {
  if (columns === null) return undefined;
  try {
    const records = parse(row, { cast: nullIfUnquoted }) as unknown as (string | null)[][];
    const [record] = records;
    if (records.length !== 1 || record?.length !== columns.length) return undefined;
    return tableColumns.map((name) => record[columns.indexOf(name)] ?? null);
  } catch {
    return undefined;
  }
}

/** Whether bytes are a text that PostgreSQL can hold. */
export function isText(raw: Buffer): boolean {
  return isUtf8(raw) && !raw.includes(0);
}

/** A row's bytes as text; those that are none become `\xNN`, so that a person sees where they are. */
export function readable(raw: Buffer): string {
  if (isText(raw)) return raw.toString('utf8');
  let text = '';
  for (let at = 0; at < raw.length;) {
    const length = [1, 2, 3, 4].find((count) => at + count <= raw.length && isText(raw.subarray(at, at + count)));
    text += length === undefined ? `\\x${raw.toString('hex', at, at + 1)}` : raw.toString('utf8', at, at + length);
    at += length ?? 1;
  }
  return text;
}
