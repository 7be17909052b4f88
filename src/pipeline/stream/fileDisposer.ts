import { createHash } from 'node:crypto';
import { lstatSync, unlinkSync, type BigIntStats } from 'node:fs';
import path from 'node:path';
import { replaceFile } from '../../platform/files/atomicWrite.js';
import { assertDistinctDirectories } from '../../platform/files/distinctDirectories.js';
import { dayFolders, dayOf } from '../../platform/files/dayFolders.js';
import { ensureDirectory, makeDirectory } from '../../platform/files/ensureDirectory.js';
import { moveIntoDirectory, syncDirectory } from '../../platform/files/publish.js';
import { Subfolders } from '../../platform/files/subfolders.js';
import { removeStaleTemporaries } from '../../platform/files/temporary.js';
import { errnoOf, FileError, withFileErrors } from '../../platform/errors.js';
import { fileStampOf } from './content.js';
import type { ArchiveCompressor } from './archiveCompressor.js';
import type { StreamSettings } from './streamEvents.js';

/** A file as it was read: by name, and by what tells it from another one that took its name since. */
export interface ReadFile {
  readonly name: string;
  readonly fileStamp: string;
}

/** What becomes of files, wherever they are. */
export type FileDisposal = Pick<FileDisposer, 'loaded' | 'quarantined' | 'isKept' | 'isRemembered' | 'forgetAllBut'>;

/** Takes files out of the way whose content is in the ledger. Until that is done, they only look like redeliveries. */
export class FileDisposer {
  /** Files that stay where they are (`--after-load keep`), so that a pass does not hash them again. */
  private readonly kept = new Map<string, string>();
  /** The folder of the day that was made last, by directory, and what was made in it. */
  private readonly made = new Map<string, { readonly folder: string; readonly subfolders: Subfolders }>();

  constructor(
    private readonly settings: Pick<StreamSettings, 'inputDir' | 'afterLoad' | 'archiveDir' | 'quarantineDir'>,
    /** Gets what is archived. Undefined: it stays as it is. */
    private readonly compressor?: ArchiveCompressor,
  ) {}

  /** Creates what is missing. @throws UsageError when two of the directories are one; FileError. */
  async prepare(): Promise<void> {
    const { inputDir, afterLoad, archiveDir, quarantineDir } = this.settings;
    const directories = afterLoad === 'archive' ? [archiveDir, quarantineDir] : [quarantineDir];
    for (const directory of directories) {
      await ensureDirectory(directory);
    }
    await assertDistinctDirectories({
      '--input-dir': inputDir,
      ...(afterLoad === 'archive' ? { '--archive-dir': archiveDir } : {}),
      '--quarantine-dir': quarantineDir,
    });
    for (const directory of directories) await this.cleanUp(directory);
  }

  /** Removes what a killed process left when it copied files from another file system. Older days were looked at then. */
  private async cleanUp(directory: string): Promise<void> {
    for (const folder of dayFolders(directory).slice(0, 2))
      await withFileErrors('clean up', folder, () => removeStaleTemporaries(folder, true));
  }

  /**
   * Archives, deletes or keeps a loaded file.
   * @returns false when it was no longer there, or is another one by now: then the next listing finds that.
   * @throws FileError when it can't be moved: it is tried again later.
   */
  async loaded(file: ReadFile): Promise<boolean> {
    const source = path.join(this.settings.inputDir, file.name);
    switch (this.settings.afterLoad) {
      case 'keep':
        this.kept.set(file.name, file.fileStamp);
        return this.isKept(file.name);
      case 'delete':
        if (lookAtStill(source, file.fileStamp) === undefined) return false;
        unlinkSync(source);
        return true;
      case 'archive': {
        const moved = await this.moveOut(this.settings.archiveDir, file);
        if (moved === undefined) return false;
        await this.compressor?.add(path.join(moved.folder, moved.name));
        return true;
      }
    }
  }

  /** Moves an unreadable file to quarantine/, with the reason beside it. @returns as `loaded`. */
  async quarantined(file: ReadFile, reason: string): Promise<boolean> {
    const moved = await this.moveOut(this.settings.quarantineDir, file);
    if (moved === undefined) return false;
    const { folder, name } = moved;
    const target = path.join(folder, reasonName(name));
    const account = { file: name, deliveredAs: file.name, reason, quarantinedAt: new Date().toISOString() };
    await withFileErrors('write', target, () =>
      replaceFile(target, `${JSON.stringify(account, null, 2)}\n`, { isDurable: false }),
    );
    return true;
  }

  /** Whether the file was loaded before and stays where it is. */
  isKept(name: string): boolean {
    const fileStamp = this.kept.get(name);
    return fileStamp !== undefined && lookAtStill(path.join(this.settings.inputDir, name), fileStamp) !== undefined;
  }

  /** Whether a file of this name is remembered as kept, whatever it is now. */
  isRemembered(name: string): boolean {
    return this.kept.has(name);
  }

  /** Forgets kept files that were taken away: years of names would pile up. */
  forgetAllBut(present: ReadonlySet<string>): void {
    for (const name of this.kept.keys()) if (!present.has(name)) this.kept.delete(name);
  }

  /** A folder a day: nobody has to look through a year's names to find one, and what is old goes as a whole. */
  private async folderOfToday(directory: string, name: string): Promise<string> {
    const folder = path.join(directory, dayOf(new Date()));
    let made = this.made.get(directory);
    if (made?.folder !== folder) {
      await makeDirectory(folder);
      await syncDirectory(directory);
      made = { folder, subfolders: new Subfolders(folder) };
      this.made.set(directory, made);
    }
    assertPlain(folder);
    if (name.includes('/')) await made.subfolders.makeFor(name);
    return folder;
  }

  private async moveOut(
    directory: string,
    file: ReadFile,
  ): Promise<{ readonly folder: string; readonly name: string } | undefined> {
    const source = path.join(this.settings.inputDir, file.name);
    // Another process may have moved it already, or put a new file in its place, which is then to be loaded.
    const seen = lookAtStill(source, file.fileStamp);
    if (seen === undefined) return undefined;
    return await withFileErrors(`move ${source} to`, directory, async () => {
      for (;;) {
        try {
          const folder = await this.folderOfToday(directory, file.name);
          return { folder, name: await moveIntoDirectory(source, folder, file.name, undefined, seen) };
        } catch (error) {
          if (errnoOf(error) !== 'ENOENT') throw error;
          if (lookAtStill(source, file.fileStamp) === undefined) return undefined;
          // The folder was taken away since it was made: it is made once more, not again and again.
          if (!this.made.delete(directory)) throw error;
        }
      }
    });
  }
}

/** Where others may write, a link in the place of the day's folder would have us put files where they can't. */
function assertPlain(folder: string): void {
  if (lstatSync(folder).isDirectory()) return;
  throw new FileError(folder, 'EPERM', {
    what: `cannot put files into ${folder}`,
    why: 'it is a symbolic link',
    hint: 'look who put it there, and take it away; only users whom you trust should write to this directory',
  });
}

const REASON_ENDING = '.reason.json';

/** Whether a file in quarantine/ says why another one is there. */
export function isReasonName(name: string): boolean {
  return name.endsWith(REASON_ENDING);
}

/** `shop/a.csv.reason.json`; cut, with a hash in place of the rest, where that is longer than the 255 bytes of a name. */
export function reasonName(pathname: string): string {
  const start = pathname.lastIndexOf('/') + 1;
  const name = pathname.slice(start);
  if (Buffer.byteLength(name + REASON_ENDING) <= 255) return pathname + REASON_ENDING;
  const rest = `~${createHash('sha256').update(name).digest('hex').slice(0, 12)}${REASON_ENDING}`;
  // By whole characters: half of one would be invalid UTF-8.
  let stem = Array.from(name);
  while (Buffer.byteLength(stem.join('') + rest) > 255) stem = stem.slice(0, -1);
  return pathname.slice(0, start) + stem.join('') + rest;
}

/** What stands under the name, if it is still the file that was read. */
function lookAtStill(source: string, fileStamp: string): BigIntStats | undefined {
  const stats = lstatSync(source, { bigint: true, throwIfNoEntry: false });
  return stats !== undefined && fileStampOf(stats) === fileStamp ? stats : undefined;
}
