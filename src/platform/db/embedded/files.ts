import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf, FileError } from '../../errors.js';
import { printableLine } from '../../printable.js';
import type { ServerAccount } from './account.js';

/** The longest that we write is a few lines. */
const MAX_TEXT_BYTES = 64 * 1024;

/** Files of a cluster are for nobody else to read. */
export const OWNER_ONLY = { mode: 0o600 } as const;

/** A link is not a file of ours, and a FIFO would block its reader for ever. */
const CAREFULLY = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The text of a small file of a cluster. Also where the server's account can write, root reads no file that a link leads to.
 * @throws FileError when it is anything else than a regular file; ENOENT as it is.
 */
export async function readText(file: string): Promise<string> {
  const handle = await openRegular(file, constants.O_RDONLY);
  try {
    const bytes = Buffer.alloc(MAX_TEXT_BYTES);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Opens a file to append to it, and to read it, for an account; it is created when missing. @throws FileError as `readText`. */
export async function openLogFile(file: string, account: ServerAccount | undefined): Promise<FileHandle> {
  const handle = await openRegular(file, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT);
  try {
    // A second name may be in somebody else's hands.
    if ((await handle.stat()).nlink > 1) throw notPlain(file, 'it has another name elsewhere');
    await giveTo(handle, account);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Writes a file that must not exist yet, for nobody but its owner to read. */
export async function writeNew(file: string, text: string, account?: ServerAccount): Promise<void> {
  const handle = await open(file, 'wx', OWNER_ONLY.mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
    await giveTo(handle, account);
  } finally {
    await handle.close();
  }
}

/** Makes a file or directory the account's. By its descriptor: a name could be another's by the time it is changed. */
export async function chownPlain(file: string, owner: Pick<ServerAccount, 'uid' | 'gid'>): Promise<void> {
  const handle = await open(file, constants.O_RDONLY | CAREFULLY);
  try {
    await handle.chown(owner.uid, owner.gid);
  } finally {
    await handle.close();
  }
}

/** Makes an open file the account's. */
export async function giveTo(handle: FileHandle, account: ServerAccount | undefined): Promise<void> {
  if (account !== undefined) await handle.chown(account.uid, account.gid);
}

async function openRegular(file: string, flags: number): Promise<FileHandle> {
  const handle = await open(file, flags | CAREFULLY, OWNER_ONLY.mode).catch((error: unknown) => {
    throw errnoOf(error) === 'ELOOP' ? notPlain(file, 'it is a symbolic link') : error;
  });
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw notPlain(file, 'it is not a regular file');
}

function notPlain(file: string, why: string): FileError {
  return new FileError(file, 'EPERM', {
    what: `cannot use ${printableLine(file)}`,
    why,
    hint: 'ecompipe does not create it: find out who put it there',
  });
}
