import assert from 'node:assert/strict';

/** How many rows an insert, update or delete has changed. */
export function changedRows({ rowCount }: { readonly rowCount: number | null }): number {
  assert(rowCount !== null, 'the statement counts the rows that it changes');
  return rowCount;
}

/** The row of a statement that always has exactly one: an aggregate, a select of values, what a function returns. */
export function soleRow<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  assert(row !== undefined, 'the statement always returns a row');
  return row;
}
