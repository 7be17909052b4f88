import { spawn } from 'node:child_process';
import { lstat, rename, type FileHandle } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
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
import { measureMachine, serverSettings } from './serverSettings.js';
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
