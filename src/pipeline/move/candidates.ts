import { lstatSync, type BigIntStats } from 'node:fs';
import path from 'node:path';
import { isGeneratedName } from '../../contract/fileNames.js';
import { listFiles } from '../../contract/listFiles.js';
import { EventLoopYielder } from '../../platform/eventLoopYielder.js';
import type { MoveEvent, MoveSettings, SkipReason } from './moveEvents.js';
import type { Failures } from '../../platform/files/failures.js';

/** What one look at `from` found. */
export interface InputScan {
  /** Finished files, by name; our generator's names sort by time. */
  readonly ready: readonly string[];
  /** Files that may become ready by waiting: still to settle. */
  readonly settling: readonly string[];
  /** Monotonic time at which a settling or failed file is due for another look. */
  readonly nextDueMs: number;
  /** Subdirectories that were looked into. */
  readonly subdirectories: readonly string[];
}

/** Finds the files in `from` that can be moved now. The listing is the truth; nothing is remembered that it doesn't show. */
export class Candidates {
  private readonly settling: Settling;
  private readonly reported = new Map<string, SkipReason>();
  private snapshot: ReadonlySet<string> | undefined;

  constructor(
    private readonly settings: MoveSettings,
    private readonly failures: Failures,
    private readonly emit: (event: MoveEvent) => void,
  ) {
    this.settling = new Settling(settings.settleMs);
  }

  /** From the next scan on, only what that one lists: so that a drain ends although producers go on. */
  private limitTo(names: readonly string[]): readonly string[] {
    this.snapshot ??= new Set(names);
    const { snapshot } = this;
    return names.filter((name) => snapshot.has(name));
  }

  async scan(draining: boolean): Promise<InputScan> {
    const { from, to, ownDirs = [] } = this.settings;
    const { files, leftAlone, subdirectories } = await listFiles(from, { ...this.settings, ownDirs: [to, ...ownDirs] });
    this.forgetMissing(new Set([...files, ...leftAlone.map(({ name }) => name)]));
    for (const { name, reason } of leftAlone) this.skip(name, reason);
    const ready: string[] = [];
    const settling: string[] = [];
    let nextDueMs = Infinity;
    const yielder = new EventLoopYielder();
    for (const name of draining ? this.limitTo(files) : files) {
      if (yielder.shouldYield) await yielder.yield();
      const retryAtMs = this.failures.retryAt(name);
      if (draining ? this.failures.has(name) : retryAtMs > performance.now()) {
        nextDueMs = Math.min(nextDueMs, retryAtMs);
      } else if (this.settings.isPublished?.(name) === true) {
        ready.push(name);
      } else {
        const verdict = this.lookAt(name);
        if (verdict === 'ready') ready.push(name);
        if (verdict === 'settling') {
          settling.push(name);
          nextDueMs = Math.min(nextDueMs, this.settling.dueAt(name));
        }
      }
    }
    return { ready: ready.sort(), settling, nextDueMs, subdirectories };
  }

  private lookAt(name: string): 'ready' | 'settling' | 'skipped' {
    const nowMs = performance.now();
    if (this.settling.dueAt(name) > nowMs) return 'settling';
    let stats;
    try {
      stats = lstatSync(path.join(this.settings.from, name), { bigint: true });
    } catch {
      // Gone or unreadable: moving it will tell, and report it.
      return 'ready';
    }
    if (stats.size === 0n && !isGeneratedName(path.basename(name))) {
      this.skip(name, 'empty');
      return 'skipped';
    }
    this.reported.delete(name);
    const verdict = this.settling.look(name, stats, nowMs);
    if (verdict === 'changed') this.emit({ type: 'fileWaiting', name, settleMs: this.settings.settleMs });
    return verdict === 'finished' ? 'ready' : 'settling';
  }

  private skip(name: string, reason: SkipReason): void {
    if (this.reported.get(name) === reason) return;
    this.reported.set(name, reason);
    this.emit({ type: 'fileSkipped', name, reason });
  }

  private forgetMissing(listed: ReadonlySet<string>): void {
    this.settling.keepOnly(listed);
    this.failures.keepOnly(listed);
    for (const name of this.reported.keys()) if (!listed.has(name)) this.reported.delete(name);
  }
}

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
