import assert from 'node:assert/strict';

/** The value, which can't be missing unless we are wrong. @param what is expected to be there, as the error names it. */
export function expectDefined<T>(value: T, what: string): NonNullable<T> {
  assert(value !== undefined && value !== null, `expected ${what}`);
  return value;
}
