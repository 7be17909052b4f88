import { lstatSync, unlinkSync } from 'node:fs';
import { opendir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, withFileErrors } from '../../platform/errors.js';
import { dayFolders, dayOf } from '../../platform/files/dayFolders.js';
import { EventLoopYielder } from '../../platform/wait.js';
import type { PrunedArchive } from './types.js';

/**
 * Removes, or counts, loaded files that were archived before the day of `before`: folders of days with their subdirectories, and from the time
 * before there were any, files by the moment at which they came into the directory (ctime). Links and what is not a regular
 * file are left alone.
 */
export async function pruneArchive(
  archiveDir: string,
  before: Date,
  dryRun: boolean,
  checkStop: () => void,
): Promise<PrunedArchive> {
  const firstKept = dayOf(before);
  const totals = { files: 0, bytes: 0 };
  // Of a million small files, a round trip to a thread for each would take most of the time.
  const yielder = new EventLoopYielder();
  const clear = async (folder: string, isOld: (changed: Date) => boolean, recursive: boolean): Promise<void> => {
    for (const name of await namesIn(folder)) {
      if (yielder.shouldYield) await yielder.yield();
      checkStop();
      const file = path.join(folder, name);
      const stats = lstatSync(file);
      if (recursive && stats.isDirectory()) {
        const before = totals.files;
        await clear(file, isOld, recursive);
        // One that was empty before is somebody else's.
        if (!dryRun && totals.files > before) await removeIfEmpty(file);
      }
      if (!stats.isFile() || !isOld(stats.ctime)) continue;
      if (!dryRun) unlinkSync(file);
      totals.files += 1;
      totals.bytes += stats.size;
    }
  };
  await withFileErrors('prune', archiveDir, async () => {
    for (const folder of dayFolders(archiveDir)) {
      if (path.basename(folder) >= firstKept) continue;
      await clear(folder, () => true, true);
      if (!dryRun) await removeIfEmpty(folder);
    }
    await clear(archiveDir, (changed) => dayOf(changed) < firstKept, false);
  });
  return totals;
}

async function namesIn(directory: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of await opendir(directory)) names.push(name);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  return names;
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
  }
}
