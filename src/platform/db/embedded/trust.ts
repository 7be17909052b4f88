import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import path from 'node:path';
import { EcompipeError, errnoOf, EXIT } from '../../errors.js';
import { printableLine } from '../../printable.js';

/** As many links in a path as Linux follows. */
const MAX_LINKS = 40;

interface PathStep {
  readonly path: string;
  readonly stats: Stats;
}

/**
 * Makes sure that nobody but us (and root) decides what the files of an embedded cluster are, before the first of them is
 * opened: whoever owns the directory, or the one that it is in, can put links and files of their own there, which we would
 * write to, hand to the server's account, or believe. As git does with repositories (`safe.directory`).
 *
 * For root, which may write anything anywhere, this is asked of every directory and link on the way there; for others of
 * the directory, the one that it is in, and links. What does not exist yet is not asked about: we are about to create it.
 *
 * @param target the directory, or what leads to it.
 * @throws EcompipeError (77)
 */
export async function assertOurs(target: string): Promise<void> {
  const us = process.getuid?.();
  if (us === undefined) return;
  const { steps, exists } = await stepsTo(path.resolve(target));
  const last = steps.at(-1);
  const nearest = steps.length - (exists ? 2 : 1);
  for (const [index, { path: place, stats }] of steps.entries()) {
    if (us !== 0 && index < nearest && !stats.isSymbolicLink()) continue;
    if (stats.uid !== us && stats.uid !== 0) throw notOurs(target, place, `it belongs to the user id ${stats.uid}`, us);
  }
  if (exists && last?.stats.isDirectory() === true && (last.stats.mode & 0o002) !== 0)
    throw notOurs(target, last.path, 'everybody may write to it', us);
}

/** The directories and links that the system passes through on the way to a path, as far as they exist. */
async function stepsTo(target: string): Promise<{ steps: readonly PathStep[]; exists: boolean }> {
  const { root } = path.parse(target);
  const names = target.slice(root.length).split(path.sep);
  const steps: PathStep[] = [{ path: root, stats: await lstat(root) }];
  let at = root;
  for (let links = 0; names.length > 0;) {
    const next = path.join(at, names.shift() ?? '');
    if (next === at) continue;
    const stats = await lstat(next).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (stats === undefined) return { steps, exists: false };
    steps.push({ path: next, stats });
    if (!stats.isSymbolicLink()) at = next;
    else if (++links > MAX_LINKS) return { steps, exists: false };
    else {
      const link = await readlink(next);
      if (path.isAbsolute(link)) at = root;
      names.unshift(...link.split(path.sep).filter((name) => name !== ''));
    }
  }
  return { steps, exists: true };
}

function notOurs(target: string, place: string, why: string, us: number): EcompipeError {
  const shown = printableLine(place);
  return new EcompipeError(EXIT.permission, {
    what: `the embedded database in ${printableLine(target)} is not used`,
    why: `${shown}: ${why}, and this is ${us === 0 ? 'root' : `the user id ${us}`}: anyone who can change what is there could make ecompipe read or overwrite files`,
    outcome: 'nothing in it was touched',
    hint: 'run the command as the user who owns the directory, or set ECOMPIPE_EMBEDDED_DIR to a directory of your own (not below one of somebody else), or DATABASE_URL',
  });
}
