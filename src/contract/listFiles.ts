import { opendirSync, readdirSync, type Dirent } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf } from '../platform/errors.js';
import { EventLoopYielder } from '../platform/wait.js';
import { judgeEntry, type FileSelection, type LeftAlone } from './leftAlone.js';

export interface ListOptions extends FileSelection {
  /**
   * Directories of our own that may lie in the one that is listed: in use, so neither looked into nor left alone.
   * @default those of archive, quarantine and checkpoint
   */
  readonly ownDirs?: readonly string[] | undefined;
}

/** Which of the files are wanted now, where there may be more than the memory should hold. */
export interface Page {
  /** Only files after this one, in the order of their names. */
  readonly after: string;
  /** Most files; the first ones in the order of their names. */
  readonly size: number;
  /** Expected to be a directory of few entries, which are read at once: that takes half the time, and memory for all of them. */
  readonly isSmall?: boolean;
  /** Called for each file there is, whatever the page; files that it does not want are left out. */
  readonly isWanted: (name: string) => boolean;
}

/** The directories in which the stages meet, as far as a command knows them. */
export interface PipelineDirectories {
  /** Where producers write and `move` takes files from. @default 'data/incoming' */
  readonly incomingDir?: string | undefined;
  /** Where files wait to be loaded. @default 'data/processing' */
  readonly processingDir?: string | undefined;
  /** Another directory from which a stream loads. @default none */
  readonly inputDir?: string;
  /** Where loaded files go, in a folder for each day. @default 'data/archive' */
  readonly archiveDir?: string;
  /** Where files go that cannot be read at all, in a folder for each day. @default 'data/quarantine' */
  readonly quarantineDir?: string;
  /** Directory of the checkpoint file. @default 'checkpoints' */
  readonly checkpointDir?: string;
}

/** How any of these directories is listed: the others may lie in it. */
export function listOptions(settings: FileSelection & PipelineDirectories): ListOptions {
  const { feeds, recursive, include, exclude, ...directories } = settings;
  const { incomingDir, processingDir, inputDir, archiveDir, quarantineDir, checkpointDir } = directories;
  const known = [incomingDir, processingDir, inputDir, archiveDir, quarantineDir, checkpointDir];
  return { feeds, recursive, include, exclude, ownDirs: known.filter((directory) => directory !== undefined) };
}

export interface FileListing {
  /** Files to move and load, by names relative to the directory; those of a page are sorted. */
  readonly files: readonly string[];
  /** Whether a page has no room for all that are wanted. */
  readonly hasMore: boolean;
  /** How many entries were read, of whatever kind. */
  readonly entries: number;
  readonly leftAlone: readonly LeftAlone[];
  /** Subdirectories that were looked into. */
  readonly subdirectories: readonly string[];
}

/** Entries that one system call reads: 32 would be the default, and are slow for directories of many thousands. */
const ENTRIES_AT_ONCE = 1024;

/**
 * Lists the files of a directory that are to be moved and loaded, with `recursive` those of its subdirectories, too.
 * @param page default: all of them, in the directory's own order.
 * @throws the file system's error when the directory itself can't be listed. A subdirectory that can't be is left alone.
 */
export async function listFiles(directory: string, options: ListOptions, page?: Page): Promise<FileListing> {
  const isOwn = recognizeOwn(options.ownDirs ?? []);
  const files = page === undefined ? new AllFiles() : new PageOfFiles(page);
  const listing = { entries: 0, leftAlone: [] as LeftAlone[], subdirectories: [] as string[] };
  const yielder = new EventLoopYielder();
  const list = async (parent: string): Promise<void> => {
    const below: string[] = [];
    const parentPath = path.join(directory, parent);
    const isSmall = page?.isSmall === true;
    for (const entry of isSmall ? readdirSync(parentPath, { withFileTypes: true }) : entriesOf(parentPath)) {
      listing.entries += 1;
      if (yielder.shouldYield) await yielder.yield();
      const name = parent === '' ? entry.name : `${parent}/${entry.name}`;
      const verdict = judgeEntry(entry, name, options);
      if (verdict === 'file') files.add(name);
      else if (verdict !== 'ignored' && !(await isOwn(path.join(directory, name), entry))) {
        if (verdict === 'subdirectory') below.push(name);
        else listing.leftAlone.push({ name, reason: verdict });
      }
    }
    // Afterwards: a directory of any depth is listed with one descriptor.
    for (const name of below) await listBelow(name);
  };
  const listBelow = async (name: string): Promise<void> => {
    try {
      await list(name);
      listing.subdirectories.push(name);
    } catch (error) {
      if (isUnlistable(error, path.join(directory, name))) listing.leftAlone.push({ name, reason: 'unreadable' });
      // One that went away meanwhile has nothing in it.
      else if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
    }
  };
  await list('');
  return { ...files.end(), ...listing };
}

/** One by one, as an array of a million entries takes hundreds of megabytes. */
function* entriesOf(directory: string): Generator<Dirent> {
  const opened = opendirSync(directory, { bufferSize: ENTRIES_AT_ONCE });
  try {
    for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) yield entry;
  } finally {
    opened.closeSync();
  }
}

class AllFiles {
  private readonly files: string[] = [];

  add(name: string): void {
    this.files.push(name);
  }

  end(): Pick<FileListing, 'files' | 'hasMore'> {
    return { files: this.files, hasMore: false };
  }
}

class PageOfFiles {
  private files: string[] = [];
  private hasMore = false;

  constructor(private readonly page: Page) {}

  add(name: string): void {
    const { after, size, isWanted } = this.page;
    if (!isWanted(name) || name <= after) return;
    this.files.push(name);
    // Not for each file, as sorting costs; not too late, as names take memory.
    if (this.files.length >= size * 1.5) this.cut();
  }

  end(): Pick<FileListing, 'files' | 'hasMore'> {
    this.cut();
    return { files: this.files, hasMore: this.hasMore };
  }

  private cut(): void {
    const { size } = this.page;
    this.files.sort();
    if (this.files.length > size) this.hasMore = true;
    this.files.length = Math.min(size, this.files.length);
  }
}

/** Whether a subdirectory can't be listed; that must not stop the others. */
function isUnlistable(error: unknown, directory: string): boolean {
  // A name that is not UTF-8 can't be written back, so the directory that was listed is never found.
  return ['EACCES', 'EPERM', 'ENAMETOOLONG'].includes(errnoOf(error) ?? '') || directory.includes('\uFFFD');
}

/** By path and by inode: a directory of ours may have a second path, by a link or a mount. */
function recognizeOwn(ownDirs: readonly string[]): (file: string, entry: Dirent) => Promise<boolean> {
  // Both are made for the first entry that is not a file: most directories that are listed every second have only files.
  let paths: ReadonlySet<string> | undefined;
  let inodes: Promise<ReadonlySet<string>> | undefined;
  return async (file, entry) => {
    paths ??= new Set(ownDirs.map((directory) => path.resolve(directory)));
    if (paths.has(path.resolve(file))) return true;
    if (paths.size === 0 || !entry.isDirectory()) return false;
    inodes ??= inodesOf([...paths]);
    const stats = await lstat(file, { bigint: true }).catch(() => undefined);
    return stats !== undefined && (await inodes).has(`${stats.dev}:${stats.ino}`);
  };
}

async function inodesOf(directories: readonly string[]): Promise<ReadonlySet<string>> {
  const inodes = new Set<string>();
  for (const directory of directories) {
    const stats = await stat(directory, { bigint: true }).catch(() => undefined);
    if (stats !== undefined) inodes.add(`${stats.dev}:${stats.ino}`);
  }
  return inodes;
}
