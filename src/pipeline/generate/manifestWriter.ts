import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { asFileError, errnoOf } from '../../platform/errors.js';
import { FILE_MODE, makeDirectorySync } from '../../platform/files/directories.js';
import type { ManifestLine } from '../../contract/manifest/format.js';

const WAITING_CHARACTERS = 64 * 1024;

/** Writes a run's manifest, line by line. */
export class ManifestWriter {
  private waiting = '';

  private constructor(
    readonly path: string,
    private readonly descriptor: number,
  ) {}

  /** Opens a new file: the manifest of an earlier run with the same name stays as it is. */
  static create(directory: string, runId: string): ManifestWriter {
    let file = directory;
    try {
      makeDirectorySync(directory);
      for (let attempt = 0; ; attempt++) {
        file = path.join(directory, attempt === 0 ? `${runId}.jsonl` : `${runId}.${attempt}.jsonl`);
        try {
          return new ManifestWriter(file, openSync(file, 'ax', FILE_MODE));
        } catch (error) {
          if (errnoOf(error) !== 'EEXIST') throw error;
        }
      }
    } catch (error) {
      throw asFileError(error, 'create the manifest', file);
    }
  }

  /** Writes a line now or soon; {@link append} brings it to the file. */
  add(line: ManifestLine): void {
    this.waiting += `${JSON.stringify(line)}\n`;
    if (this.waiting.length > WAITING_CHARACTERS) this.write();
  }

  /** Writes a line, and those that wait, before it returns. */
  append(line: ManifestLine): void {
    this.add(line);
    this.write();
  }

  private write(): void {
    const bytes = Buffer.from(this.waiting);
    this.waiting = '';
    const { size } = fstatSync(this.descriptor);
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(this.descriptor, bytes, written);
    } catch (error) {
      // Half a line would spoil the lines behind it, should the run be able to go on.
      ftruncateSync(this.descriptor, size);
      throw asFileError(error, 'write the manifest', this.path);
    }
  }

  /** Forces it to disk. */
  sync(): void {
    try {
      fdatasyncSync(this.descriptor);
    } catch (error) {
      throw asFileError(error, 'write the manifest', this.path);
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}
