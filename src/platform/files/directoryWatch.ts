import { statSync, watch, type FSWatcher } from 'node:fs';
import path from 'node:path';

/** Beyond, changes are found by looking: a system has some thousand watches for all of a user's processes. */
const MAX_SUBDIRECTORIES = 500;

/**
 * Calls `onChange` when something changes in a directory, as far as the system tells: only a hint to look sooner. No
 * watch at all (network file system, no inotify watches left, directory gone) is not an error; {@link renew} tries again.
 */
export class DirectoryWatch {
  private watcher: FSWatcher | undefined;
  private watchedInode: bigint | undefined;
  private readonly below = new Map<string, DirectoryWatch>();

  constructor(
    private readonly directory: string,
    private readonly onChange: () => void,
  ) {
    this.renew();
  }

  /** Watches the directory that has the name now: a watch sticks to the one that was removed or renamed away. */
  renew(): void {
    try {
      const inode = statSync(this.directory, { bigint: true }).ino;
      if (this.watcher !== undefined && inode === this.watchedInode) return;
      this.unwatch();
      this.watcher = watch(this.directory, { persistent: false }, this.onChange);
      this.watcher.on('error', () => this.unwatch());
      this.watchedInode = inode;
    } catch {
      this.unwatch();
    }
  }

  /**
   * Watches these subdirectories, too, and no others. Calls `onChange` when one is new: something may have changed in it
   * between its listing and this.
   */
  watchSubdirectories(names: readonly string[]): void {
    const wanted = new Set(names.slice(0, MAX_SUBDIRECTORIES));
    for (const [name, watch] of this.below) {
      if (wanted.has(name)) watch.renew();
      else {
        watch.close();
        this.below.delete(name);
      }
    }
    const added = [...wanted].filter((name) => !this.below.has(name));
    for (const name of added) this.below.set(name, new DirectoryWatch(path.join(this.directory, name), this.onChange));
    if (added.length > 0) this.onChange();
  }

  close(): void {
    this.unwatch();
    for (const watch of this.below.values()) watch.close();
    this.below.clear();
  }

  private unwatch(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }
}
