import { lstatSync } from 'node:fs';
import path from 'node:path';
import { isGeneratedName } from '../../contract/fileNames.js';
import { listFiles } from '../../contract/listFiles.js';
import { EventLoopYielder } from '../../platform/eventLoopYielder.js';
import type { MoveEvent, MoveSettings, SkipReason } from './moveEvents.js';
import type { Failures } from '../../platform/files/failures.js';
import { Settling } from './settling.js';

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
