import { linkSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { startEcompipe, type EndedEcompipe, type RunningEcompipe } from './ecompipe.js';
import type { BenchDatabase } from './database.js';

/** CSV files that a question loads. */
export interface Dataset {
  readonly files: readonly string[];
  readonly rows: number;
  readonly bytes: number;
}

/** How a loader is started. */
export interface StreamStart {
  /** Flags of `stream` besides. */
  readonly args?: readonly string[] | undefined;
  /** Another build's. Default: ours. */
  readonly executable?: string | undefined;
}

/** The directories that the measured `stream` works on. Files get in as hard links: the data set stays whole. */
export class Workspace {
  readonly root: string;
  readonly processing: string;

  constructor(
    readonly cacheDir: string,
    private readonly stop: AbortSignal,
  ) {
    this.root = path.join(cacheDir, 'work');
    this.processing = path.join(this.root, 'processing');
  }

  /** Empties it and puts these files in. */
  stage(files: readonly string[]): void {
    this.clear();
    mkdirSync(this.processing, { recursive: true });
    for (const file of files) linkSync(file, path.join(this.processing, path.basename(file)));
  }

  clear(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Starts the loader on it: everything else at its default. */
  startStream(database: Pick<BenchDatabase, 'env'>, { args = [], executable }: StreamStart = {}): RunningEcompipe {
    const env = {
      ...database.env,
      PROCESSING_PATH: this.processing,
      ARCHIVE_PATH: path.join(this.root, 'archive'),
      QUARANTINE_PATH: path.join(this.root, 'quarantine'),
      CHECKPOINT_PATH: path.join(this.root, 'checkpoints'),
    };
    return startEcompipe(['stream', ...args], { env, cwd: this.root, stop: this.stop, executable });
  }

  async drain(
    database: Pick<BenchDatabase, 'env'>,
    { args = [], executable }: StreamStart = {},
  ): Promise<EndedEcompipe> {
    return await this.startStream(database, { args: ['--once', ...args], executable }).ended;
  }
}

export function describeFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.csv'))
    .sort()
    .map((name) => path.join(directory, name));
}

export function totalBytes(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + statSync(file).size, 0);
}
