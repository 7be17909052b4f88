import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';

/** The built executable: `npm test` builds first. */
export const EXECUTABLE = fileURLToPath(new URL('../../bin/ecompipe.js', import.meta.url));

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
}

export interface StartOptions {
  readonly cwd: string;
  /** All of the environment but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly executable?: string;
  readonly stdout?: number;
  readonly uid?: number;
}

/** Starts the executable, killed at the end of the test if it still runs. */
export function start(t: TestContext, { cwd, env = {}, executable = EXECUTABLE, stdout, uid }: StartOptions, ...args: readonly string[]): Running {
  const child = spawn(process.execPath, [executable, ...args], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  t.after(() => child.kill('SIGKILL'));
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
  return { child, end, said };
}

/** Runs the executable to its end. */
export async function run(t: TestContext, options: StartOptions, ...args: readonly string[]): Promise<Ended> {
  return await start(t, options, ...args).end;
}

/** A new directory to run in, removed after the test. */
export function project(t: TestContext, name = 'cli'): string {
  const directory = mkdtempSync(path.join(tmpdir(), `ecompipe-${name}-`));
  chmodSync(directory, 0o777);
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** An empty database. */
export async function emptyDatabase(t: TestContext): Promise<TestDatabase> {
  const database = await (await startTestServer()).createDatabase();
  t.after(() => database.drop());
  return database;
}

/** A database with our schema. */
export async function migratedDatabase(t: TestContext): Promise<TestDatabase> {
  const server = await startTestServer();
  const template = await server.createTemplate('migrated_by_cli', async ({ env }) => {
    const { exitCode, stderr } = await run(t, { cwd: tmpdir(), env }, 'migrate');
    if (exitCode !== 0) throw new Error(stderr);
  });
  const database = await server.createDatabase({ template });
  t.after(() => database.drop());
  return database;
}

/** A CSV file with so many good rows and then so many of a type that doesn't exist. */
export function csv(good: number, bad = 0): string {
  const row = (index: number): string => `00000000-0000-7000-8000-${String(index).padStart(12, '0')},${index < good ? 'page_view' : 'no_such_type'},2026-11-01T00:00:00Z,u1,s1`;
  return ['event_id,event_type,event_time,user_id,session_id', ...Array.from({ length: good + bad }, (_, index) => row(index)), ''].join('\n');
}
