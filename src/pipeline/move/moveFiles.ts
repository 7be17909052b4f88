import { lstatSync } from 'node:fs';
import path from 'node:path';
import { moveIntoDirectory } from '../../platform/files/publish.js';
import { EventLoopYielder } from '../../platform/wait.js';
import { asFileError, EcompipeError, errnoOf, FileError } from '../../platform/errors.js';
import { failpoint } from '../../platform/failpoint.js';
import type { StageContext } from '../../platform/stage.js';
import type { MoveEvent, MoveSettings } from './moveEvents.js';
import type { Failures } from '../../platform/files/failures.js';
import { printableLine } from '../../platform/printable.js';
import type { Subfolders } from '../../platform/files/subfolders.js';

/** Files in flight. Within one file system moves are synchronous; across two it keeps small copies going beside a large one. */
const CONCURRENT_MOVES = 4;

export interface Moved {
  files: number;
  bytes: number;
}

/** Moves the named files; one that fails is recorded and reported, and the others go on. Ends early when stopped. */
export async function moveFiles(
  names: readonly string[],
  settings: MoveSettings,
  context: StageContext<MoveEvent>,
  failures: Failures,
  folders: Subfolders,
): Promise<Moved> {
  const moved: Moved = { files: 0, bytes: 0 };
  const yielder = new EventLoopYielder();
  const queue = names.values();
  const isStopped = (): boolean => context.stop.aborted;
  const mover = async (): Promise<void> => {
    for (const name of queue) {
      if (yielder.shouldYield) await yielder.yield();
      if (isStopped()) return;
      try {
        const done = await moveFile(name, settings, folders, context.stop);
        failures.forget(name);
        if (done === undefined) continue;
        moved.files += 1;
        moved.bytes += done.bytes;
        context.emit({ type: 'fileMoved', name, ...done });
      } catch (error) {
        if (isStopped()) return;
        const explained = asFileError(error, 'move', path.join(settings.from, name));
        if (!(explained instanceof EcompipeError)) throw explained;
        const { attempt, retryInMs } = failures.record(name, explained, performance.now());
        context.emit({
          type: 'fileFailed',
          name,
          error: explained,
          attempt,
          retryInMs: context.drain.aborted ? undefined : retryInMs,
        });
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: CONCURRENT_MOVES }, mover));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return moved;
}

/** @returns undefined when the file is gone: withdrawn by its producer, or moved by another mover. */
async function moveFile(
  name: string,
  settings: MoveSettings,
  folders: Subfolders,
  stop: AbortSignal,
): Promise<{ target: string; bytes: number } | undefined> {
  const source = path.join(settings.from, name);
  for (let isRepeated = false; ; isRepeated = true) {
    const stats = lstatSync(source, { throwIfNoEntry: false });
    if (stats === undefined) {
      // A name in another encoding can't be written back in UTF-8, so the file that was listed is never found.
      if (!name.includes('\uFFFD')) return undefined;
      throw new FileError(source, 'EILSEQ', {
        what: `cannot move ${printableLine(source)}`,
        why: 'its name is not valid UTF-8',
        hint: 'rename it',
      });
    }
    // Something else took its place since the listing; the next listing shows what it is.
    if (!stats.isFile()) return undefined;
    try {
      if (name.includes('/')) await folders.makeFor(name);
      failpoint('before-move');
      const target = await moveIntoDirectory(source, settings.to, name, stop);
      failpoint('after-move');
      return { target, bytes: stats.size };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || isRepeated) throw error;
      // ENOENT speaks of the source (then the next round says so) or of a target directory that was removed.
      folders.forget();
      await folders.makeFor(name);
    }
  }
}
