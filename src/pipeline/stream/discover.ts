import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import type { Feed } from '../../contract/feeds/feed.js';
import { isWantedName } from '../../contract/feeds/findFeed.js';
import { FileError, withFileErrors } from '../../platform/errors.js';

/** Whether a file of this name is loaded. */
export function isLoadable(name: string, feeds: readonly Feed[] = []): boolean {
  return isWantedName(name, feeds);
}

/** The files in a directory that can be loaded, by name. Links, FIFOs, directories and hidden names are none. */
export async function listLoadable(directory: string, feeds: readonly Feed[] = []): Promise<string[]> {
  const entries = await withFileErrors('list', directory, () => readdir(directory, { withFileTypes: true }));
  return entries
    .filter((entry) => entry.isFile() && isLoadable(entry.name, feeds))
    .map((entry) => entry.name)
    .sort();
}

/** @throws FileError when the directory can't be read (or written, if files leave it). */
export async function assertUsable(directory: string, mustWrite: boolean): Promise<void> {
  await withFileErrors('use the directory', directory, async () => {
    if (!(await stat(directory)).isDirectory())
      throw new FileError(directory, 'ENOTDIR', {
        what: `cannot load from ${directory}`,
        why: 'it is not a directory',
        hint: 'name a directory',
      });
    await access(directory, constants.R_OK | constants.X_OK | (mustWrite ? constants.W_OK : 0));
  });
}
