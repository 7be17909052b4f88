import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Mounts a file system in memory, or changes one (`remount,size=…`). @returns whether this user may. */
export function mount(directory: string, options: string): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory]).status === 0;
}

/** Runs with a tmpfs mounted on `directory`. Not by t.after: its directory is removed by an earlier hook. */
export async function withFileSystem(directory: string, options: string, action: () => Promise<void>): Promise<void> {
  mkdirSync(directory, { recursive: true });
  if (!mount(directory, options)) throw new Error(`cannot mount a tmpfs on ${directory}`);
  try {
    await action();
  } finally {
    spawnSync('umount', ['--lazy', directory]);
  }
}

/** Value for `skip`: false when this user may mount. */
export const noMount = ((): false | string => {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-test-'));
  const isAllowed = mount(directory, 'size=1m');
  if (isAllowed) spawnSync('umount', [directory]);
  rmdirSync(directory);
  return isAllowed ? false : 'may not mount a tmpfs here';
})();
