import { MAX_ROW } from './rowWriter.js';
import type { StagedFile } from './stagedFile.js';

const CHUNK_BYTES = 256 * 1024;

/** Collects a file's bytes, and hands them on in chunks that end where a row ends. */
export class FileWriter {
  /** Always has room for one more row at `position`. */
  readonly buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES + 2 * MAX_ROW);
  position = 0;
  private files: readonly StagedFile[] = [];
  private encode: (bytes: Buffer, isLast: boolean) => Buffer = (bytes) => bytes;

  /** @param files get the same bytes each. */
  begin(files: readonly StagedFile[], encode: (bytes: Buffer, isLast: boolean) => Buffer): void {
    this.files = files;
    this.encode = encode;
    this.position = 0;
  }

  /** Hands a full chunk on. To be called before a row and not behind it: the end of the last row may have to go. */
  makeRoom(): boolean {
    if (this.position < CHUNK_BYTES) return false;
    this.handOn(false);
    return true;
  }

  write(bytes: Buffer): void {
    this.makeRoom();
    this.position += bytes.copy(this.buffer, this.position);
  }

  end(): void {
    this.handOn(true);
  }

  private handOn(isLast: boolean): void {
    const bytes = this.encode(this.buffer.subarray(0, this.position), isLast);
    for (const file of this.files) file.write(bytes);
    this.position = 0;
  }
}
