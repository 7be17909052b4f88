import { spawn } from 'node:child_process';
import path from 'node:path';
import { EcompipeError, errnoOf, EXIT, type ErrorFacts } from '../../errors.js';
import { syncDirectory } from '../../files/publish.js';
import type { Logger } from '../../log.js';
import { asAccount, type ServerAccount } from './account.js';
import { OWN_SERVER_HINT, program, type ServerFiles } from './binaries.js';
import { usableServerFiles, withShellSafeFiles } from './staging.js';

/** The role of every command, and the name of the database that it owns. In clusters of earlier versions it is the superuser. */
export const USER = 'ecompipe';
export const DATABASE = 'ecompipe';
/** Who made the cluster, and what no command of ours needs afterwards. */
const SUPERUSER = 'postgres';

export interface InitdbOptions {
  /** An empty directory that belongs to `account`. */
  readonly data: string;
  /** Holds the superuser's password; `account` can read it. */
  readonly superuserFile: string;
  /** Of `USER`. */
  readonly password: string;
  readonly account: ServerAccount | undefined;
  /** Where a copy of the server files may be kept. */
  readonly place: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Fills a data directory: UTF-8, byte-order collation (the same on every machine), passwords checked by SCRAM, our database
 * and its owner.
 */
export async function initdb(options: InitdbOptions): Promise<void> {
  const { data, superuserFile, account, place, log } = options;
  const files = await usableServerFiles(place, account, log);
  log.info('database_creating', `creating an embedded PostgreSQL ${files.version.split('-')[0] ?? ''} database`, {
    data,
  });
  const args = [
    '-D',
    data,
    '-U',
    SUPERUSER,
    '--pwfile',
    superuserFile,
    '-A',
    'scram-sha-256',
    '-E',
    'UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ];
  await withShellSafeFiles(files, account, (safe) => runProgram(program(safe, 'initdb'), args, '', options));
  await createOwner(files, options);
  // initdb has synced its files; the names beside them are ours to sync.
  await syncDirectory(path.dirname(data));
}

/**
 * Creates our database and the role that owns it, before anybody can connect. The role is not a superuser: whoever makes a
 * command of ours run their SQL reads no files and runs no programs. It may create what `migrate --roles` and a `dropdb` need
 * it to, and sees the sessions of others: who is in the way of a lock, and who is still connected.
 */
async function createOwner(files: ServerFiles, options: InitdbOptions): Promise<void> {
  const args = ['--single', '-D', options.data, '-c', 'exit_on_error=on', '-c', 'log_min_messages=error', 'postgres'];
  // A statement is a line here (PostgreSQL manual, postgres, Single-User Mode). The password has no character to be quoted.
  const statements = [
    `create role ${USER} login createdb createrole password '${options.password}'`,
    `grant pg_monitor, pg_signal_backend to ${USER}`,
    `create database ${DATABASE} owner ${USER}`,
    // Whoever can connect to `postgres` can take the lock that leases hold there (see session.ts), and no command would get in.
    `revoke all on database postgres from public`,
    `grant connect on database postgres to ${USER}`,
  ];
  await runProgram(program(files, 'postgres'), args, statements.map((statement) => `${statement}\n`).join(''), options);
}

/** Runs a program of the server's to its end. @throws EcompipeError with what it said when it fails. */
async function runProgram(
  file: string,
  args: readonly string[],
  input: string,
  { data, account, signal }: InitdbOptions,
): Promise<void> {
  const child = spawn(file, args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    cwd: data,
    env: serverEnvironment(),
    signal,
    ...asAccount(account),
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  // Its exit code tells more than the pipe that it did not read.
  child.stdin.on('error', () => undefined).end(input);
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
