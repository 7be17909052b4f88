import { spawn } from 'node:child_process';
import { lstat, rename, type FileHandle, statfs } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import os from 'node:os';
import { EcompipeError, EXIT } from '../../errors.js';
import type { Logger } from '../../log.js';
import { pause } from '../../wait.js';
import { asAccount } from './account.js';
import { OWN_SERVER_HINT, program } from './binaries.js';
import type { Cluster } from './cluster.js';
import { replaceFile } from '../../files/atomicWrite.js';
import { openLogFile, OWNER_ONLY, readText } from './files.js';
import { holdData, prepareRelease, startHeartbeat } from './holder.js';
import { serverEnvironment, spawnError } from './initdb.js';
import { findRunningServer, isPostmaster, removeStalePidFile, type RunningServer } from './pidFile.js';
import { majorUpgrade, serverVersionOf } from './releases.js';
import { usableServerFiles } from './staging.js';

const POLL_INTERVAL_MS = 5;
/** A fast shutdown writes what is dirty in the buffers: seconds, on a slow disk more. */
const STOP_DEADLINE_MS = 120_000;
const LOG_LIMIT_BYTES = 10 * 2 ** 20;

/**
 * Starts the server of a cluster and waits until it takes connections or ends. Two starts at once are settled by the
 * server's own lock file: the second ends by itself, and the caller finds the first one running.
 * @returns the end of the server's log when this start failed, undefined when it went well.
 * @throws AlreadyRunningError (5) when a server of another machine or container uses the data.
 */
export async function startServer(cluster: Cluster, log: Logger, signal: AbortSignal): Promise<string | undefined> {
  const files = await usableServerFiles(path.dirname(cluster.home), cluster.account, log);
  await assertSameMajor(cluster, files.version);
  await holdData(cluster, log, signal);
  await removeStalePidFile(cluster.data);
  const port = await choosePort(cluster);
  const settings = serverSettings(await measureMachine(cluster.home), port);
  const args = ['-D', cluster.data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const logStart = await openLog(cluster);
  const server = spawn(program(files, 'postgres'), args, {
    // A session of its own: neither Ctrl-C in the terminal nor the death of this process reaches it.
    detached: true,
    stdio: ['ignore', logStart.handle.fd, logStart.handle.fd],
    cwd: cluster.data,
    env: serverEnvironment(),
    ...asAccount(cluster.account),
  });
  server.unref();
  if (server.pid !== undefined) startHeartbeat(cluster, server.pid);
  const over = new AbortController();
  const ended = new Promise<'ended'>((resolve, reject) =>
    server.once('error', reject).once('exit', () => resolve('ended')),
  );
  try {
    const outcome = await Promise.race([ended, untilListening(cluster, AbortSignal.any([signal, over.signal]))]);
    return outcome === 'ended' ? await readFrom(logStart) : undefined;
  } catch (error) {
    signal.throwIfAborted();
    throw spawnError(error, cluster.account);
  } finally {
    over.abort();
    await logStart.handle.close();
  }
}

/** Asks the server for a fast shutdown (open transactions are rolled back) and waits for its end. */
export async function stopServer(cluster: Cluster, server: RunningServer, log: Logger): Promise<void> {
  const running = await findRunningServer(cluster.data);
  if (running === undefined || runId(running) !== runId(server)) return;
  const releaseData = await prepareRelease(cluster);
  process.kill(server.pid, 'SIGINT');
  const deadline = Date.now() + STOP_DEADLINE_MS;
  // Not until the lock file is gone: that goes a moment before the process does.
  const isRunning = (): Promise<boolean> => isPostmaster(server.pid, cluster.data);
  while ((await isRunning()) && Date.now() < deadline) await pause(POLL_INTERVAL_MS);
  if (await isRunning())
    log.warn('database_still_stopping', `the embedded PostgreSQL (pid ${server.pid}) is still shutting down`, {
      pid: server.pid,
    });
  else await releaseData();
}

/** Names one run of a server: pids come back, pids with their start time don't. */
function runId(server: RunningServer): string {
  return `${server.pid} ${server.startedAtSec}`;
}

/** Says that the running server stays when nobody uses it any more. Ends with this run: a reboot is a `db stop`. */
export async function markKept(cluster: Cluster, server: RunningServer): Promise<void> {
  await replaceFile(path.join(cluster.home, 'kept'), `${runId(server)}\n`, OWNER_ONLY);
}

export async function isKept(cluster: Cluster, server: RunningServer): Promise<boolean> {
  return await isMarked(cluster, 'kept', server);
}

/** Says that the running server ends on purpose, so that the commands it is taken from don't start it again. */
export async function markStopped(cluster: Cluster, server: RunningServer): Promise<void> {
  await replaceFile(path.join(cluster.home, 'stopped'), `${runId(server)}\n`, OWNER_ONLY);
}

export async function isStoppedOnPurpose(cluster: Cluster, server: RunningServer): Promise<boolean> {
  return await isMarked(cluster, 'stopped', server);
}

async function isMarked(cluster: Cluster, mark: 'kept' | 'stopped', server: RunningServer): Promise<boolean> {
  const marked = await readText(path.join(cluster.home, mark)).catch(() => '');
  return marked.trim() === runId(server);
}

/** The major version that created the data. */
export async function dataVersion(cluster: Cluster): Promise<string> {
  return (await readText(path.join(cluster.data, 'PG_VERSION'))).trim();
}

/** PostgreSQL opens data of its own major version only; say so before it does, and what to do. */
async function assertSameMajor(cluster: Cluster, version: string): Promise<void> {
  const created = await dataVersion(cluster);
  if (created === version.split('.')[0]) return;
  throw new EcompipeError(EXIT.unavailable, {
    what: `the database in ${cluster.home} was created by PostgreSQL ${created}, the embedded server is ${serverVersionOf(version)}`,
    outcome: 'it was not touched',
    hint: `${majorUpgrade()}; or ${OWN_SERVER_HINT}`,
  });
}

/** The port of last time, so that a psql or a GUI stays connected to the right place; another one if that is taken. */
async function choosePort(cluster: Cluster): Promise<number> {
  const file = path.join(cluster.home, 'port');
  const last = Number(await readText(file).catch(() => '0'));
  const port = await probePort(Number.isInteger(last) && last > 0 && last < 65_536 ? last : 0).catch(() =>
    probePort(0),
  );
  if (port !== last) await replaceFile(file, `${port}\n`, OWNER_ONLY);
  return port;
}

/** Binds the port (0: any free one) for a moment. Who takes it in between makes this start fail, and the next try another one. */
async function probePort(wanted: number): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(wanted, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function untilListening(cluster: Cluster, signal: AbortSignal): Promise<'listening'> {
  for (;;) {
    signal.throwIfAborted();
    const server = await findRunningServer(cluster.data);
    if (server !== undefined && server.port > 0 && server.status === 'ready') return 'listening';
    await pause(POLL_INTERVAL_MS, signal);
  }
}

interface ServerLog {
  readonly handle: FileHandle;
  /** Where this start's lines begin. */
  readonly offset: number;
}

async function openLog(cluster: Cluster): Promise<ServerLog> {
  const file = path.join(cluster.home, 'server.log');
  const size = (await lstat(file).catch(() => undefined))?.size ?? 0;
  if (size > LOG_LIMIT_BYTES) await rename(file, `${file}.1`);
  const handle = await openLogFile(file, cluster.account);
  return { handle, offset: (await handle.stat()).size };
}

/** The last lines of a start. */
async function readFrom({ handle, offset }: ServerLog): Promise<string> {
  const lines = Buffer.alloc(Math.min((await handle.stat()).size - offset, LOG_LIMIT_BYTES));
  const { bytesRead } = await handle.read(lines, 0, lines.length, offset);
  return lines.toString('utf8', 0, bytesRead).trim().split('\n').slice(-5).join('\n');
}

const MIB = 2 ** 20;

/** What a server is sized to. */
export interface MachineSize {
  readonly memoryBytes: number;
  readonly freeDiskBytes: number;
}

/** Memory (a container's limit counts) and the free disk space below `directory`. */
export async function measureMachine(directory: string): Promise<MachineSize> {
  const limit = process.constrainedMemory();
  // Without a limit, Node answers 0 or a number larger than any machine.
  const memoryBytes = limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
  const disk = await statfs(directory);
  return { memoryBytes, freeDiskBytes: disk.bavail * disk.bsize };
}

/**
 * The server's settings, passed on its command line so that they fit the machine at every start. Durability (fsync,
 * full_page_writes, synchronous_commit) stays at its default, on: the exactly-once promise stands on it.
 */
export function serverSettings(machine: MachineSize, port: number): Readonly<Record<string, string>> {
  // An eighth, not the usual quarter: on a laptop the server is a guest.
  const sharedBuffersMiB = clamp(machine.memoryBytes / 8 / MIB, 32, 1024);
  // Full-page images after a checkpoint are the main cost of a bulk load: few checkpoints, within what the disk can spare.
  const maxWalMiB = clamp(machine.freeDiskBytes / 10 / MIB, 256, 4096);
  return {
    cluster_name: 'ecompipe',
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '50',
    shared_buffers: `${sharedBuffersMiB}MB`,
    effective_cache_size: `${clamp(machine.memoryBytes / 2 / MIB, 64, 65_536)}MB`,
    work_mem: `${clamp(machine.memoryBytes / 256 / MIB, 4, 64)}MB`,
    maintenance_work_mem: `${clamp(machine.memoryBytes / 32 / MIB, 32, 512)}MB`,
    wal_buffers: '16MB',
    max_wal_size: `${maxWalMiB}MB`,
    checkpoint_timeout: '15min',
    // Vacuum keeps pace with a load on the machine's own disk instead of pausing for a shared one.
    autovacuum_vacuum_cost_limit: '2000',
    jit: 'off',
    // Rejected rows are the loader's business: the server's log keeps its life story, not the users' data.
    log_min_messages: 'log',
    log_checkpoints: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
}

function clamp(value: number, min: number, max: number): number {
  return Math.floor(Math.min(Math.max(value, min), max));
}
