import { constants } from 'node:fs';
import { copyFile, link, lstat, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf } from '../runtime/errors.js';

/** Ends the names of our temporary files. They also start with a dot, so that no stage takes one for a finished file. */
export const TEMPORARY_SUFFIX = '.ecompipe-tmp';

/** The hidden name in the same directory under which a file is written before it is published as `target`. */
export function temporaryPath(target: string): string {
  return path.join(path.dirname(target), `.${path.basename(target)}.${process.pid}${TEMPORARY_SUFFIX}`);
}

/** Forces a directory's entries to disk (fsync), so that a rename in it survives a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems can't fsync a directory (EINVAL); they order renames by themselves.
    if (errnoOf(error) !== 'EINVAL') throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Moves a file to a new name without ever overwriting one, within one file system or across two.
 *
 * Within one: link(2) then unlink(2); link fails when the name is taken, which rename(2) would overwrite. Killed between
 * the two, the file has both names, and the next call finds that they are one file and finishes. Across two: copy to a
 * hidden name, fsync, publish that, then unlink the source; killed anywhere, the source is still there.
 *
 * @returns false when `target` is taken by another file; nothing was changed then.
 */
export async function moveWithoutOverwrite(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
  } catch (error) {
    switch (errnoOf(error)) {
      case 'EEXIST':
        if (!(await isSameFile(source, target))) return false;
        break;
      case 'EXDEV':
        return await copyAcross(source, target);
      case 'EPERM':
      case 'ENOTSUP':
      case 'EOPNOTSUPP':
      case 'ENOSYS':
      case 'EMLINK':
        return await renameChecked(source, target);
      default:
        throw error;
    }
  }
  await unlink(source);
  return true;
}

async function copyAcross(source: string, target: string): Promise<boolean> {
  const temporary = temporaryPath(target);
  try {
    await copyFile(source, temporary);
    const handle = await open(temporary, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (!(await moveWithoutOverwrite(temporary, target))) {
      await unlink(temporary);
      return false;
    }
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(path.dirname(target));
  await unlink(source);
  return true;
}

/** For file systems without hard links: between look and rename another writer could take the name. */
async function renameChecked(source: string, target: string): Promise<boolean> {
  if (await exists(target)) return false;
  await rename(source, target);
  return true;
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([lstat(a, { bigint: true }), lstat(b, { bigint: true })]);
  return first.ino === second.ino && first.dev === second.dev;
}

async function exists(file: string): Promise<boolean> {
  try {
    await lstat(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/**
 * As {@link moveWithoutOverwrite} into a directory, but finds a free name when `name` is taken: `a.csv`, `a.1.csv`, ….
 * @returns the name the file has now.
 */
export async function moveIntoDirectory(source: string, directory: string, name = path.basename(source)): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const candidate = attempt === 0 ? name : numberedName(name, attempt);
    if (await moveWithoutOverwrite(source, path.join(directory, candidate))) return candidate;
  }
}

/** `orders.csv.gz`, 2 → `orders.2.csv.gz`: the ending that says what the file is stays last. */
export function numberedName(name: string, number: number): string {
  const ending = /(\.csv(\.gz)?|\.[^.]+)$/i.exec(name)?.[0] ?? '';
  return `${name.slice(0, name.length - ending.length)}.${number}${ending}`;
}
