import type { Dirent } from 'node:fs';
import path from 'node:path';
import { isUnfinishedName } from './fileNames.js';
import { countOf } from '../platform/format.js';
import { printableLine } from '../platform/printable.js';
import type { Feed } from './feeds/feed.js';
import { isWantedName } from './feeds/findFeed.js';

/**
 * Why an entry of a directory is neither moved nor loaded: its name has no ending that is loaded, and no feed is for it;
 * it is a directory; it is a link, FIFO, socket or device.
 */
export type LeftAloneReason = 'otherEnding' | 'directory' | 'notRegular';

export const LEFT_ALONE_REASONS: Readonly<Record<LeftAloneReason, string>> = {
  otherEnding: 'its name does not end in .csv or .csv.gz, and no feed is for it',
  directory: 'it is a directory',
  notRegular: 'it is not a regular file',
};

/**
 * By the listing alone: what isn't a regular file is never opened or even looked at.
 *
 * @returns undefined for what is to be moved and loaded, and for what nobody wants to hear of: hidden entries, and names
 * that say that somebody is still writing.
 */
export function whyLeftAlone(
  entry: Pick<Dirent, 'name' | 'isFile' | 'isDirectory'>,
  feeds: readonly Pick<Feed, 'match'>[],
): LeftAloneReason | undefined {
  if (isUnfinishedName(entry.name)) return undefined;
  if (entry.isDirectory()) return 'directory';
  if (!entry.isFile()) return 'notRegular';
  return isWantedName(entry.name, feeds) ? undefined : 'otherEnding';
}

/** An entry of a directory that is neither moved nor loaded. */
export interface LeftAlone {
  readonly name: string;
  readonly reason: LeftAloneReason;
}

/** How many there are, and the first few by name: `12 entries, such as a.jsonl, b/, c.zip`. */
export interface LeftAloneSummary {
  readonly entries: number;
  readonly first: readonly LeftAlone[];
}

const MAX_NAMED = 3;

export function summarizeLeftAlone(leftAlone: readonly LeftAlone[]): LeftAloneSummary {
  const byName = [...leftAlone].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { entries: leftAlone.length, first: byName.slice(0, MAX_NAMED) };
}

/** For people, on one line. */
export function describeLeftAlone({ entries, first }: LeftAloneSummary): string {
  const names = first.map(({ name, reason }) => printableLine(reason === 'directory' ? `${name}/` : name)).join(', ');
  return `${countOf(entries, 'entry', 'entries')}${entries > first.length ? ', such as' : ':'} ${names}`;
}

/** Whether an entry is to be moved and loaded. */
export function isCandidate(entry: Pick<Dirent, 'name' | 'isFile'>, feeds: readonly Pick<Feed, 'match'>[]): boolean {
  return entry.isFile() && isWantedName(entry.name, feeds);
}

/** Which of these directories lie directly in `parent`, by name: our own are not left alone, they are in use. */
export function namesWithin(parent: string, directories: readonly string[]): string[] {
  return directories
    .map((directory) => path.resolve(directory))
    .filter((directory) => path.dirname(directory) === path.resolve(parent))
    .map((directory) => path.basename(directory));
}
