import { readFile } from 'node:fs/promises';
import { UsageError, withFileErrors } from './errors.js';
import type { Setting } from './settings.js';

/**
 * A secret from its variable, or from a file, as orchestrators mount them; a newline at the end of the file is not part of it.
 * @throws UsageError when both are given, or the file is empty; FileError when it can't be read.
 */
export async function readSecret(
  [value, ofValue]: readonly [string | undefined, Setting<string | undefined>],
  [file, ofFile]: readonly [string | undefined, Setting<string | undefined>],
): Promise<string | undefined> {
  if (file === undefined) return value;
  const name = ofFile.flag ?? ofFile.env;
  if (value !== undefined) throw new UsageError([`${ofValue.env} and ${name}: give one of the two`]);
  const text = (await withFileErrors('read', file, () => readFile(file, 'utf8'))).replace(/\r?\n$/, '');
  if (text === '') throw new UsageError([`${name} ${JSON.stringify(file)}: the file is empty`]);
  return text;
}
