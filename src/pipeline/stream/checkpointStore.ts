import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { notePolled, ownedDirectory, type OwnedPlace } from '../../contract/streamOwner.js';
import { asFileError, errnoOf, UsageError } from '../../platform/errors.js';
import { failpoint } from '../../platform/failpoint.js';
import { replaceFile } from '../../platform/files/atomicWrite.js';
import { ensureDirectory } from '../../platform/files/directories.js';
import { syncDirectory } from '../../platform/files/publish.js';
import { isUri } from '../../platform/files/uri.js';

/** Where a stream keeps its checkpoint: one small text, which is replaced as a whole. */
export interface CheckpointStore extends OwnedPlace {
  /** The text's own place, for messages. */
  readonly file: string;
  /** Shortest time between two writes, in milliseconds; the text may lag. */
  readonly writeIntervalMs: number;
  /** @returns undefined where there is none. */
  read(): Promise<string | undefined>;
  replace(text: string): Promise<void>;
  remove(): Promise<void>;
  /** Notes that a loader is there, as far as the place can tell it to others. Never throws. */
  notePolled(): Promise<void>;
}

export const CHECKPOINT_NAME = 'stream.json';

/** A directory of this machine. */
export class DirectoryCheckpoint implements CheckpointStore {
  readonly label: string;
  readonly file: string;
  /** Each forces the disk twice, and on most file systems the database's own commits wait for that. */
  readonly writeIntervalMs = 250;

  private constructor(private readonly directory: string) {
    this.label = directory;
    this.file = path.join(directory, CHECKPOINT_NAME);
  }

  /** Makes the directory if there is none. @throws FileError; UsageError for a URI. */
  static async open(directory: string): Promise<DirectoryCheckpoint> {
    if (isUri(directory))
      throw new UsageError([
        `--checkpoint ${JSON.stringify(directory)}: expected a directory of this machine, as a path or as file:///…; a URI needs --engine spark`,
      ]);
    await ensureDirectory(directory);
    return new DirectoryCheckpoint(directory);
  }

  async ownershipKey(): Promise<number> {
    return await ownedDirectory(this.directory).ownershipKey();
  }

  async read(): Promise<string | undefined> {
    try {
      return await readFile(this.file, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw asFileError(error, 'read the checkpoint', this.file) as Error;
    }
  }

  async replace(text: string): Promise<void> {
    await replaceFile(this.file, text, { onWritten: () => failpoint('checkpoint-written') });
    failpoint('checkpoint-renamed');
  }

  async remove(): Promise<void> {
    await rm(this.file, { force: true });
    await syncDirectory(this.directory);
  }

  async notePolled(): Promise<void> {
    await notePolled(this.directory);
  }
}
