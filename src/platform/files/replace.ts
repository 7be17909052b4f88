import { open, rename, rm } from 'node:fs/promises';
import { temporaryPath } from './temporary.js';

/**
 * Replaces a file, or makes it: a crash leaves the old or the new one, whole. Nothing is left of an attempt that fails, so that
 * one that is repeated while the disk is full does not fill the directory with its remains.
 * @param whenWritten is called when the new one is on disk, before it takes the name.
 */
export async function replaceFile(target: string, text: string, mode: number, whenWritten?: () => void): Promise<void> {
  const temporary = temporaryPath(target);
  try {
    // Never through a link that somebody has put there.
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    whenWritten?.();
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
