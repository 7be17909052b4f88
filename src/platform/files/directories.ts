import { mkdirSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { withFileErrors, errnoOf, UsageError } from '../errors.js';

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
