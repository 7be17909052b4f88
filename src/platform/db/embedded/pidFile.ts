import { execFile } from 'node:child_process';
import { link, lstat, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { errnoOf } from '../../errors.js';
import { temporaryPath } from '../../files/temporary.js';
import { readText } from './files.js';

/** A running postmaster, as its lock file describes it (src/include/utils/pidfile.h, stable since PostgreSQL 10). */
export interface RunningServer {
  readonly pid: number;
  /** Start of this postmaster in epoch seconds; with the pid it names one run of the server. */
  readonly startedAtSec: number;
  /** 0 until it listens. */
  readonly port: number;
  readonly status: 'starting' | 'ready' | 'stopping' | 'standby' | '';
}

/** Reads the lock file of a data directory and checks that the process it names is its postmaster; undefined when none runs. */
export async function findRunningServer(data: string): Promise<RunningServer | undefined> {
  const file = await readPidFile(data);
  return file !== undefined && (await isPostmaster(file.pid, data)) ? file : undefined;
}

/** An empty lock file is a server's that starts this moment, or one that died (disk full) before it wrote. */
const EMPTY_IS_STALE_MS = 2000;

/**
 * Removes a lock file that outlived its postmaster (SIGKILL, power cut). PostgreSQL does this itself, unless the pid now
 * belongs to another process of the same user, or the file is empty: then it refuses to start for ever.
 *
 * Another command may start a server between our look and our removal, so the file is first moved aside, looked at
 * again, and put back when it is a live one.
 */
export async function removeStalePidFile(data: string): Promise<void> {
  const pidFile = path.join(data, 'postmaster.pid');
  if (!(await isStale(pidFile, data))) return;
  const aside = temporaryPath(pidFile);
  try {
    await rename(pidFile, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  // link, unlike rename, never replaces a newer lock file.
  if (!(await isStale(aside, data))) await link(aside, pidFile).catch(() => undefined);
  await rm(aside, { force: true });
}

async function isStale(pidFile: string, data: string): Promise<boolean> {
  try {
    const server = parsePidFile(await readText(pidFile));
    if (server !== undefined) return !(await isPostmaster(server.pid, data));
    return Date.now() - (await lstat(pidFile)).mtimeMs > EMPTY_IS_STALE_MS;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function readPidFile(data: string): Promise<RunningServer | undefined> {
  try {
    return parsePidFile(await readText(path.join(data, 'postmaster.pid')));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function parsePidFile(text: string): RunningServer | undefined {
  const [pid, , startedAt, port, , , , status] = text.split('\n').map((line) => line.trim());
  if (!/^\d+$/.test(pid ?? '')) return undefined;
  return {
    pid: Number(pid),
    startedAtSec: Number(startedAt ?? 0),
    port: Number(port ?? 0),
    status: (status ?? '') as RunningServer['status'],
  };
}

/**
 * Tells our postmaster from a process that was given its pid later, and from the postmaster of the directory that ours
 * was copied from. The command line says it to everybody; /proc/PID/cwd would need rights that root in a container lacks.
 */
export async function isPostmaster(pid: number, data: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false;
  }
  const served = await servedDirectory(pid, data);
  if (served === undefined || served === data) return served === data;
  // A project that was moved while its server ran: the old path is gone, the server goes on in its working directory.
  return (await stat(served).catch(() => undefined)) === undefined;
}

/** The data directory that a process serves; undefined when it is gone, a zombie, or not a postmaster. */
async function servedDirectory(pid: number, data: string): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const option = argv.indexOf('-D');
    return /postgres$/.test(argv[0] ?? '') && option > 0 ? argv[option + 1] : undefined;
  }
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }));
  return stdout.includes(` -D ${data} `) ? data : undefined;
}
