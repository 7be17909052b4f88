import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { EcompipeError, errnoOf, EXIT, type ErrorFacts } from '../../errors.js';
import type { Logger } from '../../log.js';
import { asAccount, type ServerAccount } from './account.js';
import { OWN_SERVER_HINT, program } from './binaries.js';
import { usableServerFiles, withShellSafeFiles } from './staging.js';

/** The superuser of the embedded cluster, and the name of its database. */
export const USER = 'ecompipe';
export const DATABASE = 'ecompipe';

export interface InitdbOptions {
  /** An empty directory that belongs to `account`. */
  readonly data: string;
  readonly passwordFile: string;
  readonly account: ServerAccount | undefined;
  /** Where a copy of the server files may be kept. */
  readonly place: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Fills a data directory: UTF-8, byte-order collation (the same on every machine), passwords checked by SCRAM. */
export async function initdb({ data, passwordFile, account, place, log, signal }: InitdbOptions): Promise<void> {
  const files = await usableServerFiles(place, account, log);
  log.info('database_creating', `creating an embedded PostgreSQL ${files.version.split('-')[0] ?? ''} database`, {
    data,
  });
  const args = [
    '-D',
    data,
    '-U',
    USER,
    '--pwfile',
    passwordFile,
    '-A',
    'scram-sha-256',
    '-E',
    'UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ];
  await withShellSafeFiles(files, account, async (safe) => {
    const child = spawn(program(safe, 'initdb'), args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      cwd: data,
      env: serverEnvironment(),
      signal,
      ...asAccount(account),
    });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise<number | null>((resolve, reject) =>
      child.once('error', reject).once('close', resolve),
    ).catch((error: unknown) => {
      throw signal.aborted ? error : spawnError(error, account);
    });
    if (code !== 0)
      throw new EcompipeError(EXIT.unavailable, {
        what: 'cannot create the embedded PostgreSQL database',
        why: stderr.trim(),
        hint: OWN_SERVER_HINT,
      });
  });
  // initdb has synced its files; the names beside them are ours to sync.
  await syncDirectory(path.dirname(data));
}

/** A server needs nothing of our environment, which may hold passwords (`ps e` shows it) and PG* of other servers. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const names = ['PATH', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot'];
  return {
    LC_ALL: 'C',
    ...Object.fromEntries(
      names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
  };
}

/** Explains why a server program could not be run at all. */
export function spawnError(error: unknown, account: ServerAccount | undefined): unknown {
  const errno = errnoOf(error);
  const what = 'cannot run the embedded PostgreSQL';
  const facts: ErrorFacts = { what, why: String(error), hint: OWN_SERVER_HINT, cause: error };
  // The program is there: what is missing is the loader named in it.
  if (errno === 'ENOENT')
    return new EcompipeError(EXIT.unavailable, {
      ...facts,
      why: "its programs are built for glibc, which this system (Alpine, musl?) doesn't have",
    });
  if (errno === 'EPERM' || errno === 'EACCES') {
    const why =
      account === undefined
        ? String(error)
        : `PostgreSQL refuses to run as root, and it can't be run as ${account.name} (${errno})`;
    return new EcompipeError(EXIT.permission, { ...facts, why, hint: `run as another user, or ${OWN_SERVER_HINT}` });
  }
  return errno === undefined ? error : new EcompipeError(EXIT.unavailable, facts);
}

async function syncDirectory(directory: string): Promise<void> {
  // Windows can't open directories.
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
