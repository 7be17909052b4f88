import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';
import { ROOT } from './markdown.js';
import { atEnd } from '../helpers/atEnd.js';

const execute = promisify(execFile);

export const FROM_SOURCES = [process.execPath, '--import', import.meta.resolve('tsx'), path.join(ROOT, 'src/cli.ts')];

export function scratch(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-guide-'));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export async function emptyDatabase(t: TestContext): Promise<TestDatabase> {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  return database;
}

/** Runs a program to its end. @throws with its exit code and all it wrote, when that is not 0. */
export async function end(
  file: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<void> {
  await execute(file, args, options).catch((error: unknown) => {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    throw Object.assign(new Error(`exit code ${String(code)}\n${stdout}${stderr}`), { code });
  });
}

/** A shell in `directory`, in which `ecompipe` and `npx ecompipe` are `command`, with a database. */
export function shell(
  directory: string,
  command: readonly string[],
  database: TestDatabase,
): (script: string) => Promise<void> {
  const bin = path.join(directory, '.bin');
  mkdirSync(bin, { recursive: true });
  const program = (name: string, line: string): void => {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${line}\n`);
    chmodSync(path.join(bin, name), 0o755);
  };
  program('ecompipe', `exec ${command.map((word) => `'${word}'`).join(' ')} "$@"`);
  program('npx', '[ "$1" = ecompipe ] && exec "$@"; echo "not in a test: npx $*" >&2; exit 1');
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, ...database.env };
  return (script) => end('bash', ['--norc', '-euo', 'pipefail', '-c', script], { cwd: directory, env });
}
