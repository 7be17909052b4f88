import assert from 'node:assert/strict';

/** An element that can't be missing unless we are wrong: of a list that runs beside the one that is counted. */
export function elementAt<T>(list: readonly T[], index: number): T {
  const value = list[index];
  assert(value !== undefined, `there is no element ${index} of ${list.length}`);
  return value;
}
