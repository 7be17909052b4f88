import { constants, readdirSync } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Feed } from '../../contract/feeds/feed.js';
import { isWantedName } from '../../contract/feeds/findFeed.js';
import { FileError, withFileErrors } from '../../platform/errors.js';
import { printableLine } from '../../platform/printable.js';

/** Whether a file of this name is loaded. */
export function isLoadable(name: string, feeds: readonly Feed[] = []): boolean {
  return isWantedName(name, feeds);
}

/** The files in a directory that can be loaded, by name. Links, FIFOs, directories and hidden names are none. */
export async function listLoadable(directory: string, feeds: readonly Feed[] = []): Promise<string[]> {
  const entries = await withFileErrors('list', directory, () => readdir(directory, { withFileTypes: true }));
  return entries
    .filter((entry) => entry.isFile() && isLoadable(entry.name, feeds))
    .map((entry) => entry.name)
    .sort();
}

/**
 * Why a file that is listed is not found: its name is not UTF-8, so what we call it by is not its name. Whatever else is
 * done about it, it would be listed again at once, for ever.
 */
export function nameError(directory: string, name: string): FileError | undefined {
  if (!name.includes('\uFFFD')) return undefined;
  const bytes = readdirSync(directory, { encoding: 'buffer' }).find(
    (entry) => entry.toString() === name && !entry.equals(Buffer.from(name)),
  );
  if (bytes === undefined) return undefined;
  const file = path.join(directory, escapeBytes(bytes));
  return new FileError(file, 'EILSEQ', {
    what: `cannot load ${printableLine(file)}`,
    why: 'its name is not valid UTF-8',
    outcome: 'it is where it was',
    hint: 'rename it, such as by convmv(1)',
  });
}

/** A name in another encoding, with its bytes above ASCII as `\xe9`. */
function escapeBytes(name: Buffer): string {
  return [...name].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join('');
}

/** @throws FileError when the directory can't be read (or written, if files leave it). */
export async function assertUsable(directory: string, mustWrite: boolean): Promise<void> {
  await withFileErrors('use the directory', directory, async () => {
    if (!(await stat(directory)).isDirectory())
      throw new FileError(directory, 'ENOTDIR', {
        what: `cannot load from ${directory}`,
        why: 'it is not a directory',
        hint: 'name a directory',
      });
    await access(directory, constants.R_OK | constants.X_OK | (mustWrite ? constants.W_OK : 0));
  });
}
