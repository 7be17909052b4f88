import { lstat, readdir, stat } from 'node:fs/promises';
import type { Dirent } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../platform/errors.js';
import { judgeEntry, type FileSelection, type LeftAlone } from './leftAlone.js';

export interface ListOptions extends FileSelection {
  /**
   * Directories of our own that may lie in the one that is listed: in use, so neither looked into nor left alone.
   * @default those of archive, quarantine and checkpoint
   */
  readonly ownDirs?: readonly string[] | undefined;
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
  /** Files to move and load, by names relative to the directory. */
  readonly files: readonly string[];
  readonly leftAlone: readonly LeftAlone[];
  /** Subdirectories that were looked into. */
  readonly subdirectories: readonly string[];
}

/**
 * Lists the files of a directory that are to be moved and loaded, with `recursive` those of its subdirectories, too.
 * @throws the file system's error when the directory itself can't be listed. A subdirectory that can't be is left alone.
 */
export async function listFiles(directory: string, options: ListOptions): Promise<FileListing> {
  const isOwn = recognizeOwn(options.ownDirs ?? []);
  const listing = { files: [] as string[], leftAlone: [] as LeftAlone[], subdirectories: [] as string[] };
  const list = async (parent: string, entries: readonly Dirent[]): Promise<void> => {
    for (const entry of entries) {
      const name = parent === '' ? entry.name : `${parent}/${entry.name}`;
      const verdict = judgeEntry(entry, name, options);
      if (verdict === 'file') listing.files.push(name);
      else if (verdict !== 'ignored' && !(await isOwn(path.join(directory, name), entry))) {
        if (verdict === 'subdirectory') await listBelow(name);
        else listing.leftAlone.push({ name, reason: verdict });
      }
    }
  };
  const listBelow = async (name: string): Promise<void> => {
    const entries = await readSubdirectory(path.join(directory, name));
    if (entries === undefined) listing.leftAlone.push({ name, reason: 'unreadable' });
    else {
      listing.subdirectories.push(name);
      await list(name, entries);
    }
  };
  await list('', await readdir(directory, { withFileTypes: true }));
  return listing;
}

/** @returns nothing for one that went away meanwhile; undefined for one that can't be listed, which must not stop the others. */
async function readSubdirectory(directory: string): Promise<readonly Dirent[] | undefined> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    // A name that is not UTF-8 can't be written back, so the directory that was listed is never found.
    if (['EACCES', 'EPERM', 'ENAMETOOLONG'].includes(errno) || directory.includes('\uFFFD')) return undefined;
    if (['ENOENT', 'ENOTDIR'].includes(errno)) return [];
    throw error;
  }
}

/** By path and by inode: a directory of ours may have a second path, by a link or a mount. */
function recognizeOwn(ownDirs: readonly string[]): (file: string, entry: Dirent) => Promise<boolean> {
  const paths = new Set(ownDirs.map((directory) => path.resolve(directory)));
  // Asked for by the first subdirectory: most directories that are listed every second have none.
  let inodes: Promise<ReadonlySet<string>> | undefined;
  return async (file, entry) => {
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
