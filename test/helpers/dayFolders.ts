import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { dayFolders } from '../../src/platform/files/dayFolders.js';

/** Names in a directory that has a folder a day (archive/, quarantine/), sorted, whatever day it is. */
export function namesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const folders = dayFolders(directory);
  const flat = readdirSync(directory).filter((name) => !folders.includes(path.join(directory, name)));
  return [...flat, ...folders.flatMap((folder) => readdirSync(folder))].sort();
}

/** The path of a file in such a directory. @throws Error when it is not there. */
export function pathIn(directory: string, name: string): string {
  const found = [directory, ...dayFolders(directory)].find((folder) => existsSync(path.join(folder, name)));
  if (found === undefined) throw new Error(`${name} is not in ${directory}: ${namesIn(directory).join(', ')}`);
  return path.join(found, name);
}
