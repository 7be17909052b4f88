import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { attachEmbeddedServer, stopEmbedded, type EmbeddedConnection } from '../../src/platform/db/embedded/index.js';
import { removeAtExit } from './removeAtExit.js';

/** A created, stopped cluster that projects are copied from: a tenth of the time that initdb takes. */
let template: Promise<string> | undefined;

async function createTemplate(): Promise<string> {
  const parent = await mkdtemp(path.join(os.tmpdir(), 'ecompipe-template-'));
  await chmod(parent, 0o755);
  removeAtExit(parent);
  const directory = path.join(parent, '.ecompipe');
  await (await attachEmbeddedServer({ directory })).release();
  return directory;
}

/** As `embeddedProject`, with a database from an earlier command in it. */
export async function createdProject(t: TestContext): Promise<string> {
  const directory = await embeddedProject(t);
  await promisify(execFile)('cp', ['-a', await (template ??= createTemplate()), directory]);
  return directory;
}

/** The `.ecompipe` of a new project, removed with its server and data after the test. */
export async function embeddedProject(t: TestContext, options: { name?: string; mode?: number } = {}): Promise<string> {
  const parent = await mkdtemp(path.join(os.tmpdir(), `ecompipe-${options.name ?? 'project'}-`));
  await chmod(parent, options.mode ?? 0o755);
  const directory = path.join(parent, '.ecompipe');
  t.after(async () => {
    await stopEmbedded({ directory, force: true });
    // Root's data may live elsewhere, behind a link.
    const home = await realpath(path.join(directory, 'postgres')).catch(() => directory);
    await rm(home, { recursive: true, force: true });
    await rm(parent, { recursive: true, force: true });
  });
  return directory;
}

/** Runs one statement as a guest would: under the name `psql`. */
export async function queryAs(name: string, connection: EmbeddedConnection, sql: string): Promise<unknown[]> {
  const client = await connectAs(name, connection);
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

export async function connectAs(name: string, connection: EmbeddedConnection): Promise<pg.Client> {
  const client = new pg.Client({ ...connection, application_name: name });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Whether a process still runs: one that is ending or unreaped has no command line any more. */
export async function isAlive(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';
}
