import { isSameContent } from '../../contract/content.js';
import { existsSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { isSelected, type FileSelection } from '../../contract/leftAlone.js';
import type { Connection } from '../../platform/db/client.js';
import { EventLoopYielder } from '../../platform/wait.js';
import { errnoOf, InterruptedError, UsageError, withFileErrors } from '../../platform/errors.js';
import { dayFolders, dayOf } from '../../platform/files/dayFolders.js';
import { isGzipName } from '../../platform/files/gzip.js';
import { copyName, decompress, hashDelivered, readCopyStart } from '../../platform/files/gzipCopy.js';
import { moveConverted, moveIntoDirectory } from '../../platform/files/publish.js';
import { Subfolders } from '../../platform/files/subfolders.js';
import { removeStaleTemporaries } from '../../platform/files/temporary.js';
import { printableLine } from '../../platform/printable.js';
import type { StreamSettings } from './streamEvents.js';
import { countOf } from '../../platform/format.js';
import { nullable, queryRow, queryRows, text, timestamp } from '../../platform/db/decodeRows.js';

/** The clocks of the server and of this machine may differ, and a file is archived after its commit. */
const CLOCK_SLACK_MS = 24 * 3_600_000;
const FILES_AT_ONCE = 500;
const GZIP_ENDING = '.gz'.length;

interface ArchivedFile {
  /** What it was called when it was loaded. */
  readonly name: string;
  readonly path: string;
  readonly archivedAt: Date;
  /** A compressed copy (`--archive-gzip`). */
  readonly isCopy: boolean;
}

interface ArchivedFileHash extends ArchivedFile {
  readonly sha256: Buffer;
}

/**
 * Files that may have been loaded after the ledger's last commit: those that were archived since, by the day of their
 * folder and the moment at which they came into it.
 */
export async function findArchivedSince(archiveDir: string, lastCommit: Date | null): Promise<ArchivedFile[]> {
  const since = lastCommit === null ? new Date(0) : new Date(lastCommit.getTime() - CLOCK_SLACK_MS);
  const found: ArchivedFile[] = [];
  const yielder = new EventLoopYielder();
  await withFileErrors('read', archiveDir, async () => {
    const folders = dayFolders(archiveDir).filter((folder) => path.basename(folder) >= dayOf(since));
    // Subdirectories are below the days: what else is in archive/ is somebody else's.
    for (const folder of [archiveDir, ...folders]) {
      for (const name of await namesIn(folder, folder !== archiveDir)) {
        if (yielder.shouldYield) await yielder.yield();
        const file = await lookAt(path.join(folder, name), name, since);
        if (file !== undefined) found.push(file);
      }
    }
  });
  // One that was compressed after it was listed may be listed as the copy, too.
  return [...new Map(found.map((file) => [file.path, file])).values()];
}

/** A file that came into the archive since then, or what it was compressed into; undefined: somebody has taken it away. */
async function lookAt(file: string, name: string, since: Date): Promise<ArchivedFile | undefined> {
  try {
    const stats = await lstat(file);
    if (!stats.isFile() || stats.ctime < since) return undefined;
    const copied = await readCopyStart(file);
    return copied === undefined
      ? { name, path: file, archivedAt: stats.ctime, isCopy: false }
      : { name: name.slice(0, -GZIP_ENDING), path: file, archivedAt: new Date(copied.changedAtMs), isCopy: true };
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return isGzipName(name) ? undefined : await lookAt(copyName(file), copyName(name), since);
  }
}

async function namesIn(directory: string, recursive: boolean): Promise<string[]> {
  try {
    const names: string[] = [];
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const { name } = entry;
      if (name.startsWith('.')) continue;
      if (!entry.isDirectory()) names.push(name);
      else if (recursive)
        names.push(...(await namesIn(path.join(directory, name), true)).map((below) => `${name}/${below}`));
    }
    return names.sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** When the newest batch that the ledger has was committed; null where it has none. */
export async function readLastCommit({ client }: Connection): Promise<Date | null> {
  const { at } = await queryRow(
    client,
    { at: nullable(timestamp) },
    'select max(committed_at) as at from ecompipe.batches',
  );
  return at;
}

/**
 * Puts archived files back whose content the ledger does not have, or not whole: what a restored database has lost. They
 * are then loaded as any other file, so exactly once, whenever this is killed. What was taken out by `undo` stays away.
 * @returns how many files were put back.
 */
export async function reloadFromArchive(
  connection: Connection,
  settings: Pick<StreamSettings, 'archiveDir' | 'inputDir' | keyof FileSelection>,
  stop: AbortSignal,
): Promise<number> {
  await withFileErrors('clean up', settings.inputDir, () => removeStaleTemporaries(settings.inputDir, true));
  for (let returned = 0; ;) {
    const pass = await putBackMissing(connection, settings, returned, stop);
    returned += pass.returned;
    if (!pass.hasVanished) return returned;
  }
}

/**
 * One look at the archive. @param before files that were put back before.
 * @returns how many were now; and whether files left while they were looked at: other streams put files back, load and
 *   archive them again, or compress them.
 */
async function putBackMissing(
  connection: Connection,
  settings: Pick<StreamSettings, 'archiveDir' | 'inputDir' | keyof FileSelection>,
  before: number,
  stop: AbortSignal,
): Promise<{ returned: number; hasVanished: boolean }> {
  // All of them: somebody else may have loaded into the restored database for days, so its newest batch says nothing.
  const { archiveDir, inputDir } = settings;
  const candidates = (await findArchivedSince(archiveDir, null)).filter(({ name }) =>
    isSelected(name, { ...settings, recursive: true }),
  );
  const folders = new Subfolders(inputDir);
  const result = { returned: 0, hasVanished: false };
  for (let start = 0; start < candidates.length; start += FILES_AT_ONCE) {
    const files: ArchivedFileHash[] = [];
    for (const file of candidates.slice(start, start + FILES_AT_ONCE)) {
      const sha256 = await unlessVanished('read', file, inputDir, () => hashDelivered(file.path, stop), stop);
      if (stop.aborted)
        throw new InterruptedError({
          what: 'the search of the archive was interrupted',
          outcome: `${countOf(before + result.returned, 'file is', 'files are')} back in ${inputDir}`,
          hint: 'run it again to continue',
        });
      if (sha256 === undefined) result.hasVanished = true;
      else files.push({ ...file, sha256 });
    }
    const known = await findWhole(connection, files);
    for (const file of files) {
      if (known.has(file.path)) continue;
      assertReachable(file, settings);
      const moved = await unlessVanished('put back', file, inputDir, async () => {
        if (file.name.includes('/')) await folders.makeFor(file.name);
        return file.isCopy
          ? await moveConverted(file.path, inputDir, file.name, decompress)
          : await moveIntoDirectory(file.path, inputDir, file.name);
      });
      if (moved === undefined) result.hasVanished = true;
      else result.returned += 1;
    }
  }
  return result;
}

/** @throws UsageError when a file would be put back where this stream does not look. */
function assertReachable({ name, path: file }: ArchivedFile, { recursive = false }: FileSelection): void {
  if (recursive || !name.includes('/')) return;
  throw new UsageError(
    [`${printableLine(file)} is to be loaded again, and came from a subdirectory, which is not looked into`],
    'give --recursive, too',
  );
}

/**
 * Paths of those whose content is loaded to its end, was pruned since, is in quarantine, or was taken out by a person after
 * the file came into the archive: what was taken out and loaded again since the backup is missing like any other.
 */
async function findWhole({ client }: Connection, files: readonly ArchivedFileHash[]): Promise<ReadonlySet<string>> {
  const rows = await queryRows(
    client,
    { path: text },
    `select a.path
     from unnest ($1::text[], $2::bytea[], $3::timestamptz[]) as a (path, sha256, archived_at)
     left join ecompipe.files f on ${isSameContent('f.sha256', 'a.sha256')}
     where f.state <> 'loading'
        or f.file_id is null
           and exists (select from ecompipe.undone_files u where u.sha256 = a.sha256 and u.undone_at >= a.archived_at)`,
    [files.map((file) => file.path), files.map(({ sha256 }) => sha256), files.map(({ archivedAt }) => archivedAt)],
  );
  return new Set(rows.map((row) => row.path));
}

/** @returns undefined where the file is no longer there, or when asked to stop meanwhile. */
async function unlessVanished<T>(
  what: string,
  file: ArchivedFile,
  inputDir: string,
  action: () => Promise<T>,
  stop?: AbortSignal,
): Promise<T | undefined> {
  return await withFileErrors(what, file.path, async () => {
    try {
      return await action();
    } catch (error) {
      // It may be there again, archived by whoever loaded it; where the target is missing, no further look would help.
      if (stop?.aborted === true || (errnoOf(error) === 'ENOENT' && existsSync(inputDir))) return undefined;
      throw error;
    }
  });
}
