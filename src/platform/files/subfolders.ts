import path from 'node:path';
import { makeDirectory } from './directories.js';
import { syncDirectory } from './publish.js';

/** Makes folders below a directory, as files need them. */
export class Subfolders {
  private readonly made = new Set<string>();

  constructor(private readonly directory: string) {}

  /**
   * Makes the folder that a file of this relative name goes into, with its parents, once. They are on disk when this returns,
   * also those that a killed process had made: a file that is in them and nowhere else must survive a power cut.
   */
  async makeFor(name: string): Promise<void> {
    const folder = path.dirname(name);
    if (this.made.has(folder)) return;
    await makeDirectory(path.join(this.directory, folder));
    for (let at = folder; at !== '.'; at = path.dirname(at)) {
      await syncDirectory(path.join(this.directory, path.dirname(at)));
    }
    this.made.add(folder);
  }

  /** Forgets what was made, as it may have been taken away. @returns whether there was anything. */
  forget(): boolean {
    const hadAny = this.made.size > 0;
    this.made.clear();
    return hadAny;
  }
}
