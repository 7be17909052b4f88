import path from 'node:path';
import { FileError } from '../../../platform/errors.js';
import { belowUri, isUri } from '../../../platform/files/uri.js';
import { dayOf } from '../../../platform/files/dayFolders.js';
import type { StreamSettings } from '../streamEvents.js';
import type { FileDisposal, ReadFile } from '../fileDisposer.js';
import type { Driver } from './driver.js';
import { printableLine } from '../../../platform/printable.js';

/** A directory as the job is to find it. */
export function placeOf(directory: string): string {
  return isUri(directory) ? directory : path.resolve(directory);
}

/** Takes files out of the way that only the Spark job reaches. */
export class RemoteFileDisposer implements FileDisposal {
  /** Files that stay where they are (`--after-load keep`). Whether one was exchanged, the job finds by its fileStamp. */
  private readonly kept = new Set<string>();

  constructor(
    private readonly settings: Pick<StreamSettings, 'inputDir' | 'afterLoad' | 'archiveDir' | 'quarantineDir'>,
    private readonly driver: Driver,
  ) {}

  async loaded(file: ReadFile): Promise<boolean> {
    if (this.settings.afterLoad === 'keep') this.kept.add(file.name);
    else await this.dispose(file, this.settings.afterLoad === 'archive' ? { directory: this.settings.archiveDir } : {});
    return true;
  }

  async quarantined(file: ReadFile, reason: string): Promise<boolean> {
    await this.dispose(file, { directory: this.settings.quarantineDir, reason });
    return true;
  }

  isKept(name: string): boolean {
    return this.kept.has(name);
  }

  isRemembered(name: string): boolean {
    return this.kept.has(name);
  }

  forgetAllBut(present: ReadonlySet<string>): void {
    for (const name of this.kept) if (!present.has(name)) this.kept.delete(name);
  }

  private async dispose(
    { name, fileStamp }: ReadFile,
    target: { readonly directory?: string; readonly reason?: string },
  ): Promise<void> {
    const source = belowUri(this.settings.inputDir, name);
    const folder = target.directory === undefined ? {} : { directory: belowUri(target.directory, dayOf(new Date())) };
    const answer = await this.driver.ask({
      type: 'dispose',
      file: { path: source, name, fileStamp, size: 0 },
      ...target,
      ...folder,
    });
    if (answer.type === 'failed')
      throw new FileError(source, undefined, {
        what: `cannot dispose of ${printableLine(source)}`,
        why: answer.message,
      });
  }
}
