import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { asFileError, errnoOf } from '../../platform/errors.js';
import { FILE_MODE, makeDirectorySync } from '../../platform/files/directories.js';

/**
 * Hidden directory beside the published files, and so in their file system: what is written here can be renamed there.
 * What a killed run leaves in it stays, because the meaning of its manifest's last line depends on that; it may be
 * deleted together with the manifest.
 */
export const STAGING_DIRECTORY = '.staging';

/**
 * For so long the staging directory is made again when it vanishes before a file is in it, in milliseconds. Not for so many times:
 * whoever removes it may be as quick as we are, a hundred times in a row.
 */
const MADE_AGAIN_FOR_MS = 10_000;

/**
 * A file that is written where nobody looks and then appears whole, by rename(2). Not by link and unlink: between the
 * two a file would be both staged and published, and the manifest tells the two apart by whether it is staged. The
 * rename can overwrite nothing but the same bytes, because the name says the run and the run decides the bytes.
 */
export class StagedFile {
  bytes = 0;
  private readonly hash = createHash('sha256');
  private descriptor: number | undefined;

  private constructor(
    readonly name: string,
    /** Relative to the output directory. */
    readonly staged: string,
    private readonly stagedPath: string,
    readonly publishedPath: string,
  ) {}

  static create(outputDir: string, name: string): StagedFile {
    for (let attempt = 0; ; attempt++) {
      const staged = path.join(STAGING_DIRECTORY, attempt === 0 ? name : `${name}.${attempt}`);
      const file = new StagedFile(name, staged, path.join(outputDir, staged), path.join(outputDir, name));
      if (file.open()) return file;
    }
  }

  /** @returns false when another run of the same seed is writing there, or was killed while it did. */
  private open(): boolean {
    return this.attempt('create', () => {
      const startedMs = performance.now();
      for (;;) {
        try {
          makeDirectorySync(path.dirname(this.stagedPath));
          this.descriptor = openSync(this.stagedPath, 'wx', FILE_MODE);
          return true;
        } catch (error) {
          if (errnoOf(error) === 'EEXIST') return false;
          // A run that ends at this moment removes the directory while it is empty, as anybody who tidies up may.
          if (errnoOf(error) !== 'ENOENT' || performance.now() - startedMs > MADE_AGAIN_FOR_MS) throw error;
        }
      }
    });
  }

  write(bytes: Uint8Array): void {
    this.attempt('write', () => {
      for (let written = 0; written < bytes.length;) written += writeSync(this.descriptor as number, bytes, written);
    });
    this.hash.update(bytes);
    this.bytes += bytes.length;
  }

  /**
   * Ends the content.
   * @param durable forces it to disk, so that a power cut can't leave a published file without its bytes.
   * @returns its SHA-256 in hexadecimal.
   */
  seal(durable: boolean): string {
    this.attempt('write', () => {
      if (durable) fsyncSync(this.descriptor as number);
      this.close();
    });
    return this.hash.digest('hex');
  }

  publish(): void {
    this.attempt('publish', () => renameSync(this.stagedPath, this.publishedPath));
  }

  /** Removes what was written. Never fails: it runs when something else did. */
  discard(): void {
    try {
      this.close();
      rmSync(this.stagedPath, { force: true });
    } catch {
      // The first error is the one that counts.
    }
  }

  private close(): void {
    if (this.descriptor === undefined) return;
    closeSync(this.descriptor);
    this.descriptor = undefined;
  }

  private attempt<T>(what: string, action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw asFileError(error, what, this.publishedPath);
    }
  }
}
