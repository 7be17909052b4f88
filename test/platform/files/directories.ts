import { lstatSync, mkdtempSync, readdirSync, readFileSync, statSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd } from '../../helpers/atEnd.js';

/** A new directory, removed at the end of the test. */
export function temporaryDirectory(t: TestContext, parent = tmpdir()): string {
  const directory = mkdtempSync(path.join(parent, 'ecompipe-test-'));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const OTHER_FILE_SYSTEM = '/dev/shm';

/** Value for `skip`: false when this machine has a second file system to test with. */
export const noSecondFileSystem: false | string = hasSecondFileSystem()
  ? false
  : `${tmpdir()} and ${OTHER_FILE_SYSTEM} are one file system, or the second one is missing`;

function hasSecondFileSystem(): boolean {
  const other = statSync(OTHER_FILE_SYSTEM, { throwIfNoEntry: false });
  return other !== undefined && other.dev !== statSync(tmpdir()).dev;
}

/** A new directory on another file system than {@link temporaryDirectory}. */
export function directoryElsewhere(t: TestContext): string {
  return temporaryDirectory(t, OTHER_FILE_SYSTEM);
}

/** Name → content of all regular files, hidden ones too. */
export function contents(directory: string): Record<string, string> {
  const files = readdirSync(directory)
    .sort()
    .filter((name) => lstatSync(path.join(directory, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, readFileSync(path.join(directory, name), 'utf8')]));
}
