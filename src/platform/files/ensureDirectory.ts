import { mkdir } from 'node:fs/promises';
import { withFileErrors } from '../errors.js';

/** Creates a directory with its parents where there is none. @throws FileError */
export async function ensureDirectory(directory: string): Promise<void> {
  await withFileErrors('create the directory', directory, () => mkdir(directory, { recursive: true }));
}
