import { spawn } from 'node:child_process';
import { link, lstat, readFile, readlink, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { AlreadyRunningError, errnoOf } from '../../errors.js';
import { createFile, replaceFile, type WriteOptions } from '../../files/atomicWrite.js';
import { temporaryPath } from '../../files/temporary.js';
import type { Logger } from '../../log.js';
import { pause } from '../../wait.js';
import { asAccount } from './account.js';
import { OWN_SERVER_HINT } from './binaries.js';
import type { Cluster } from './cluster.js';
import { giveTo, OWNER_ONLY, readText } from './files.js';

/**
 * Where a server runs. A process id means something there and nowhere else: from a second container or machine with the
 * same volume, the server's lock file looks like one that a crash has left, and PostgreSQL would open the data twice.
 */
export interface Holder {
  readonly host: string;
  /** Of the running kernel; empty where the system does not say. */
  readonly bootId: string;
  /** Empty where there is none. */
  readonly pidNamespace: string;
  /** When the data was taken, as an ISO 8601 time. */
  readonly since: string;
}

const HOLDER_NAME = 'holder.json';
const HEARTBEAT_S = 2;
/** Five heartbeats: without one for so long, the server and everything around it has ended. */
export const SILENCE_MS = 10_000;
const LOOK_INTERVAL_MS = 250;

/**
 * The heartbeat: touches the holder's file for as long as the server lives. A process of its own, since commands come and
 * go while the server stays; and a shell, since it takes a tenth of the memory of a Node process.
 */
const HEARTBEAT = `while kill -0 "$1" 2>/dev/null; do touch -c ${HOLDER_NAME}; sleep ${HEARTBEAT_S}; done`;

/**
 * Takes the data of a cluster for servers of this machine and pid namespace, before one is started. Commands of the same
 * namespace share it: there the server's own lock file is right.
 * @throws AlreadyRunningError (5) when a server that runs elsewhere uses the data.
 */
export async function holdData(cluster: Cluster, log: Logger, signal: AbortSignal): Promise<void> {
  const own = await describeHere();
  for (;;) {
    if (await publish(cluster, own)) return;
    const found = await readHolder(cluster);
    if (found === undefined) continue;
    if (isSamePlace(found, own)) {
      await renew(cluster, own);
      return;
    }
    log.info(
      'database_in_use_elsewhere',
      `the embedded PostgreSQL was last used from ${describePlace(found, own)}: checking whether it still is`,
      { host: found.host, since: found.since },
    );
    if (!(await assertSilent(cluster, found, own, signal))) continue;
    log.warn(
      'database_taken_over',
      `the embedded PostgreSQL was used from ${describePlace(found, own)} since ${found.since}, and has given no sign of life for ${SILENCE_MS / 1000} s: taking it over`,
      { host: found.host, since: found.since },
    );
    await removeHolder(cluster, found);
  }
}

/**
 * Looks only.
 * @throws AlreadyRunningError (5) when a server that runs elsewhere uses the data.
 */
export async function assertNotHeldElsewhere(cluster: Cluster, signal: AbortSignal): Promise<void> {
  const own = await describeHere();
  for (;;) {
    const found = await readHolder(cluster);
    if (found === undefined || isSamePlace(found, own)) return;
    if (await assertSilent(cluster, found, own, signal)) return;
  }
}

/** Keeps the hold on the data as long as a server of this namespace lives. */
export function startHeartbeat(cluster: Cluster, serverPid: number): void {
  const heartbeat = spawn('/bin/sh', ['-c', HEARTBEAT, 'ecompipe-heartbeat', String(serverPid)], {
    detached: true,
    stdio: 'ignore',
    // Not the file's path: a project may be moved while its server runs.
    cwd: cluster.home,
    ...asAccount(cluster.account),
  });
  // Where it can't be started, the data is protected as far as the server's own lock file goes.
  heartbeat.on('error', () => undefined);
  heartbeat.unref();
}

/**
 * To be called before a server of this namespace is stopped.
 * @returns gives the data free once it has ended, unless the next one has taken it since.
 */
export async function prepareRelease(cluster: Cluster): Promise<() => Promise<void>> {
  const found = await readHolder(cluster);
  if (found === undefined || !isSamePlace(found, await describeHere())) return () => Promise.resolve();
  return () => removeHolder(cluster, found);
}

function holderFile(cluster: Cluster): string {
  return path.join(cluster.home, HOLDER_NAME);
}

/** @returns false when somebody has the data already. */
async function publish(cluster: Cluster, holder: Holder): Promise<boolean> {
  return await createFile(holderFile(cluster), `${JSON.stringify(holder)}\n`, ownedBy(cluster));
}

/** A new time, so that whoever is about to stop the server before this one sees that the data is in use again. */
async function renew(cluster: Cluster, holder: Holder): Promise<void> {
  await replaceFile(holderFile(cluster), `${JSON.stringify(holder)}\n`, ownedBy(cluster));
}

/** Of the server's account, as the heartbeat is. */
function ownedBy({ account }: Cluster): WriteOptions {
  return { ...OWNER_ONLY, onWritten: (file) => giveTo(file, account) };
}

/** Takes the file away if it still says the same: of two who take over, one removes it, and both compete for the next. */
async function removeHolder(cluster: Cluster, expected: Holder): Promise<void> {
  const file = holderFile(cluster);
  const aside = temporaryPath(file);
  try {
    await rename(file, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  const taken = parseHolder(await readText(aside));
  if (!isSameHold(taken, expected)) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

/**
 * Waits until the holder has been silent for long enough.
 * @returns false when the data is free by then, or has another holder, such as a command here that was faster.
 * @throws AlreadyRunningError at its first sign of life.
 */
async function assertSilent(cluster: Cluster, found: Holder, own: Holder, signal: AbortSignal): Promise<boolean> {
  const file = holderFile(cluster);
  const first = await lastSign(file);
  // The clock that wrote the time is the one that we read: no need to wait for what did not come.
  if (found.bootId !== '' && found.bootId === own.bootId && first < Date.now() - SILENCE_MS) return true;
  const until = performance.now() + SILENCE_MS;
  while (performance.now() < until) {
    await pause(LOOK_INTERVAL_MS, signal);
    signal.throwIfAborted();
    const sign = await lastSign(file);
    if (sign === first) continue;
    if (isSameHold(await readHolder(cluster), found)) throw heldElsewhere(cluster, found, own);
    return false;
  }
  return true;
}

/** The file's modification time in ms; 0 when it is gone. */
async function lastSign(file: string): Promise<number> {
  try {
    return (await lstat(file)).mtimeMs;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

function heldElsewhere(cluster: Cluster, found: Holder, own: Holder): AlreadyRunningError {
  return new AlreadyRunningError({
    what: `the embedded PostgreSQL in ${cluster.home} is in use from ${describePlace(found, own)}`,
    why: `a server that was started there at ${found.since} is alive: two servers on the same data would destroy it`,
    outcome: 'nothing was started',
    hint: `run the command there, or stop what runs there; after a crash it is free ${SILENCE_MS / 1000} s after the last sign of life. To load from several containers or machines, ${OWN_SERVER_HINT}`,
  });
}

function describePlace(found: Holder, own: Holder): string {
  if (found.host !== own.host) return `the machine or container ${found.host}`;
  return found.bootId === own.bootId
    ? `another container of this machine, ${found.host}`
    : `another machine or container of the name ${found.host}`;
}

async function readHolder(cluster: Cluster): Promise<Holder | undefined> {
  try {
    return parseHolder(await readText(holderFile(cluster)));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** A file that says nothing is somebody's who can't be named: treated as one from elsewhere. */
function parseHolder(text: string): Holder {
  let value: Partial<Holder> = {};
  try {
    value = JSON.parse(text) as Partial<Holder>;
  } catch {
    // Not JSON: a damaged file.
  }
  const { host, bootId, pidNamespace, since } = value;
  return {
    host: typeof host === 'string' ? host : 'unknown',
    bootId: typeof bootId === 'string' ? bootId : 'unknown',
    pidNamespace: typeof pidNamespace === 'string' ? pidNamespace : 'unknown',
    since: typeof since === 'string' ? since : 'an unknown time',
  };
}

/** A running machine may get another name, so that counts only where the system says nothing better. */
function isSamePlace(a: Holder, b: Holder): boolean {
  return a.bootId === b.bootId && a.pidNamespace === b.pidNamespace && (a.bootId !== '' || a.host === b.host);
}

function isSameHold(a: Holder | undefined, b: Holder): boolean {
  return a !== undefined && isSamePlace(a, b) && a.since === b.since;
}

async function describeHere(): Promise<Holder> {
  return {
    host: os.hostname(),
    bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim(),
    pidNamespace: await readlink('/proc/self/ns/pid').catch(() => ''),
    since: new Date().toISOString(),
  };
}
