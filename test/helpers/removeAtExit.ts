import { rmSync } from 'node:fs';

const created: string[] = [];

/**
 * Removes a file or directory when the test process ends, not the test: what a test started may still write there while
 * it is killed, and a directory that is written to can't be removed.
 */
export function removeAtExit(place: string): void {
  if (created.push(place) > 1) return;
  process.once('exit', () => {
    for (const each of created) rmSync(each, { recursive: true, force: true, maxRetries: 5 });
  });
}
