import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { atEnd } from './atEnd.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The built executable: `npm test` builds first. */
export const EXECUTABLE = path.join(ROOT, 'bin/ecompipe.js');

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly end: Promise<Ended>;
  /** Resolves once stderr holds the text; rejects when the process ends without it. */
  readonly said: (text: string) => Promise<void>;
  /** What stderr holds so far. */
  readonly output: () => string;
}

export interface StartOptions {
  readonly cwd: string;
  /** All of the environment but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly executable?: string;
  readonly stdout?: number;
  readonly uid?: number;
  /** Default: as `uid`. */
  readonly gid?: number;
}

/** Starts the executable, killed at the end of the test if it still runs. */
export function start(
  t: TestContext,
  { cwd, env = {}, executable = EXECUTABLE, stdout, uid, gid = uid }: StartOptions,
  ...args: readonly string[]
): Running {
  if (executable === EXECUTABLE) assertBuilt();
  const child = spawn(process.execPath, [executable, ...args], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  atEnd(t, async () => {
    if (!child.kill('SIGKILL')) return;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const output = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const end = once(child, 'close').then(() => ({ exitCode: child.exitCode, signal: child.signalCode, ...output }));
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.stderr.includes(text)) resolve();
      };
      look();
      child.stderr?.on('data', look);
      void end.then(() => reject(new Error(`ended without saying ${JSON.stringify(text)}:\n${output.stderr}`)));
    });
  return { child, end, said, output: () => output.stderr };
}

/** Runs the executable to its end. */
export async function run(t: TestContext, options: StartOptions, ...args: readonly string[]): Promise<Ended> {
  return await start(t, options, ...args).end;
}

/** The executable without any configuration of ours: its home is the directory it runs in. */
export function spawnEcompipe(
  t: TestContext,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
): Running {
  return start(t, { cwd, env: { HOME: cwd, ...env } }, ...args);
}

/** A test of an executable that is older than its sources would prove nothing. */
function assertBuilt(): void {
  const newest = (directory: string): number =>
    Math.max(
      ...readdirSync(path.join(ROOT, directory), { recursive: true, encoding: 'utf8' })
        .map((name) => statSync(path.join(ROOT, directory, name)))
        .filter((stats) => stats.isFile())
        .map(({ mtimeMs }) => mtimeMs),
    );
  if (newest('dist') < newest('src')) throw new Error('dist is older than src: npm run build');
}
