import assert from 'node:assert/strict';

/** The row of a statement that always has exactly one: an aggregate, a select of values, what a function returns. */
export function soleRow<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  assert(row !== undefined, 'the statement always returns a row');
  return row;
}
