import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';

const CLI = fileURLToPath(new URL('../../../src/cli.ts', import.meta.url));

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `ecompipe move` as a process of its own, run from the sources; killed at the end of the test if it still runs. */
export function spawnMove(
  t: TestContext,
  ...flags: readonly string[]
): { readonly child: ChildProcess; readonly end: Promise<Ended> } {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), CLI, 'move', ...flags], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const end = once(child, 'close').then(() => ({ exitCode: child.exitCode, signal: child.signalCode, ...output }));
  return { child, end };
}
