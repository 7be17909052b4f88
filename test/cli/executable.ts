import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { run } from '../helpers/executable.js';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';
import { atEnd } from '../helpers/atEnd.js';

export { EXECUTABLE, run, start, type Ended, type Running, type StartOptions } from '../helpers/executable.js';

/** A new directory to run in, removed after the test. */
export function project(t: TestContext, name = 'cli'): string {
  const directory = mkdtempSync(path.join(tmpdir(), `ecompipe-${name}-`));
  chmodSync(directory, 0o777);
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
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
  const row = (index: number): string =>
    `00000000-0000-7000-8000-${String(index).padStart(12, '0')},${index < good ? 'page_view' : 'no_such_type'},2026-11-01T00:00:00Z,u1,s1`;
  return [
    'event_id,event_type,event_time,user_id,session_id',
    ...Array.from({ length: good + bad }, (_, index) => row(index)),
    '',
  ].join('\n');
}
