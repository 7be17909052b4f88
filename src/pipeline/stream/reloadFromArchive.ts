import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { isWantedName } from '../../contract/feeds/findFeed.js';
import type { Connection } from '../../platform/db/client.js';
import { EventLoopYielder } from '../../platform/eventLoopYielder.js';
import { errnoOf, InterruptedError, withFileErrors } from '../../platform/errors.js';
import { dayFolders, dayOf } from '../../platform/files/dayFolders.js';
import { moveIntoDirectory } from '../../platform/files/publish.js';
import type { StreamSettings } from './streamEvents.js';

/** The clocks of the server and of this machine may differ, and a file is archived after its commit. */
const CLOCK_SLACK_MS = 24 * 3_600_000;
const FILES_AT_ONCE = 500;

interface ArchivedFile {
  readonly name: string;
  readonly path: string;
  readonly archivedAt: Date;
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
    for (const folder of [archiveDir, ...folders]) {
      for (const name of await namesIn(folder)) {
        if (yielder.shouldYield) await yielder.yield();
        const file = path.join(folder, name);
        const stats = await lstat(file);
        if (stats.isFile() && stats.ctime >= since) found.push({ name, path: file, archivedAt: stats.ctime });
      }
    }
  });
  return found;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** When the newest batch that the ledger has was committed; null where it has none. */
export async function readLastCommit({ client }: Connection): Promise<Date | null> {
  const { rows } = await client.query<{ at: Date | null }>('select max(committed_at) as at from ecompipe.batches');
  return rows[0]?.at ?? null;
}

/**
 * Puts archived files back whose content the ledger does not have, or not whole: what a restored database has lost. They
 * are then loaded as any other file, so exactly once, whenever this is killed. What was taken out by `undo` stays away.
 * @returns how many files were put back.
 */
export async function reloadFromArchive(
  connection: Connection,
  { archiveDir, inputDir, feeds }: Pick<StreamSettings, 'archiveDir' | 'inputDir' | 'feeds'>,
  stop: AbortSignal,
): Promise<number> {
  // All of them: somebody else may have loaded into the restored database for days, so its newest batch says nothing.
  const candidates = (await findArchivedSince(archiveDir, null)).filter(({ name }) => isWantedName(name, feeds ?? []));
  let returned = 0;
  for (let start = 0; start < candidates.length; start += FILES_AT_ONCE) {
    const files: ArchivedFileHash[] = [];
    for (const file of candidates.slice(start, start + FILES_AT_ONCE)) {
      if (stop.aborted)
        throw new InterruptedError({
          what: 'the search of the archive was interrupted',
          outcome: `${returned} files are back in ${inputDir}`,
          hint: 'run it again to go on',
        });
      files.push({ ...file, sha256: await hashOf(file.path) });
    }
    const known = await findWhole(connection, files);
    for (const file of files) {
      if (known.has(file.path)) continue;
      await withFileErrors('put back', file.path, () => moveIntoDirectory(file.path, inputDir, file.name));
      returned += 1;
    }
  }
  return returned;
}

/**
 * Paths of those whose content is loaded to its end, was pruned since, is in quarantine, or was taken out by a person after
 * the file came into the archive: what was taken out and loaded again since the backup is missing like any other.
 */
async function findWhole({ client }: Connection, files: readonly ArchivedFileHash[]): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ path: string }>(
    `select a.path
     from unnest ($1::text[], $2::bytea[], $3::timestamptz[]) as a (path, sha256, archived_at)
     where exists (select from ecompipe.files f where f.sha256 = a.sha256 and f.state <> 'loading')
        or exists (select from ecompipe.undone_files u where u.sha256 = a.sha256 and u.undone_at >= a.archived_at)
           and not exists (select from ecompipe.files f where f.sha256 = a.sha256)`,
    [files.map((file) => file.path), files.map(({ sha256 }) => sha256), files.map(({ archivedAt }) => archivedAt)],
  );
  return new Set(rows.map((row) => row.path));
}

async function hashOf(file: string): Promise<Buffer> {
  return await withFileErrors('read', file, async () => {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    return hash.digest();
  });
}
