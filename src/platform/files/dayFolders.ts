import { readdirSync, lstatSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../errors.js';
import { isGzipName } from './gzip.js';
import { copyName, hashDelivered, readCopyStart } from './gzipCopy.js';
import { numberedName } from './publish.js';

const DAY = /^\d{4}-\d\d-\d\d$/;

/** The day of a moment in UTC, as folders are named: `2026-11-25`. */
export function dayOf(moment: Date): string {
  return moment.toISOString().slice(0, 10);
}

/** Paths of a directory's folders of days, latest first; none where there is no such directory. */
export function dayFolders(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && DAY.test(entry.name))
      .map(({ name }) => path.join(directory, name))
      .sort()
      .reverse();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** A stage that finds a name taken puts a number into it. */
const MAX_NUMBERED = 16;

/** What a file is known by: its content for sure, its size where a look must be cheap. */
export type Recognized = { readonly sha256: Buffer } | { readonly bytes: number };

/**
 * Looks for a file under its name, or its name with a number, in directories that may be missing and their folders of days;
 * also as a compressed copy of it.
 */
export async function locate(
  name: string,
  recognized: Recognized,
  directories: readonly string[],
): Promise<string | undefined> {
  // The copy after the file: it is there before the file goes.
  const names = isGzipName(name) ? [name] : [name, copyName(name)];
  for (const directory of directories.flatMap((each) => [each, ...dayFolders(each)])) {
    for (let number = 0; number <= MAX_NUMBERED; number++) {
      for (const each of names) {
        const candidate = path.join(directory, number === 0 ? each : numberedName(each, number));
        const stats = lstatSync(candidate, { throwIfNoEntry: false });
        // The names before may have been taken away since.
        if (stats?.isFile() === true && (await isRecognized(candidate, stats.size, recognized))) return candidate;
      }
    }
  }
  return undefined;
}

async function isRecognized(file: string, size: number, recognized: Recognized): Promise<boolean> {
  try {
    return 'bytes' in recognized
      ? ((await readCopyStart(file))?.bytes ?? size) === recognized.bytes
      : (await hashDelivered(file)).equals(recognized.sha256);
  } catch {
    // Taken away, damaged, or not for us to read: not found here.
    return false;
  }
}
