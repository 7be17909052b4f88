import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly end: Promise<Ended>;
  /** All that it has logged so far. */
  readonly stderr: () => string;
}

/** The built executable as a process of its own, without our configuration; killed at the end of the test if it still runs. */
export function spawnEcompipe(t: TestContext, args: readonly string[], env: Readonly<Record<string, string>>, cwd: string): Running {
  assertBuilt();
  const child = spawn(process.execPath, [path.join(ROOT, 'bin/ecompipe.js'), ...args], { cwd, env: { PATH: process.env['PATH'], HOME: cwd, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const end = once(child, 'close').then(() => ({ exitCode: child.exitCode, signal: child.signalCode, ...output }));
  return { child, end, stderr: () => output.stderr };
}

/** A test of an executable that is older than its sources would prove nothing. */
function assertBuilt(): void {
  const newest = (directory: string): number => Math.max(...readdirSync(path.join(ROOT, directory), { recursive: true, encoding: 'utf8' }).map((name) => statSync(path.join(ROOT, directory, name))).filter((stats) => stats.isFile()).map(({ mtimeMs }) => mtimeMs));
  if (newest('dist') < newest('src')) throw new Error('dist is older than src: npm run build');
}
