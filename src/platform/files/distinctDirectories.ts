import { stat } from 'node:fs/promises';
import { errnoOf, UsageError } from '../errors.js';

/**
 * Makes sure that no two of these directories are one, by device and inode: a link, a bind mount or one host folder
 * mounted twice gives one directory two paths, and a move from it into itself would end with the file unlinked.
 * Directories that are not there yet are left out: create them first.
 * @param directories paths by the name of their setting, such as `--archive-dir`.
 * @throws UsageError (exit 2) that names each pair.
 */
export async function assertDistinctDirectories(directories: Readonly<Record<string, string>>): Promise<void> {
  const seen = new Map<string, { readonly setting: string; readonly directory: string }>();
  const problems: string[] = [];
  for (const [setting, directory] of Object.entries(directories)) {
    const stats = await stat(directory, { bigint: true }).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (stats === undefined) continue;
    const key = `${stats.dev}:${stats.ino}`;
    const other = seen.get(key);
    if (other === undefined) seen.set(key, { setting, directory });
    else
      problems.push(
        `${other.setting} ${other.directory} and ${setting} ${directory} are the same directory: files would be moved onto themselves`,
      );
  }
  if (problems.length > 0) throw new UsageError(problems);
}
