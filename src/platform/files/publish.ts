import { randomInt } from 'node:crypto';
import { closeSync, constants, linkSync, lstatSync, openSync, renameSync, statSync, unlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, FileError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { compareContent, copyDurably, isRewritten, isUnchanged, type Conversion } from './copy.js';
import { FILE_MODE } from './directories.js';
import { compareDelivered } from './gzipCopy.js';
import { temporaryPath } from './temporary.js';

export { temporaryPath, TEMPORARY_SUFFIX } from './temporary.js';

/** Forces a directory's entries to disk (fsync), so that a rename in it survives a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems can't fsync a directory (EINVAL); they order renames by themselves.
    if (errnoOf(error) !== 'EINVAL') throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Moves a regular file to a new name without ever overwriting one, within one file system or across two.
 *
 * Within one: link(2) then unlink(2); link fails when the name is taken, which rename(2) would overwrite. Killed between
 * the two, the file has both names, and the next call finds that they are one file and finishes. Across two, and for
 * files of another owner that may not be linked: copy to a hidden name, fsync, publish that, fsync the directory, then unlink the source; killed anywhere, the source is still
 * there, and the next call finds the published copy by its bytes and only unlinks. So nothing is doubled unless a
 * reader took the published file away in between; the loader knows such a redelivery by its SHA-256.
 *
 * The calls that change names are synchronous: they take microseconds, and the thread pool would cost four times that
 * (measured: 46,000 files/s against 12,000). Whoever moves many yields to the event loop now and then.
 *
 * @param signal ends a copy across file systems; nothing is changed then.
 * @param seen what the caller has just found under the name, if it has looked.
 * @returns false when `target` is taken by another file; nothing was changed then.
 * @throws ENOENT when the source is gone, also when another process finished the same move first.
 */
export async function moveWithoutOverwrite(
  source: string,
  target: string,
  signal?: AbortSignal,
  seen?: BigIntStats,
): Promise<boolean> {
  for (let round = 0; ; round++) {
    assertProgress(round, source, target);
    const moving = (round === 0 ? seen : undefined) ?? lstatSync(source, { bigint: true });
    try {
      linkSync(source, target);
    } catch (error) {
      switch (errnoOf(error)) {
        case 'EEXIST': {
          const existing = lookAt(target);
          // Its reader took it away between our two calls: the name is free now.
          if (existing === undefined) continue;
          // Linux finds that the name is taken before it finds that link can't reach the other file system.
          if (existing.dev !== moving.dev) return await moveAcross(source, target, signal);
          if (!isSameFile(moving, existing)) return false;
          assertTwoNames(source, target);
          break;
        }
        case 'EXDEV':
          return await moveAcross(source, target, signal);
        default:
          // A file of another owner, which Linux does not let us link (fs.protected_hardlinks): a copy is our own.
          if (cannotLink(error)) return await moveAcross(source, target, signal);
          throw error;
      }
    }
    failpoint('move-linked');
    unlinkIfSame(source, moving);
    return true;
  }
}

/** So often other processes may come between a look at a name and what is done about it. */
const MAX_ROUNDS = 100;

/** A file system that answers one call so and the next one otherwise must not keep us for ever. */
function assertProgress(round: number, source: string, target: string): void {
  if (round < MAX_ROUNDS) return;
  throw new FileError(source, 'EBUSY', {
    what: `cannot move ${source} to ${target}`,
    why: `another process changed one of the two at each of ${MAX_ROUNDS} attempts, or the file system gives inconsistent answers`,
    outcome: 'it was left in place',
  });
}

async function moveAcross(
  source: string,
  target: string,
  signal: AbortSignal | undefined,
  convert?: Conversion,
): Promise<boolean> {
  for (let round = 0; ; round++) {
    assertProgress(round, source, target);
    const published = lstatSync(source, { bigint: true });
    switch (await (convert === undefined ? compareContent : compareDelivered)(source, target)) {
      case 'different':
        return false;
      case 'identical':
        if (isSameFile(published, lstatSync(target, { bigint: true }))) assertTwoNames(source, target);
        if (await finishAcross(source, published, target)) return true;
        continue;
      case 'absent':
        break;
    }
    const temporary = temporaryPath(target);
    try {
      const copied = await copyDurably(source, temporary, signal, convert);
      failpoint('move-copied');
      // Another mover may have finished while we copied: throws ENOENT instead of delivering it twice.
      lstatSync(source);
      if (publishNew(temporary, target)) {
        failpoint('move-published');
        if (await finishAcross(source, copied, target)) return true;
      }
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/**
 * The copy must be on disk under its name before the source goes, or a power cut could take both.
 * @returns false when only the source's ctime is another: mostly the unlink of another mover that is under way, as a
 * look at a name can still find the inode that unlink(2) has just stamped. Whoever unlinks has moved it, so look again.
 */
async function finishAcross(source: string, copied: BigIntStats, target: string): Promise<boolean> {
  await syncDirectory(path.dirname(target));
  const now = lstatSync(source, { bigint: true });
  if (isUnchanged(copied, now)) unlinkSync(source);
  else if (!isRewritten(copied, now)) return false;
  // Written to, or replaced by its producer: that content stays for the next move.
  return true;
}

/**
 * Unlinks the name unless a producer has put another file there since we looked: that one stays for the next move.
 * Nothing between look and unlink but the two system calls; POSIX has no single one that does both.
 */
function unlinkIfSame(source: string, moved: BigIntStats): void {
  if (isSameFile(lstatSync(source, { bigint: true }), moved)) unlinkSync(source);
}

function cannotLink(error: unknown): boolean {
  return ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '');
}

/**
 * A file that is found under both names was left so by a mover that was killed between link and unlink, unless both are
 * one entry of one directory: unlinking that would take the only name away.
 */
function assertTwoNames(source: string, target: string): void {
  const [from, to] = [source, target].map((file) => statSync(path.dirname(file), { bigint: true }));
  if (from === undefined || to === undefined || !isSameFile(from, to)) return;
  if (path.basename(source) !== path.basename(target)) return;
  throw new FileError(source, 'EINVAL', {
    what: `cannot move ${source} to ${target}`,
    why: 'both are the same file in the same directory',
    outcome: 'it was left in place',
    hint: 'a link or a mount gives one directory two names: use two directories',
  });
}

/**
 * Gives a file of our own its final name, without overwriting. A file system without hard links gets an empty file that
 * claims the name (O_EXCL) first: whoever else publishes by link or O_EXCL finds it taken.
 * @returns false when the name is taken.
 */
export function publishNew(temporary: string, target: string): boolean {
  try {
    linkSync(temporary, target);
    failpoint('move-linked');
    unlinkSync(temporary);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    if (!cannotLink(error)) throw error;
  }
  try {
    closeSync(openSync(target, 'wx', FILE_MODE));
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
  renameSync(temporary, target);
  return true;
}

function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

function lookAt(file: string): BigIntStats | undefined {
  return lstatSync(file, { bigint: true, throwIfNoEntry: false });
}

/** Moves to the first name that is free: `a.csv`, `a.1.csv`, …. @returns that name. @param move false: it is taken. */
async function underFreeName(
  directory: string,
  name: string,
  move: (target: string) => Promise<boolean>,
): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const candidate = attempt === 0 ? name : numberedName(name, numberOfAttempt(attempt));
    if (await move(path.join(directory, candidate))) return candidate;
  }
}

/**
 * As {@link moveIntoDirectory}, but the file becomes its compressed copy, or a compressed copy the file that it was made of.
 * The steps are those of a move across file systems.
 * @param name what it is called there, with the ending that says what it is then.
 */
export async function moveConverted(
  source: string,
  directory: string,
  name: string,
  convert: Conversion,
  signal?: AbortSignal,
): Promise<string> {
  return await underFreeName(directory, name, (target) => moveAcross(source, target, signal, convert));
}

/**
 * As {@link moveWithoutOverwrite} into a directory, or a subdirectory that `name` begins with and that is there, but finds a free name when `name` is taken: `a.csv`, `a.1.csv`, ….
 * @returns the name the file has now.
 */
export async function moveIntoDirectory(
  source: string,
  directory: string,
  name = path.basename(source),
  signal?: AbortSignal,
  seen?: BigIntStats,
): Promise<string> {
  return await underFreeName(directory, name, (target) => moveWithoutOverwrite(source, target, signal, seen));
}

/** 1, 2, … 16, then random ones: a producer that always uses one name must not cost n tries for its n-th file. */
function numberOfAttempt(attempt: number): number {
  return attempt <= 16 ? attempt : randomInt(17, 2 ** Math.min(attempt, 47));
}

/** `shop/orders.csv.gz`, 2 → `shop/orders.2.csv.gz`: the ending that says what the file is stays last. */
export function numberedName(pathname: string, number: number): string {
  const start = pathname.lastIndexOf('/') + 1;
  const name = pathname.slice(start);
  const ending = /(\.csv(\.gz)?|\.[^.]+)$/i.exec(name)?.[0] ?? '';
  const numbered = `.${number}${ending}`;
  let stem = name.slice(0, name.length - ending.length);
  // File systems allow 255 bytes: shorten by whole characters, as half of one would be invalid UTF-8.
  while (Buffer.byteLength(stem + numbered) > 255 && stem !== '') stem = Array.from(stem).slice(0, -1).join('');
  return `${pathname.slice(0, start)}${stem}${numbered}`;
}
