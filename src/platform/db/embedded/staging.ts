import { constants } from 'node:fs';
import { chmod, cp, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { errnoOf } from '../../errors.js';
import type { Logger } from '../../log.js';
import { canReach, type ServerAccount } from './account.js';
import { findServerFiles, repairServerFiles, type ServerFiles } from './binaries.js';

/**
 * The server files, usable by the account: the installed ones where that is possible, else a copy below `place`, made
 * once. A copy is needed when the package directory is read-only and lacks its links, or closed to the account.
 */
export async function usableServerFiles(
  place: string,
  account: ServerAccount | undefined,
  log: Logger,
  found?: ServerFiles,
): Promise<ServerFiles> {
  const installed = found ?? (await findServerFiles());
  if ((await canReach(path.join(installed.root, 'bin'), account)) && (await repairServerFiles(installed)))
    return installed;
  const root = path.join(place, `server-${installed.version}`);
  if ((await stat(root).catch(() => undefined)) === undefined) {
    log.info('server_files_copied', `the server can't use the files in ${installed.root}: copying them to ${root}`, {
      from: installed.root,
      to: root,
    });
    await stage(installed, root, account);
  }
  return { ...installed, root };
}

/**
 * Runs `use` with server files whose path initdb can stand: it puts that path between double quotes into a shell command
 * (src/bin/initdb/initdb.c), so the characters that mean something there need a copy elsewhere.
 */
export async function withShellSafeFiles<T>(
  files: ServerFiles,
  account: ServerAccount | undefined,
  use: (files: ServerFiles) => Promise<T>,
): Promise<T> {
  if (!/["$`\\\n]/.test(files.root)) return use(files);
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'ecompipe-initdb-'));
  try {
    await chmod(scratch, account === undefined ? 0o700 : 0o711);
    const root = path.join(scratch, 'server');
    await stage(files, root, account);
    return await use({ ...files, root });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Copies what the server needs at run time, complete or not at all. */
async function stage(files: ServerFiles, root: string, account: ServerAccount | undefined): Promise<void> {
  const temporary = await mkdtemp(path.join(path.dirname(root), '.server-'));
  try {
    await cp(files.root, temporary, {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
      filter: (source) => !isBuildFile(source),
    });
    await chmod(temporary, account === undefined ? 0o700 : 0o755);
    await repairServerFiles({ ...files, root: temporary });
    await rename(temporary, root).catch((error: unknown) => {
      // Another command was faster; its copy is as good.
      if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

function isBuildFile(source: string): boolean {
  return source.endsWith('.a') || path.basename(source) === 'pkgconfig';
}
