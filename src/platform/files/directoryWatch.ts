import { statSync, watch, type FSWatcher } from 'node:fs';

/**
 * Calls `onChange` when something changes in a directory, as far as the system tells: only a hint to look sooner. No
 * watch at all (network file system, no inotify watches left, directory gone) is no error; {@link renew} tries again.
 */
export class DirectoryWatch {
  private watcher: FSWatcher | undefined;
  private watchedInode: bigint | undefined;

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
      this.close();
      this.watcher = watch(this.directory, { persistent: false }, this.onChange);
      this.watcher.on('error', () => this.close());
      this.watchedInode = inode;
    } catch {
      this.close();
    }
  }

  close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }
}
