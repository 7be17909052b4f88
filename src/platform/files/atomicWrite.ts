import { open, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { FILE_MODE } from './directories.js';
import { publishNew, syncDirectory } from './publish.js';
import { temporaryPath } from './temporary.js';

/** What a file is to hold: a text, or pieces in their order. */
type NewContent = string | AsyncIterable<string | Buffer>;

export interface WriteOptions {
  /** Permissions, before the umask. @default FILE_MODE */
  readonly mode?: number;
  /**
   * Bytes and name are forced to disk, so that a power cut, too, leaves the old file or the new one, whole. Not needed by
   * what is written again anyway.
   * @default true
   */
  readonly isDurable?: boolean;
  /** Called when the bytes are in the file and it has not got its name yet. */
  readonly onWritten?: (file: FileHandle) => void | Promise<void>;
}

/** Replaces a file, or creates it. Whoever reads it finds the old one or the new one, whole. */
export async function replaceFile(file: string, content: NewContent, options: WriteOptions = {}): Promise<void> {
  await writeBeside(file, content, options, (temporary) => rename(temporary, file));
}

/** Creates a file, whole or not at all. @returns false when there is one of that name: of several who try, one succeeds. */
export async function createFile(file: string, content: NewContent, options: WriteOptions = {}): Promise<boolean> {
  return await writeBeside(file, content, options, (temporary) => publishNew(temporary, file));
}

async function writeBeside<T>(
  file: string,
  content: NewContent,
  { mode = FILE_MODE, isDurable = true, onWritten }: WriteOptions,
  publish: (temporary: string) => T | Promise<T>,
): Promise<T> {
  const temporary = temporaryPath(file);
  // O_EXCL: never through a link that somebody has put there.
  const handle = await open(temporary, 'wx', mode);
  try {
    try {
      await writeFile(handle, content);
      if (isDurable) await handle.sync();
      await onWritten?.(handle);
    } finally {
      await handle.close();
    }
    const result = await publish(temporary);
    if (isDurable) await syncDirectory(path.dirname(file));
    return result;
  } finally {
    await rm(temporary, { force: true });
  }
}
