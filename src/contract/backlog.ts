import { lstatSync } from 'node:fs';
import path from 'node:path';
import { EventLoopYielder } from '../platform/wait.js';
import { errnoOf } from '../platform/errors.js';
import { summarizeLeftAlone, type LeftAloneSummary } from './leftAlone.js';
import { listFiles, type ListOptions } from './listFiles.js';

/** The finished-looking files that wait in a directory. */
export interface Backlog {
  readonly directory: string;
  readonly files: number;
  readonly bytes: number;
  /** Those of the files whose bytes say nothing about the length of their content. */
  readonly compressed: number;
  /** Since when the one that waits longest has been there, in milliseconds since 1970; undefined when none waits. */
  readonly oldestSinceMs: number | undefined;
  /** How many entries will neither be moved nor loaded, and the first of them by name. */
  readonly leftAlone: LeftAloneSummary;
  /** Why the directory could not be listed (`ENOENT`, …); it counts as empty then. */
  readonly errno: string | undefined;
}

/**
 * Looks at what waits in a directory. A file has waited since its inode last changed: a rename into the directory counts,
 * while its modification time may be the producer's of last year.
 */
export async function readBacklog(directory: string, options: ListOptions = {}): Promise<Backlog> {
  let [files, bytes, compressed, oldestSinceMs] = [0, 0, 0, Infinity];
  try {
    const yielder = new EventLoopYielder();
    const listing = await listFiles(directory, options);
    for (const name of listing.files) {
      if (yielder.shouldYield) await yielder.yield();
      // Synchronous, as it takes microseconds and the thread pool many times that; gone means taken since.
      const stats = lstatSync(path.join(directory, name), { throwIfNoEntry: false });
      if (stats === undefined) continue;
      files += 1;
      if (/\.gz$/i.test(name)) compressed += 1;
      bytes += stats.size;
      oldestSinceMs = Math.min(oldestSinceMs, stats.ctimeMs);
    }
    return {
      directory,
      files,
      bytes,
      compressed,
      oldestSinceMs: files === 0 ? undefined : oldestSinceMs,
      leftAlone: summarizeLeftAlone(listing.leftAlone),
      errno: undefined,
    };
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    return {
      directory,
      files: 0,
      bytes: 0,
      compressed: 0,
      oldestSinceMs: undefined,
      leftAlone: summarizeLeftAlone([]),
      errno,
    };
  }
}
