import { lstatSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { EventLoopYielder } from '../platform/eventLoopYielder.js';
import { errnoOf } from '../platform/errors.js';
import type { Feed } from './feeds/feed.js';
import { isCandidate, summarizeLeftAlone, whyLeftAlone, type LeftAlone, type LeftAloneSummary } from './leftAlone.js';

export interface BacklogOptions {
  /** Feeds whose files wait, too, whatever the ending of their names. Default: none. */
  readonly feeds?: readonly Pick<Feed, 'match'>[] | undefined;
  /** Names of directories of our own in it, which are in use and not left alone. Default: none. */
  readonly ownNames?: readonly string[];
}

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
export async function readBacklog(
  directory: string,
  { feeds = [], ownNames = [] }: BacklogOptions = {},
): Promise<Backlog> {
  let [files, bytes, compressed, oldestSinceMs] = [0, 0, 0, Infinity];
  const leftAlone: LeftAlone[] = [];
  try {
    const yielder = new EventLoopYielder();
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (!isCandidate(entry, feeds)) {
        const reason = whyLeftAlone(entry, feeds);
        if (reason !== undefined && !ownNames.includes(entry.name)) leftAlone.push({ name: entry.name, reason });
        continue;
      }
      if (yielder.shouldYield) await yielder.yield();
      // Synchronous, as it takes microseconds and the thread pool many times that; gone means taken since.
      const stats = lstatSync(path.join(directory, entry.name), { throwIfNoEntry: false });
      if (stats === undefined) continue;
      files += 1;
      if (/\.gz$/i.test(entry.name)) compressed += 1;
      bytes += stats.size;
      oldestSinceMs = Math.min(oldestSinceMs, stats.ctimeMs);
    }
    return {
      directory,
      files,
      bytes,
      compressed,
      oldestSinceMs: files === 0 ? undefined : oldestSinceMs,
      leftAlone: summarizeLeftAlone(leftAlone),
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
