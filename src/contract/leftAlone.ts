import type { Dirent } from 'node:fs';
import { isUnfinishedName } from './fileNames.js';
import { countOf } from '../platform/format.js';
import { printableLine } from '../platform/printable.js';
import type { Feed } from './feeds/feed.js';
import { isWantedName } from './feeds/findFeed.js';
import { matchesGlob } from './feeds/glob.js';

/** Which files of a directory are to be moved and loaded. */
export interface FileSelection {
  /** Feeds whose files are, too, whatever the ending of their names. @default [] */
  readonly feeds?: readonly Pick<Feed, 'match'>[] | undefined;
  /** Files of subdirectories are, too, under names such as `shop1/2026/orders.csv`. @default false */
  readonly recursive?: boolean | undefined;
  /** Patterns of which a file must match one; none: all files. @default [] */
  readonly include?: readonly string[] | undefined;
  /** Patterns of files and directories to leave alone, without a word. @default [] */
  readonly exclude?: readonly string[] | undefined;
}

/**
 * Why an entry of a directory is neither moved nor loaded: its name has no ending that is loaded, and no feed is for it;
 * it is a directory, or one that can't be listed; it is a link, FIFO, socket or device.
 */
export type LeftAloneReason = 'otherEnding' | 'directory' | 'unreadable' | 'notRegular';

export const LEFT_ALONE_REASONS: Readonly<Record<LeftAloneReason, string>> = {
  otherEnding: 'its name does not end in .csv or .csv.gz, and no feed is for it',
  directory: 'it is a directory (--recursive looks into it)',
  unreadable: 'it is a directory that cannot be listed',
  notRegular: 'it is not a regular file',
};

/**
 * What becomes of an entry: a file to move and load; a directory to look into; nothing, as nobody wants to hear of it
 * (hidden, still being written by its name, or not selected); or nothing, for a reason that is worth telling.
 */
export type EntryVerdict = 'file' | 'subdirectory' | 'ignored' | LeftAloneReason;

/**
 * By the listing alone: what isn't a regular file is never opened or even looked at, and links are not followed.
 * @param name of the entry, relative to the directory that is listed.
 */
export function judgeEntry(
  entry: Pick<Dirent, 'name' | 'isFile' | 'isDirectory'>,
  name: string,
  selection: FileSelection,
): EntryVerdict {
  const { recursive = false, exclude = [] } = selection;
  if (isUnfinishedName(entry.name) || exclude.some((glob) => matchesGlob(name, glob))) return 'ignored';
  if (entry.isDirectory()) return recursive ? 'subdirectory' : 'directory';
  if (!isIncluded(name, selection)) return 'ignored';
  if (!entry.isFile()) return 'notRegular';
  return isWantedName(name, selection.feeds ?? []) ? 'file' : 'otherEnding';
}

/** Whether a regular file of this name would be moved and loaded. */
export function isSelected(name: string, selection: FileSelection): boolean {
  const parts = name.split('/');
  // What it would take to reach it from the top.
  return parts.every((part, index) => {
    const isLast = index === parts.length - 1;
    const entry = { name: part, isFile: () => isLast, isDirectory: () => !isLast };
    const verdict = judgeEntry(entry, parts.slice(0, index + 1).join('/'), selection);
    return verdict === (isLast ? 'file' : 'subdirectory');
  });
}

function isIncluded(name: string, { include = [] }: FileSelection): boolean {
  return include.length === 0 || include.some((glob) => matchesGlob(name, glob));
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
  const names = first.map(({ name, reason }) => printableLine(isDirectory(reason) ? `${name}/` : name)).join(', ');
  return `${countOf(entries, 'entry', 'entries')}${entries > first.length ? ', such as' : ':'} ${names}`;
}

function isDirectory(reason: LeftAloneReason): boolean {
  return reason === 'directory' || reason === 'unreadable';
}
