import { isSameContent } from '../../contract/content.js';
import { existsSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
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
import { quarantinedIdentities } from './content.js';
import { isReasonName, reasonName } from './fileDisposer.js';
import type { StreamSettings } from './streamEvents.js';
import { countOf } from '../../platform/format.js';
import { nullable, queryRow, queryRows, text, timestamp } from '../../platform/db/decodeRows.js';

/** The clocks of the server and of this machine may differ, and a file is archived after its commit. */
const CLOCK_SLACK_MS = 24 * 3_600_000;
const FILES_AT_ONCE = 500;
const GZIP_ENDING = '.gz'.length;

/** A file in archive/ or quarantine/. */
interface DisposedFile {
  /** What it was called when it was loaded, or refused. */
  readonly name: string;
  readonly path: string;
  readonly disposedAt: Date;
  /** A compressed copy (`--archive-gzip`). */
  readonly isCopy: boolean;
  /** The path of what says why it was refused. */
  readonly reason?: string;
}

interface IdentifiedFile extends DisposedFile {
  /** What the ledger may know it by. */
  readonly sha256s: readonly Buffer[];
}

/** A directory that files came into after the ledger knew of them, and how to look at it. */
interface Place {
  readonly directory: string;
  readonly look: Look;
  readonly identify: (file: string, stop: AbortSignal) => Promise<readonly Buffer[]>;
}

/** @returns undefined where there is no such file, no longer, or none that came into the directory since. */
type Look = (file: string, name: string, since: Date) => Promise<DisposedFile | undefined>;

type ReloadSettings = Pick<
  StreamSettings,
  'afterLoad' | 'archiveDir' | 'quarantineDir' | 'inputDir' | keyof FileSelection
>;

/**
 * Files that may have been loaded after the ledger's last commit: those that were archived since, by the day of their
 * folder and the moment at which they came into it.
 */
export async function findArchivedSince(archiveDir: string, lastCommit: Date | null): Promise<DisposedFile[]> {
  return await findSince(archiveDir, lookAtArchived, lastCommit);
}

/** Files that may have been refused after the ledger's last commit. */
export async function findQuarantinedSince(quarantineDir: string, lastCommit: Date | null): Promise<DisposedFile[]> {
  return await findSince(quarantineDir, lookAtQuarantined, lastCommit);
}

async function findSince(directory: string, look: Look, lastCommit: Date | null): Promise<DisposedFile[]> {
  const since = lastCommit === null ? new Date(0) : new Date(lastCommit.getTime() - CLOCK_SLACK_MS);
  const found: DisposedFile[] = [];
  const yielder = new EventLoopYielder();
  await withFileErrors('read', directory, async () => {
    const folders = dayFolders(directory).filter((folder) => path.basename(folder) >= dayOf(since));
    // Subdirectories are below the days: what else is in the directory is somebody else's.
    for (const folder of [directory, ...folders]) {
      for (const name of await namesIn(folder, folder !== directory)) {
        if (yielder.shouldYield) await yielder.yield();
        const file = await look(path.join(folder, name), name, since);
        if (file !== undefined) found.push(file);
      }
    }
  });
  // One that was compressed after it was listed may be listed as the copy, too.
  return [...new Map(found.map((file) => [file.path, file])).values()];
}

/** A file that came into the archive since then, or what it was compressed into; undefined: somebody has taken it away. */
async function lookAtArchived(file: string, name: string, since: Date): Promise<DisposedFile | undefined> {
  try {
    const stats = await lstat(file);
    if (!stats.isFile() || stats.ctime < since) return undefined;
    const copied = await readCopyStart(file);
    return copied === undefined
      ? { name, path: file, disposedAt: stats.ctime, isCopy: false }
      : { name: name.slice(0, -GZIP_ENDING), path: file, disposedAt: new Date(copied.changedAtMs), isCopy: true };
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return isGzipName(name) ? undefined : await lookAtArchived(copyName(file), copyName(name), since);
  }
}

/** A file that was refused since then, as it was delivered; the reason beside it is not one. */
async function lookAtQuarantined(file: string, name: string, since: Date): Promise<DisposedFile | undefined> {
  if (isReasonName(name)) return undefined;
  const stats = await lstat(file).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return undefined;
  });
  return stats?.isFile() === true && stats.ctime >= since
    ? { name, path: file, disposedAt: stats.ctime, isCopy: false, reason: reasonName(file) }
    : undefined;
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

/** How many files of a directory were put back. */
export interface ReturnedFiles {
  readonly directory: string;
  readonly files: number;
}

/**
 * Puts archived and quarantined files back whose content the ledger does not have, or not whole: what a restored database
 * has lost. They are then loaded, or refused, as any other file, so exactly once, whenever this is killed. What was taken
 * out by `undo` stays away. Loaded files that are not archived are somebody else's to bring back.
 */
export async function reloadFromArchive(
  connection: Connection,
  settings: ReloadSettings,
  stop: AbortSignal,
): Promise<ReturnedFiles[]> {
  const { afterLoad, archiveDir, quarantineDir, inputDir } = settings;
  await withFileErrors('clean up', inputDir, () => removeStaleTemporaries(inputDir, true));
  const quarantine = { directory: quarantineDir, look: lookAtQuarantined, identify: quarantinedIdentities };
  const archive = { directory: archiveDir, look: lookAtArchived, identify: archivedIdentity };
  const returned: ReturnedFiles[] = [];
  let total = 0;
  for (const place of afterLoad === 'archive' ? [archive, quarantine] : [quarantine]) {
    const before = total;
    for (let hasVanished = true; hasVanished;) {
      const pass = await putBackMissing(connection, settings, place, total, stop);
      total += pass.returned;
      ({ hasVanished } = pass);
    }
    returned.push({ directory: place.directory, files: total - before });
  }
  return returned;
}

async function archivedIdentity(file: string, stop: AbortSignal): Promise<readonly Buffer[]> {
  return [await hashDelivered(file, stop)];
}

/**
 * One look at a directory. @param before files that were put back before.
 * @returns how many were now; and whether files left while they were looked at: other streams put files back, load and
 *   archive them again, or compress them.
 */
async function putBackMissing(
  connection: Connection,
  settings: ReloadSettings,
  { directory, look, identify }: Place,
  before: number,
  stop: AbortSignal,
): Promise<{ returned: number; hasVanished: boolean }> {
  // All of them: somebody else may have loaded into the restored database for days, so its newest batch says nothing.
  const { inputDir } = settings;
  const candidates = (await findSince(directory, look, null)).filter(({ name }) =>
    isSelected(name, { ...settings, recursive: true }),
  );
  const folders = new Subfolders(inputDir);
  const result = { returned: 0, hasVanished: false };
  for (let start = 0; start < candidates.length; start += FILES_AT_ONCE) {
    const files: IdentifiedFile[] = [];
    for (const file of candidates.slice(start, start + FILES_AT_ONCE)) {
      const sha256s = await unlessVanished('read', file, inputDir, () => identify(file.path, stop), stop);
      if (stop.aborted)
        throw new InterruptedError({
          what: `the search of ${directory} was interrupted`,
          outcome: `${countOf(before + result.returned, 'file is', 'files are')} back in ${inputDir}`,
          hint: 'run it again to continue',
        });
      if (sha256s === undefined) result.hasVanished = true;
      else files.push({ ...file, sha256s });
    }
    const known = await findWhole(connection, files);
    for (const file of files) {
      if (known.has(file.path)) continue;
      assertReachable(file, settings);
      const isBack = await unlessVanished('put back', file, inputDir, () => putBack(file, inputDir, folders));
      if (isBack === undefined) result.hasVanished = true;
      else result.returned += 1;
    }
  }
  return result;
}

async function putBack(file: DisposedFile, inputDir: string, folders: Subfolders): Promise<true> {
  if (file.name.includes('/')) await folders.makeFor(file.name);
  if (file.isCopy) await moveConverted(file.path, inputDir, file.name, decompress);
  else await moveIntoDirectory(file.path, inputDir, file.name);
  // Whoever refuses it again writes another one.
  if (file.reason !== undefined) await rm(file.reason, { force: true });
  return true;
}

/** @throws UsageError when a file would be put back where this stream does not look. */
function assertReachable({ name, path: file }: DisposedFile, { recursive = false }: FileSelection): void {
  if (recursive || !name.includes('/')) return;
  throw new UsageError(
    [`${printableLine(file)} is to be loaded again, and came from a subdirectory, which is not looked into`],
    'give --recursive, too',
  );
}

/**
 * Paths of those whose content is loaded to its end, was pruned since, is in quarantine, or was taken out by a person after
 * the file came into the directory: what was taken out and loaded again since the backup is missing like any other.
 */
async function findWhole({ client }: Connection, files: readonly IdentifiedFile[]): Promise<ReadonlySet<string>> {
  const identities = files.flatMap((file) => file.sha256s.map((sha256) => ({ ...file, sha256 })));
  const rows = await queryRows(
    client,
    { path: text },
    `select a.path
     from unnest ($1::text[], $2::bytea[], $3::timestamptz[]) as a (path, sha256, disposed_at)
     left join ecompipe.files f on ${isSameContent('f.sha256', 'a.sha256')}
     where f.state <> 'loading'
        or f.file_id is null
           and exists (select from ecompipe.undone_files u where u.sha256 = a.sha256 and u.undone_at >= a.disposed_at)`,
    [
      identities.map((file) => file.path),
      identities.map(({ sha256 }) => sha256),
      identities.map(({ disposedAt }) => disposedAt),
    ],
  );
  return new Set(rows.map((row) => row.path));
}

/** @returns undefined where the file is no longer there, or when asked to stop meanwhile. */
async function unlessVanished<T>(
  what: string,
  file: DisposedFile,
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
