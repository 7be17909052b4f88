import assert from 'node:assert/strict';

/** An element that can't be missing unless we are wrong: of a list that runs beside the one that is counted. */
export function elementAt<T>(list: readonly T[], index: number): T {
  const value = list[index];
  // The message is not made before it is needed: rows are read by this.
  if (value === undefined) assert.fail(`there is no element ${index} of ${list.length}`);
  return value;
}
