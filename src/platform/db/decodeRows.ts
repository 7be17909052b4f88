import assert from 'node:assert/strict';
import type pg from 'pg';
import { soleRow } from './soleRow.js';

/** What a column of an answer may hold, as pg parses it. */
export interface ColumnType<Value> {
  /** For the message about a value that is something else: "text", "an integer or null". */
  readonly expected: string;
  readonly accepts: (value: unknown) => value is Value;
}

/** The columns of an answer by the field that each becomes: `fileId` is read from the column `file_id`. */
export type Shape<Row> = { readonly [Field in keyof Row]-?: ColumnType<Row[Field]> };

export const text: ColumnType<string> = {
  expected: 'text',
  accepts: (value) => typeof value === 'string',
};

/** Also a bigint: counts and ids beyond 2^53 don't occur. Not a numeric, which arrives as text. */
export const integer: ColumnType<number> = {
  expected: 'an integer',
  accepts: (value): value is number => Number.isSafeInteger(value),
};

/** A double precision. */
export const float: ColumnType<number> = {
  expected: 'a number',
  accepts: (value) => typeof value === 'number',
};

export const boolean: ColumnType<boolean> = {
  expected: 'a boolean',
  accepts: (value) => typeof value === 'boolean',
};

export const timestamp: ColumnType<Date> = {
  expected: 'a timestamp',
  accepts: (value) => value instanceof Date,
};

export const bytea: ColumnType<Buffer> = {
  expected: 'bytes',
  accepts: (value) => Buffer.isBuffer(value),
};

/** One of a few words, as a check constraint of the column or the query itself guarantees them. */
export function oneOf<const Word extends string>(...words: readonly Word[]): ColumnType<Word> {
  return {
    expected: `one of ${words.join(', ')}`,
    accepts: (value): value is Word => words.some((word) => word === value),
  };
}

export function nullable<Value>({ expected, accepts }: ColumnType<Value>): ColumnType<Value | null> {
  return {
    expected: `${expected} or null`,
    accepts: (value): value is Value | null => value === null || accepts(value),
  };
}

export function arrayOf<Value>({ expected, accepts }: ColumnType<Value>): ColumnType<Value[]> {
  return {
    expected: `an array, each element ${expected}`,
    accepts: (value): value is Value[] => Array.isArray(value) && value.every(accepts),
  };
}

/** A json whose fields the query names itself, by `json_build_object`. */
export function jsonObject<Value>(shape: Shape<Value>): ColumnType<Value> {
  const fields = Object.entries<ColumnType<unknown>>(shape);
  return {
    expected: `an object with ${fields.map(([field, { expected }]) => `${field} (${expected})`).join(', ')}`,
    accepts: (value): value is Value =>
      typeof value === 'object' &&
      value !== null &&
      fields.every(([field, type]) => type.accepts((value as Record<string, unknown>)[field])),
  };
}

/**
 * Runs a query and checks what it answers: a column that was renamed, or is null where nobody expects it, fails here and
 * by its name. @throws AssertionError, because then the query or the shape is wrong.
 */
export async function queryRows<Row>(
  client: pg.Client,
  shape: Shape<Row>,
  query: string | pg.QueryConfig,
  values?: readonly unknown[],
): Promise<Row[]> {
  const { rows } = await client.query<Record<string, unknown>>(query, values as unknown[] | undefined);
  return decodeRows(shape, rows);
}

/** The same for a query that always has exactly one row. */
export async function queryRow<Row>(
  client: pg.Client,
  shape: Shape<Row>,
  query: string | pg.QueryConfig,
  values?: readonly unknown[],
): Promise<Row> {
  return soleRow(await queryRows(client, shape, query, values));
}

/** Runs several statements in one round trip. @returns what each of them answers, for `decodeRows`. */
export async function queryAll(
  client: pg.Client,
  query: string | pg.QueryConfig,
): Promise<pg.QueryResult<Record<string, unknown>>[]> {
  // Of a single statement pg gives the result itself.
  const results: unknown = await client.query(query);
  return [results].flat() as pg.QueryResult<Record<string, unknown>>[];
}

/** Checks the rows of one of several statements. */
export function decodeRows<Row>(shape: Shape<Row>, rows: readonly Record<string, unknown>[]): Row[] {
  const columns = Object.entries<ColumnType<unknown>>(shape).map(([field, type]) => ({
    field,
    column: columnName(field),
    type,
  }));
  return rows.map((raw) => {
    const row: Record<string, unknown> = {};
    for (const { field, column, type } of columns) {
      const value = raw[column];
      if (!type.accepts(value)) failOn(column, type, raw);
      row[field] = value;
    }
    return row as Row;
  });
}

function columnName(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Says what a value is, not which: it may be somebody's data, and the message goes to the log. */
function failOn(column: string, { expected }: ColumnType<unknown>, raw: Record<string, unknown>): never {
  if (!(column in raw))
    assert.fail(`the query has no column "${column}", only ${Object.keys(raw).join(', ') || 'none at all'}`);
  const value = raw[column];
  const kind = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  assert.fail(`the query's column "${column}" should be ${expected}, and is ${kind}`);
}
