import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** Finds a program in the bench's own directories, then in PATH; undefined when it isn't installed. */
export function findProgram(name: string, ...directories: readonly string[]): string | undefined {
  const candidates = [...directories, ...(process.env['PATH'] ?? '').split(path.delimiter)].map((directory) =>
    path.join(directory, name),
  );
  return candidates.find(isExecutable);
}

/** What `program --version` (or other arguments) prints first. */
export function versionOf(
  program: string,
  args: readonly string[] = ['--version'],
  env: NodeJS.ProcessEnv = {},
): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  return `${stdout}${stderr}`.trim().split('\n')[0] ?? '';
}

/** Runs a program to its end. @returns the wall time in milliseconds. @throws when it fails. */
export async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input = '',
): Promise<number> {
  const startedMs = performance.now();
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  const note = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4096);
  };
  child.stdout.on('data', note);
  child.stderr.on('data', note);
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  if (code !== 0) throw new Error(`${program} ended with code ${code}:\n${output}`);
  return performance.now() - startedMs;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
