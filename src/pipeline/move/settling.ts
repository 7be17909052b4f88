import type { BigIntStats } from 'node:fs';

/**
 * A file this old by its ctime needs no second look. Generous, because the file's time may be a server's whose clock is
 * hours off; ctime, because users can set mtime (`cp -p`, `tar`) but not this.
 */
const SURELY_SETTLED_MS = 24 * 60 * 60 * 1000;

interface Look {
  readonly state: string;
  readonly atMs: number;
}

/**
 * Tells files that are still being written from finished ones: two looks at least `settleMs` apart, by our monotonic
 * clock, must see the same inode, size, mtime and ctime. Comparing the file's times with our clock instead would fail
 * where they come from a file server with another clock.
 */
export class Settling {
  private readonly looks = new Map<string, Look>();

  constructor(private readonly settleMs: number) {}

  /** When a look at the file can tell something new, in monotonic milliseconds; earlier ones needn't be made. */
  dueAt(name: string): number {
    const look = this.looks.get(name);
    return look === undefined ? 0 : look.atMs + this.settleMs;
  }

  /**
   * Records a look.
   * @param nowMs the monotonic time before `stats` were taken.
   * @returns whether the file is finished, and if not, whether that is news.
   */
  look(name: string, stats: BigIntStats, nowMs: number): 'finished' | 'changed' | 'waiting' {
    const state = `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
    const before = this.looks.get(name);
    if (this.settleMs === 0 || Date.now() - Number(stats.ctimeMs) > SURELY_SETTLED_MS) return 'finished';
    if (before?.state === state) return nowMs >= before.atMs + this.settleMs ? 'finished' : 'waiting';
    this.looks.set(name, { state, atMs: nowMs });
    return 'changed';
  }

  /** Forgets files that are gone, so that a name that comes back starts anew and memory does not grow. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.looks.keys()) if (!names.has(name)) this.looks.delete(name);
  }
}
