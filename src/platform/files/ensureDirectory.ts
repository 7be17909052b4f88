import { mkdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { withFileErrors } from '../errors.js';

/**
 * Most that others may do with what we make: the group reads, as mover and loader can be different users of one; nobody else
 * has any business with customers' events. A stricter umask counts. Who wants more gives it to directories beforehand.
 */
export const DIRECTORY_MODE = 0o750;
export const FILE_MODE = 0o640;

/** Creates a directory with its parents where there is none. */
export async function makeDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
}

export function makeDirectorySync(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
}

/** Creates a directory with its parents where there is none. @throws FileError */
export async function ensureDirectory(directory: string): Promise<void> {
  await withFileErrors('create the directory', directory, () => makeDirectory(directory));
}
