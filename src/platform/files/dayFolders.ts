import { readdirSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../errors.js';

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
