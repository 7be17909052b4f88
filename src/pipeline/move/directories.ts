import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { makeDirectory } from '../../platform/files/ensureDirectory.js';
import { removeStaleTemporaries } from '../../platform/files/temporary.js';
import { listFiles, type ListOptions } from '../../contract/listFiles.js';
import { assertDistinctDirectories } from '../../platform/files/distinctDirectories.js';
import { errnoOf, FileError, withFileErrors } from '../../platform/errors.js';
import type { MoveSettings } from './moveEvents.js';

/**
 * Creates `to`, and makes sure that files can be taken from `from` and put there.
 *
 * @returns the temporary files of killed movers that were removed from `to`.
 * @throws FileError when one of them can't be used (exit 74, or 77 without permission).
 * @throws UsageError when both are one directory.
 */
export async function prepareDirectories({ from, to, recursive }: MoveSettings): Promise<readonly string[]> {
  const { R_OK, W_OK, X_OK } = constants;
  await withFileErrors('take files from', from, async () => {
    if (!(await stat(from)).isDirectory())
      throw new FileError(from, 'ENOTDIR', {
        what: `cannot take files from ${from}`,
        why: 'it is not a directory',
        hint: 'name a directory',
      });
    await access(from, R_OK | W_OK | X_OK);
  });
  return await withFileErrors('put files into', to, async () => {
    await makeDirectory(to);
    await access(to, R_OK | W_OK | X_OK);
    await assertDistinctDirectories({ '--from': from, '--to': to });
    return await removeStaleTemporaries(to, recursive);
  });
}

/** How many files stand in `to` for the loader. */
export async function countBacklog({ to, ...options }: Pick<MoveSettings, 'to' | keyof ListOptions>): Promise<number> {
  try {
    return (await listFiles(to, options)).files.length;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}
