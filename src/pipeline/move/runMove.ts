import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { DirectoryWatch } from '../../platform/files/directoryWatch.js';
import {
  asFileError,
  EcompipeError,
  EXIT,
  firstReasons,
  errnoOf,
  FileError,
  withFileErrors,
} from '../../platform/errors.js';
import type { StageContext } from '../../platform/stage.js';
import { WakeSignal, pause } from '../../platform/wait.js';
import { Candidates, type InputScan } from './candidates.js';
import type { MoveEvent, MoveResult, MoveSettings } from './moveEvents.js';
import { Failures } from '../../platform/files/failures.js';
import { Subfolders } from '../../platform/files/subfolders.js';
import { countOf } from '../../platform/format.js';
import { moveFiles } from './moveFiles.js';
import { makeDirectory } from '../../platform/files/ensureDirectory.js';
import { removeStaleTemporaries } from '../../platform/files/temporary.js';
import { listFiles, type ListOptions } from '../../contract/listFiles.js';
import { assertDistinctDirectories } from '../../platform/files/distinctDirectories.js';

/** How many settling times a draining mover waits for files that keep changing before it leaves them to the next run. */
const DRAIN_PATIENCE = 10;

/** A draining mover could not move some files; each is still in `from`. Exit 77 when permissions are all it takes, else 74. */
export class FilesNotMovedError extends EcompipeError {
  override readonly name = 'FilesNotMovedError';
  constructor(
    readonly failures: readonly { readonly name: string; readonly error: EcompipeError }[],
    readonly result: MoveResult,
  ) {
    super(failures.every(({ error }) => error.exitCode === EXIT.permission) ? EXIT.permission : EXIT.io, {
      what: `${countOf(failures.length, 'file')} could not be moved`,
      why: firstReasons(failures),
      outcome: `${failures.length === 1 ? 'it is where it was' : 'they are where they were'}; ${countOf(result.filesMoved, 'other was', 'others were')} moved`,
      cause: failures[0]?.error,
    });
  }
}

/**
 * Publishes finished files from one directory to another until stopped, or until what `from` holds is moved when
 * draining. A file is moved whole or not at all, never over another one, and can be killed at any moment.
 *
 * @throws FileError when a directory can't be used at the start, or `from` can't be listed while draining.
 * @throws FilesNotMovedError at the end of a drain that had to leave files.
 */
export async function runMove(settings: MoveSettings, context: StageContext<MoveEvent>): Promise<MoveResult> {
  for (const name of await prepareDirectories(settings)) context.emit({ type: 'temporaryRemoved', name });
  return await new Mover(settings, context).run();
}

/** One loop, so one pass at a time: look, move what is ready, wait for a notice, a due time or the poll interval. */
class Mover {
  private readonly wake = new WakeSignal();
  private readonly failures = new Failures();
  private readonly candidates: Candidates;
  private readonly folders: Subfolders;
  private readonly moved = { files: 0, bytes: 0 };
  private drainStartMs: number | undefined;
  private isMissing = false;
  private isBacklogFull = false;

  constructor(
    private readonly settings: MoveSettings,
    private readonly context: StageContext<MoveEvent>,
  ) {
    this.candidates = new Candidates(settings, this.failures, context.emit);
    this.folders = new Subfolders(settings.to);
  }

  async run(): Promise<MoveResult> {
    const { from, to, maxBacklog } = this.settings;
    const watches = [from, ...(maxBacklog === undefined ? [] : [to])].map(
      (directory) => new DirectoryWatch(directory, this.wake.notify),
    );
    try {
      while (!this.context.stop.aborted) {
        for (const watch of watches) watch.renew();
        const startMs = performance.now();
        const scan = await this.scan();
        watches[0]?.watchSubdirectories(scan.subdirectories);
        const filesBefore = this.moved.files;
        const movedAll = await this.moveReady(scan.ready);
        const settling = this.isPatient() ? scan.settling : [];
        if (this.drainStartMs !== undefined && movedAll && settling.length === 0) return this.finish(scan.settling);
        // More may have come meanwhile, and not every file system tells; and of failed files a new look knows when they are due.
        if (movedAll && (this.moved.files > filesBefore || scan.ready.some((name) => this.failures.has(name))))
          continue;
        await this.wait(scan.nextDueMs, performance.now() - startMs);
      }
      return this.finish([]);
    } finally {
      for (const watch of watches) watch.close();
    }
  }

  /** What can be moved now. A directory that is gone for now holds nothing, unless we drain: then it is an error. */
  private async scan(): Promise<InputScan> {
    const { drain, emit } = this.context;
    const { from } = this.settings;
    if (drain.aborted && this.drainStartMs === undefined) {
      this.drainStartMs = performance.now();
      // Whatever failed gets its last chance now, not when its back-off ends.
      this.failures.clear();
    }
    try {
      const scan = await this.candidates.scan(this.drainStartMs !== undefined);
      if (this.isMissing) emit({ type: 'directoryBack', directory: from });
      this.isMissing = false;
      return scan;
    } catch (cause) {
      const error = asFileError(cause, 'list', from);
      if (!(error instanceof EcompipeError) || drain.aborted) throw error;
      if (!this.isMissing) emit({ type: 'directoryMissing', directory: from, error });
      this.isMissing = true;
      return { ready: [], settling: [], nextDueMs: Infinity, subdirectories: [] };
    }
  }

  /** @returns whether the backlog left room for all of them. */
  private async moveReady(ready: readonly string[]): Promise<boolean> {
    const { maxBacklog } = this.settings;
    let waiting = ready;
    while (waiting.length > 0 && !this.context.stop.aborted) {
      const backlog = maxBacklog === undefined ? 0 : await countBacklog(this.settings);
      const room = Math.max(0, (maxBacklog ?? Infinity) - backlog);
      if (maxBacklog !== undefined && room === 0) {
        if (!this.isBacklogFull) this.context.emit({ type: 'backlogFull', backlog, maxBacklog });
        this.isBacklogFull = true;
        return false;
      }
      this.isBacklogFull = false;
      const moved = await moveFiles(waiting.slice(0, room), this.settings, this.context, this.failures, this.folders);
      this.moved.files += moved.files;
      this.moved.bytes += moved.bytes;
      waiting = waiting.slice(room);
    }
    return true;
  }

  private isPatient(): boolean {
    return (
      this.drainStartMs === undefined || performance.now() - this.drainStartMs < DRAIN_PATIENCE * this.settings.settleMs
    );
  }

  private async wait(nextDueMs: number, lookedForMs: number): Promise<void> {
    const { stop, drain } = this.context;
    const signals = drain.aborted ? [stop] : [stop, drain];
    // Every change wakes the loop, our own too. Resting as long as the look took keeps a directory of 100,000 files in
    // which much happens from taking a whole core.
    await pause(lookedForMs, ...signals);
    await this.wake.wait(
      Math.max(0, Math.min(this.settings.pollIntervalMs, nextDueMs - performance.now())),
      ...signals,
    );
  }

  private finish(filesStillWritten: readonly string[]): MoveResult {
    const result = { filesMoved: this.moved.files, bytesMoved: this.moved.bytes, filesStillWritten };
    const failures = this.failures.all();
    if (this.drainStartMs !== undefined && !this.context.stop.aborted && failures.length > 0)
      throw new FilesNotMovedError(failures, result);
    return result;
  }
}

/**
 * Creates `to`, and makes sure that files can be taken from `from` and put there.
 *
 * @returns the temporary files of killed movers that were removed from `to`.
 * @throws FileError when one of them can't be used (exit 74, or 77 without permission).
 * @throws UsageError when both are one directory.
 */
export async function prepareDirectories({ from, to, recursive }: MoveSettings): Promise<readonly string[]> {
  const { R_OK, W_OK, X_OK } = constants;
  await withFileErrors('take files from', from, async () => {
    if (!(await stat(from)).isDirectory())
      throw new FileError(from, 'ENOTDIR', {
        what: `cannot take files from ${from}`,
        why: 'it is not a directory',
        hint: 'name a directory',
      });
    await access(from, R_OK | W_OK | X_OK);
  });
  return await withFileErrors('put files into', to, async () => {
    await makeDirectory(to);
    await access(to, R_OK | W_OK | X_OK);
    await assertDistinctDirectories({ '--from': from, '--to': to });
    return await removeStaleTemporaries(to, recursive);
  });
}

/** How many files stand in `to` for the loader. */
export async function countBacklog({ to, ...options }: Pick<MoveSettings, 'to' | keyof ListOptions>): Promise<number> {
  try {
    return (await listFiles(to, options)).files.length;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}
