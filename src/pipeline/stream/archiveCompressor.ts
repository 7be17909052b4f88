import { statSync } from 'node:fs';
import { opendir } from 'node:fs/promises';
import path from 'node:path';
import { asFileError, EcompipeError, errnoOf } from '../../platform/errors.js';
import { dayFolders } from '../../platform/files/dayFolders.js';
import { isGzipName } from '../../platform/files/gzip.js';
import { compress, copyName } from '../../platform/files/gzipCopy.js';
import { moveConverted } from '../../platform/files/publish.js';
import type { StageContext } from '../../platform/stage.js';
import type { StreamEvent, StreamSettings } from './streamEvents.js';

/** Files that may wait to be compressed: whoever archives one more waits, so that their names do not pile up. */
const MAX_WAITING = 10_000;
/** Small files wait for the disk most of the time; more of them at once would take the processors from the loading. */
const FILES_AT_ONCE = 2;
/** The longest name in a directory, in bytes. */
const MAX_NAME_BYTES = 255;
/** What a file takes of most file systems at least. */
const BLOCK_BYTES = 4096;
/** What the next file would meet, too. */
const ALL_FAIL: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT', 'EROFS'];

/**
 * Makes compressed copies of archived files, beside the loading and after it: a file is archived as it is at first, so that
 * nobody waits for its compression. Killed anywhere, the file or its copy is there, or both, and the next stream goes on.
 */
export class ArchiveCompressor {
  private readonly waiting: string[] = [];
  private readonly tasks = new Set<Promise<void>>();
  private workers = 0;
  private readonly halt = new AbortController();
  private roomFor: (() => void)[] = [];
  private bug: { readonly error: unknown } | undefined;

  constructor(
    private readonly archiveDir: string,
    private readonly emit: (event: StreamEvent) => void,
  ) {}

  /** Takes an archived file. Resolves at once, unless too many wait. */
  async add(file: string): Promise<void> {
    if (!isWorthwhile(file)) return;
    while (this.waiting.length >= MAX_WAITING && !this.halt.signal.aborted)
      await new Promise<void>((resolve) => this.roomFor.push(resolve));
    if (this.halt.signal.aborted) return;
    this.waiting.push(file);
    if (this.workers < FILES_AT_ONCE) this.start(() => this.work());
  }

  /** Takes what an earlier stream left uncompressed on the last two days there are; those before, it had time for. */
  resume(): void {
    this.start(async () => {
      for (const folder of dayFolders(this.archiveDir).slice(0, 2)) await this.addAllIn(folder);
    });
  }

  /** Resolves when all is compressed, or soon after `stop`: the next stream does the rest. */
  async close(stop: AbortSignal): Promise<void> {
    const onStop = (): void => this.end();
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    while (this.tasks.size > 0) await Promise.all(this.tasks);
    stop.removeEventListener('abort', onStop);
    if (this.bug !== undefined) throw this.bug.error;
  }

  private end(): void {
    this.halt.abort();
    this.waiting.length = 0;
    this.makeRoom();
  }

  private makeRoom(): void {
    for (const resolve of this.roomFor.splice(0)) resolve();
  }

  private start(action: () => Promise<void>): void {
    const task = action()
      .catch((error: unknown) => {
        this.bug ??= { error };
        this.end();
      })
      .finally(() => this.tasks.delete(task));
    this.tasks.add(task);
  }

  private async work(): Promise<void> {
    this.workers += 1;
    for (let file = this.waiting.shift(); file !== undefined; file = this.waiting.shift()) {
      this.makeRoom();
      await this.compress(file);
    }
    this.workers -= 1;
  }

  private async compress(file: string): Promise<void> {
    try {
      await moveConverted(file, path.dirname(file), copyName(path.basename(file)), compress, this.halt.signal);
    } catch (error) {
      // Another stream, undo's user or prune took it away.
      if (this.halt.signal.aborted || errnoOf(error) === 'ENOENT') return;
      this.report(file, error);
    }
  }

  /** A file that can't be compressed stays as it is, which does not stop loading. */
  private report(file: string, cause: unknown): void {
    const error = asFileError(cause, 'compress', file);
    if (!(error instanceof EcompipeError)) throw error;
    const isLast = ALL_FAIL.includes(errnoOf(cause));
    this.emit({ type: 'fileNotCompressed', file, error, isLast });
    if (isLast) this.end();
  }

  private async addAllIn(folder: string): Promise<void> {
    try {
      for await (const entry of await opendir(folder)) {
        if (this.halt.signal.aborted) return;
        if (entry.name.startsWith('.')) continue;
        const file = path.join(folder, entry.name);
        if (entry.isDirectory()) await this.addAllIn(file);
        else if (entry.isFile()) await this.add(file);
      }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.report(folder, error);
    }
  }
}

/** What is compressed already, would need a longer name than there can be, or takes one block either way, stays as it is. */
function isWorthwhile(file: string): boolean {
  const name = path.basename(file);
  if (isGzipName(name) || Buffer.byteLength(copyName(name)) > MAX_NAME_BYTES) return false;
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > BLOCK_BYTES;
}

/** Runs `action` with a compressor, where one is wished for, and sees what was archived compressed, unless it failed. */
export async function withCompressor<T>(
  { archiveGzip = false, archiveDir }: Pick<StreamSettings, 'archiveGzip' | 'archiveDir'>,
  { stop, emit }: Pick<StageContext<StreamEvent>, 'stop' | 'emit'>,
  action: (compressor: ArchiveCompressor | undefined) => Promise<T>,
): Promise<T> {
  if (!archiveGzip) return await action(undefined);
  const compressor = new ArchiveCompressor(archiveDir, emit);
  try {
    const result = await action(compressor);
    await compressor.close(stop);
    return result;
  } finally {
    await compressor.close(AbortSignal.abort());
  }
}
