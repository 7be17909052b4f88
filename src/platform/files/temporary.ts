import { randomBytes } from 'node:crypto';
import { lstat, readdir, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { errnoOf } from '../errors.js';

/** Ends the names of our temporary files. They also start with a dot, so that no stage takes one for a finished file. */
export const TEMPORARY_SUFFIX = '.ecompipe-tmp';

const HOST = hostname()
  .replace(/[^A-Za-z0-9-]/g, '-')
  .slice(0, 32);
/** Tells this process from an earlier one that had the same pid: in a container it is always the same. */
const PROCESS_TOKEN = randomBytes(4).toString('hex');
const OWNER = /\.([A-Za-z0-9-]*)\.(\d+)-([0-9a-f]{8})-[0-9a-f]+\.ecompipe-tmp$/;
/** Whether a process of another machine or container still lives can't be asked; a day without a write says no. */
const FOREIGN_AGE_MS = 24 * 60 * 60 * 1000;

/**
 * A hidden name in the same directory under which a file is written before it is published as `target`; a new one at
 * every call, that nobody can foresee: where others may write, they can't have put a link there. To be opened with O_EXCL all
 * the same. It says whose it is, so that {@link removeStaleTemporaries} can clean up after a killed process.
 */
export function temporaryPath(target: string): string {
  // Cut, because a name near the limit of 255 bytes would become too long.
  const stem = path.basename(target).slice(0, 40);
  const owner = `${HOST}.${process.pid}-${PROCESS_TOKEN}-${randomBytes(8).toString('hex')}`;
  return path.join(path.dirname(target), `.${stem}.${owner}${TEMPORARY_SUFFIX}`);
}

/**
 * Removes the temporary files that killed processes left in `directory`, and in its subdirectories if so wished. One that lives keeps its own; should it lose
 * one all the same (another machine, stalled for a day), its publishing fails, its source stays, and it tries again.
 *
 * @returns the names that were removed.
 */
export async function removeStaleTemporaries(directory: string, recursive = false): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const { name } = entry;
    if (recursive && entry.isDirectory() && !name.startsWith('.')) {
      const below = await removeStaleTemporaries(path.join(directory, name), true).catch(ignoreForbidden);
      removed.push(...below.map((each) => path.join(name, each)));
    }
    const owner = name.startsWith('.') ? OWNER.exec(name) : null;
    if (owner === null) continue;
    try {
      if (!(await isStale(path.join(directory, name), owner))) continue;
      await unlink(path.join(directory, name));
      removed.push(name);
    } catch (error) {
      // Another process cleans up at the same time, or the file is another user's: then it is theirs to remove.
      if (!['ENOENT', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  return removed;
}

/** A subdirectory that went away, or is not for us to read, has nothing for us to remove. */
function ignoreForbidden(error: unknown): readonly string[] {
  if (!['ENOENT', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) throw error;
  return [];
}

async function isStale(file: string, owner: RegExpExecArray): Promise<boolean> {
  const [, host, pid, token] = owner;
  const stats = await lstat(file);
  if (!stats.isFile()) return false;
  if (host !== HOST) return Date.now() - stats.mtimeMs > FOREIGN_AGE_MS;
  return Number(pid) === process.pid ? token !== PROCESS_TOKEN : !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}
