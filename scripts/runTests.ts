import { spawnSync } from 'node:child_process';

/** Runs test files by the runner of Node.js, and ends as it does. @param options of the runner */
export function runTests(files: readonly string[], ...options: readonly string[]): void {
  const reporter = process.stdout.isTTY ? 'spec' : './scripts/testReporter.js';
  const { status } = spawnSync(
    process.execPath,
    [
      ...['--import', 'tsx', '--test', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout'],
      ...options,
      ...files,
    ],
    { stdio: 'inherit' },
  );
  process.exitCode = status ?? 1;
}
